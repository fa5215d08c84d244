//! The other load managers of a configuration, checked against its listeners and keys.

use std::net::SocketAddr;

use lb::settings::{Listener, Peers};
use sip::Transport;

use crate::checks::listeners::overlaps;
use crate::language::problem::{Problems, SourcePosition};
use crate::sections::roles::Raw;

/// Each of them is sent every notice. For more load managers, a multicast group is better.
const PEERS_MAX: usize = 16;

pub(crate) fn peers(raw: &Raw, listeners: &[Listener], problems: &mut Problems) -> Option<Peers> {
    let section = &raw.peers;
    let Some(listen) = section.listen.value else {
        for place in [&section.to.place, &section.group.place] {
            if *place != SourcePosition::Unwritten {
                let remedy = "add `listen`, such as \"0.0.0.0:5778\"";
                problems.error(place, "`peers` without `listen`", remedy);
            }
        }
        return None;
    };
    let taken = |other: &&Listener| other.transport == Transport::Udp && overlaps(other.bind, listen);
    if let Some(other) = listeners.iter().find(taken) {
        let what = format!("peers.listen {listen} is already used by the listener udp:{}", other.bind);
        problems.error(&section.listen.place, what, "choose another port for peers.listen");
    }
    if raw.heartbeat.listen.value.is_some_and(|other| overlaps(other, listen)) {
        let what = format!("peers.listen {listen} is already used by heartbeat.listen");
        problems.error(&section.listen.place, what, "choose another port for peers.listen");
    }
    if raw.keys.tag.value.is_empty() && raw.keys.file.value.is_none() {
        let remedy = "strowger key > farm.keys; chmod 600 farm.keys; then keys.file, the same file for all load managers";
        problems.error(
            &section.listen.place,
            "load managers understand each other only with a shared key",
            remedy,
        );
    }
    let mut to: Vec<SocketAddr> = Vec::new();
    for text in &section.to.value {
        match text.parse::<SocketAddr>() {
            Ok(peer) if peer.port() == 0 || peer.ip().is_unspecified() => {
                problems.error(
                    &section.to.place,
                    format!("`to`: {peer} is not a usable address (port 0 or a wildcard)"),
                    "write the address and port of another load manager",
                );
            }
            Ok(peer) if peer.is_ipv4() != listen.is_ipv4() => {
                let what = format!("`to`: {peer} and `listen` {listen} are of different IP versions");
                problems.error(&section.to.place, what, "use the same IP version for both");
            }
            Ok(peer) => to.push(peer),
            Err(_) => {
                let what = format!("`to`: `{text}` is not an address with a port");
                problems.error(&section.to.place, what, "write it as 192.0.2.2:5778 or [2001:db8::2]:5778");
            }
        }
    }
    if to.len() > PEERS_MAX {
        let what = format!("there are more than {PEERS_MAX} peers");
        problems.error(
            &section.to.place,
            what,
            "use a multicast group: set `group`, and write its address and port into `to`",
        );
    }
    match section.group.value {
        Some(group) if !group.is_multicast() => {
            let remedy = "write an address from 224.0.0.0/4 or ff00::/8, or leave `group` out";
            problems.error(
                &section.group.place,
                format!("`group`: {group} is not a multicast address"),
                remedy,
            );
        }
        Some(group) if group.is_ipv4() != listen.is_ipv4() => {
            let what = format!("`group` {group} and `listen` {listen} are of different IP versions");
            problems.error(&section.group.place, what, "use the same IP version for both");
        }
        Some(_) | None => {}
    }
    Some(Peers { listen, group: section.group.value, to })
}
