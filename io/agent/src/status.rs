//! The figures as text: the same names, units and values as in heartbeat and answer.

use std::fmt::{Display, Write};

use heartbeat::{Heartbeat, Load};

/// One figure a line, with name and value; `unknown` if it was not measured.
pub fn figures(heartbeat: &Heartbeat) -> String {
    let load: Load = heartbeat.load.unwrap_or_default();
    let mut text = String::new();
    line(&mut text, "state", Some(heartbeat.state));
    line(&mut text, "load_permille", load.load_permille());
    line(&mut text, "cpu_permille", load.cpu_permille);
    line(&mut text, "memory_available_kib", load.memory_available_kib);
    line(&mut text, "server_cpu_permille", load.server_cpu_permille);
    line(&mut text, "server_memory_kib", load.server_memory_kib);
    line(&mut text, "calls", load.calls);
    line(&mut text, "residual_calls", load.residual_calls);
    line(&mut text, "network_permille", load.network_permille);
    line(&mut text, "state_tier", heartbeat.state_tier);
    text
}

pub(crate) fn line(text: &mut String, name: &str, value: Option<impl Display>) {
    // Writing to a String cannot fail.
    let _ = match value {
        Some(value) => writeln!(text, "{name} {value}"),
        None => writeln!(text, "{name} unknown"),
    };
}
