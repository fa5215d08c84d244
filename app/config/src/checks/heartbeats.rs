//! Heartbeats need a port of their own, a group of the same IP version, and a table that is large enough.

use std::time::Duration;

use lb::settings::{Heartbeats, Listener};
use sip::Transport;

use crate::checks::listeners::overlaps;
use crate::language::problem::Problems;
use crate::sections::farm::HeartbeatSection;
use crate::sections::roles::Raw;

pub(crate) fn heartbeats_fit(raw: &Raw, listeners: &[Listener], problems: &mut Problems) {
    let section = &raw.heartbeat;
    if let Some(listen) = section.listen.value {
        let clash = |other: &&Listener| other.transport == Transport::Udp && overlaps(other.bind, listen);
        if let Some(other) = listeners.iter().find(clash) {
            let what =
                format!("heartbeat.listen {listen} is already used by the listener udp:{}", other.bind);
            problems.error(&section.listen.place, what, "choose another port for heartbeats");
        }
    }
    if let (Some(listen), None, None) =
        (section.listen.value, &raw.keys.heartbeat.value, &raw.keys.file.value)
        && !listen.ip().is_loopback()
    {
        let what =
            "heartbeats are not signed: whoever can send a heartbeat to this port can draw calls to a server";
        let remedy =
            "strowger key --heartbeat >> farm.keys; then keys.file, and the same file for the agents";
        problems.warn(&section.listen.place, what, remedy);
    }
    if let Some(group) = section.group.value {
        if !group.is_multicast() {
            let remedy = "write an address from 224.0.0.0/4 or ff00::/8, or leave `group` out for unicast and broadcast";
            problems.error(
                &section.group.place,
                format!("`group`: {group} is not a multicast address"),
                remedy,
            );
        }
        match section.listen.value {
            None => {
                let remedy = "add `listen`, such as \"0.0.0.0:5777\"";
                problems.error(&section.group.place, "`group` without `listen`", remedy);
            }
            Some(listen) if listen.is_ipv4() != group.is_ipv4() => {
                let what = format!("`group` {group} and `listen` {listen} are of different IP versions");
                problems.error(&section.group.place, what, "use the same IP version for both");
            }
            Some(_) => {}
        }
    }
    if let (Some(size), named) = (section.table_size.value, raw.server.len())
        && (size as usize) < named
    {
        let what = format!("`table_size` is {size}, but {named} servers are named");
        problems.error(
            &section.table_size.place,
            what,
            format!("write at least {named}, or leave `table_size` out"),
        );
    }
}

pub(crate) fn heartbeats(section: &HeartbeatSection) -> Heartbeats {
    Heartbeats {
        listen: section.listen.value,
        group: section.group.value,
        period: Duration::from_millis(section.period_ms.value),
        decay_periods: section.decay_periods.value as u32,
        table_size: section.table_size.value.map(|size| size as usize),
    }
}
