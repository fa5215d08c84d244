//! The names that servers are found by, as `strowger status` tells of them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::report::table::aligned;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NameStatus {
    /// As the configuration writes it.
    pub(crate) name: String,
    /// `current`: the servers are those of the last answer. `kept`: they are those of an earlier answer, because the last one failed
    /// or named none. `asking`: there was no answer yet. `nowhere`: no answer has ever named a server.
    pub(crate) state: String,
    /// Why the state is not `current`.
    pub(crate) reason: String,
    pub(crate) since_seconds: u64,
    pub(crate) servers: Vec<SocketAddr>,
}

impl NameStatus {
    /// What is wrong with it, and the effect.
    pub(crate) fn wrong(&self) -> Option<String> {
        let NameStatus { name, reason, since_seconds, servers, .. } = self;
        match &*self.state {
            "current" => None,
            "kept" => {
                let count = servers.len();
                Some(format!(
                    "name {name}: {reason}, for {since_seconds} s; its {count} servers are those of the last good answer"
                ))
            }
            _ => Some(format!("name {name} gives no server: {reason}")),
        }
    }
}

/// A table of the names. Empty, if there is none.
pub(crate) fn table(names: &[NameStatus], duration: impl Fn(u64) -> String) -> String {
    if names.is_empty() {
        return String::new();
    }
    let row = |name: &NameStatus| {
        let servers: Vec<String> = name.servers.iter().map(SocketAddr::to_string).collect();
        let servers = if servers.is_empty() { "none".to_owned() } else { servers.join(" ") };
        vec![
            name.name.clone(),
            name.state.clone(),
            duration(name.since_seconds),
            servers,
            name.reason.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = names.iter().map(row).collect();
    format!("\nNames\n{}", aligned(&["name", "state", "since", "servers", "reason"], &rows))
}
