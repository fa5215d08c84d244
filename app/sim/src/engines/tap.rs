//! What a bystander sees of the messages that engines send and callees get: whether two engines say one thing in two ways, and
//! how often a callee rings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::link::Packet;

#[derive(Debug, Default)]
pub(super) struct Tap {
    /// The first text of each message that may come from several engines.
    said: BTreeMap<(SocketAddr, String, String, String), String>,
    /// Messages of which there were two texts.
    pub(super) twice: Vec<String>,
    /// Names of the INVITEs that came to a callee for a caller.
    pub(super) rings: BTreeMap<(SocketAddr, String), BTreeSet<(String, String)>>,
    /// Which caller a callee's Call-ID belongs to.
    pub(super) callers: BTreeMap<String, String>,
}

impl Tap {
    /// An engine sends.
    pub(super) fn sent(&mut self, packet: &Packet) {
        let Ok(text) = std::str::from_utf8(&packet.bytes) else { return };
        let first = text.lines().next().unwrap_or_default();
        let (via, sequence) = (field(text, "Via"), field(text, "CSeq"));
        let is_request = !first.starts_with("SIP/2.0 ");
        // A failure may be the callee's, or be made from what is left of the call; a 100 says nothing.
        let is_invited = sequence.ends_with(" INVITE") && first.starts_with("SIP/2.0 ");
        let is_kept = is_invited
            && matches!(first.as_bytes().get(8), Some(b'1' | b'2'))
            && !first.starts_with("SIP/2.0 100");
        if text.starts_with("SWL1") || !is_request && !is_kept {
            return;
        }
        let branch = parameter(via, "branch").to_owned();
        let key = (packet.to, first.to_owned(), branch, sequence.to_owned());
        let anonymous = anonymous(text);
        match self.said.get(&key) {
            Some(before) if *before != anonymous => {
                let mut lines = before.lines().zip(anonymous.lines());
                let (one, other) = lines.find(|(one, other)| one != other).unwrap_or_default();
                let name = format!("{} ({}) to {}", first, sequence, packet.to);
                self.twice.push(format!("{name}: {one}, and {other}"));
            }
            Some(_) => {}
            None => _ = self.said.insert(key, anonymous),
        }
    }

    /// A callee gets a message.
    pub(super) fn came(&mut self, packet: &Packet) {
        let Ok(text) = std::str::from_utf8(&packet.bytes) else { return };
        if !text.starts_with("INVITE ") {
            return;
        }
        let caller = user_of(field(text, "From")).to_owned();
        let (call_id, branch) = (field(text, "Call-ID"), parameter(field(text, "Via"), "branch"));
        self.callers.insert(call_id.into(), caller.clone());
        self.rings.entry((packet.to, caller)).or_default().insert((call_id.into(), branch.into()));
    }
}

/// The value of a field, in its first line.
pub(super) fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix(": ");
    text.lines().find_map(value).unwrap_or_default()
}

fn parameter<'t>(value: &'t str, name: &str) -> &'t str {
    let mut parameters = value.split(';');
    let found = parameters.find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_default()
}

/// The user in the URI of an address.
fn user_of(address: &str) -> &str {
    let uri = address.split("sip:").nth(1).unwrap_or_default();
    uri.split('@').next().unwrap_or_default()
}

/// The text without the number of the engine that wrote it.
fn anonymous(text: &str) -> String {
    let Some(at) = text.find(";e=") else { return text.into() };
    let end =
        text[at + 3..].find(|letter: char| !letter.is_ascii_digit()).map_or(text.len(), |end| at + 3 + end);
    [&text[..at], &text[end..]].concat()
}
