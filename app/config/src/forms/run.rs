//! The configuration of `strowger run`: a file of a load manager with section `[run]`, or a few options. What is left out is
//! added, so that the farm works: heartbeats, keys, set-ups that are kept, the control socket.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use crate::checks::lb::{Checked, check};
use crate::checks::run::{for_engines, sip_uri};
use crate::forms::file::{parse_from, read_source};
use crate::forms::options::place;
use crate::forms::short::addressed;
use crate::language::problem::{Problems, Source};
use crate::language::section::Section as _;
use crate::language::value::quoted;
use crate::sections::roles::Raw;
use crate::sections::run::RunSection;

/// What stands in a section that the file leaves out.
#[derive(Clone, Debug)]
pub struct Generated {
    pub heartbeat: SocketAddr,
    pub key_file: PathBuf,
    pub control: PathBuf,
}

/// The options on the command line, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunForm {
    pub listen: Vec<String>,
    pub to: Vec<String>,
    pub state: Vec<String>,
    /// Keys of section `run` that are given once: the name of the option, the key, its value.
    pub once: Vec<(&'static str, &'static str, String)>,
}

/// A farm of `strowger run`.
#[derive(Clone, Debug)]
pub struct Run {
    /// The load manager.
    pub lb: Checked,
    /// The load manager's configuration, for a file.
    pub lb_text: String,
    pub to: Vec<String>,
    pub engines: usize,
    /// Threads of each engine.
    pub workers: u64,
    /// Nodes of an outside state tier; none: the farm has its own.
    pub state: Vec<String>,
    pub state_user: Option<String>,
    pub state_password_file: Option<PathBuf>,
    pub memory_mib: u64,
    pub ring_max: Duration,
    /// The load manager's address for engines, as it binds it and as others know it.
    pub through: (SocketAddr, SocketAddr),
    /// Where heartbeats go, and how often.
    pub heartbeats: (SocketAddr, Duration),
    pub key_file: Option<PathBuf>,
}

/// Reads and checks a file.
pub fn load_run(path: &Path, generated: &Generated) -> Result<Run, Problems> {
    let (source, open) = read_source(path)?;
    whole(source, open, generated)
}

/// Checks the options.
pub fn run_form(given: &RunForm, generated: &Generated) -> Result<Run, Problems> {
    let mut problems = Problems::new(Source::default());
    let mut section = Raw::defaults().run;
    addressed::<crate::sections::shared::Listen>("listen", &given.listen, &mut problems);
    for (option, key, text) in &given.once {
        if let Some(Err((what, remedy))) = section.set(key, text, &place(option, text)) {
            problems.error(&place(option, text), what, remedy);
        }
    }
    for uri in &given.to {
        if let Err((what, remedy)) = sip_uri(uri) {
            problems.error(&place("to", uri), what, remedy);
        }
    }
    if problems.has_errors() {
        return Err(problems);
    }
    whole(Source { path: None, text: text(given, &section) }, false, generated)
}

/// The options as a file.
fn text(given: &RunForm, section: &RunSection) -> String {
    let mut text = String::new();
    for address in &given.listen {
        let _ = writeln!(text, "[[listen]]\naddress = {}\n", quoted(address));
    }
    let list = |values: &[String]| values.iter().map(quoted).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "[run]\nto = [{}]\nstate = [{}]", list(&given.to), list(&given.state));
    let keys = RunSection::described().keys;
    for (key, held) in keys.iter().zip(section.held()) {
        if held.is_written && given.once.iter().any(|(_, name, _)| *name == key.name) {
            let _ = writeln!(text, "{} = {}", key.name, held.value);
        }
    }
    text
}

/// Adds what is left out, and checks the whole. Errors name the lines of the text as it was given.
fn whole(mut source: Source, open: bool, generated: &Generated) -> Result<Run, Problems> {
    parse_from(source.clone(), open)?;
    source.text.push_str(&left_out(&source.text, generated));
    let lb_text = source.text.clone();
    let (raw, mut problems) = parse_from(source, open)?;
    problems.starting = true;
    let source = problems.source.clone();
    let lb = check(raw, problems)?;
    let mut problems = Problems::new(source);
    let found = for_engines(&lb.written, &lb.settings.listeners, &mut problems);
    let (Some((through, heartbeats)), false) = (found, problems.has_errors()) else { return Err(problems) };
    let (run, written) = (lb.written.run.clone(), &lb.written);
    Ok(Run {
        to: run.to.value,
        engines: run.engines.value as usize,
        workers: run.workers.value,
        state: run.state.value,
        state_user: run.state_user.value,
        state_password_file: run.state_password_file.value,
        memory_mib: run.memory_mib.value,
        ring_max: Duration::from_secs(run.ring_max_seconds.value),
        through: (through.bind, through.advertise),
        heartbeats: (heartbeats, Duration::from_millis(written.heartbeat.period_ms.value)),
        key_file: written.keys.file.value.clone().filter(|_| lb.settings.keys.heartbeat.is_some()),
        lb_text,
        lb,
    })
}

/// The sections that the file does not have.
fn left_out(text: &str, generated: &Generated) -> String {
    let (root, _) = DeTable::parse_recoverable(text);
    let sections = [
        // Agents tell of deaths at once. The silence of an agent itself is noticed after a second.
        (
            "heartbeat",
            format!("listen = {}\nperiod_ms = 200\ndecay_periods = 5", quoted(generated.heartbeat)),
        ),
        ("keys", format!("file = {}", quoted(generated.key_file.display()))),
        ("hold_setup", "kind = \"all\"".to_owned()),
        ("control", format!("path = {}", quoted(generated.control.display()))),
    ];
    let missing = sections.iter().filter(|(name, _)| !root.get_ref().contains_key(*name));
    missing.map(|(name, keys)| format!("\n[{name}]\n{keys}\n")).collect()
}
