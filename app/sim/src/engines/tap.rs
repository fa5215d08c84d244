//! What a bystander sees of the messages that engines send and callees get: whether two engines say one thing in two ways, how
//! often a callee rings, and whether a message goes round among engines.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use base::{Duration, Time};

use crate::link::Packet;

/// Requests of the farm's own have at least this number within a dialog; those that pass, the smaller ones of phones.
const OWN: u32 = 65_536;
/// So much later every engine that asks the store knows that a dialog is over.
const KNOWN_AFTER: Duration = Duration::from_millis(600);

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
    /// The callee's tags in its answers to one INVITE.
    pub(super) tags: BTreeMap<(SocketAddr, String, String), BTreeSet<String>>,
    /// How often a message was handed over before it came to an engine: the least of all copies.
    handed: HashMap<(u32, Vec<u8>), u8>,
    /// Messages that were handed over once more without a count.
    pub(super) uncounted: Vec<String>,
    /// Since when a side has no dialog any longer under this Call-ID.
    over: HashMap<(SocketAddr, String), Time>,
    /// Requests within dialogs that engines have sent: to whom, branch, CSeq.
    asked: BTreeSet<(SocketAddr, String, String)>,
    /// To whom, under which Call-ID, and when an ACK has left.
    acknowledged: Option<(SocketAddr, String, Time)>,
    /// Requests within dialogs that were over for their receivers.
    pub(super) stale: Vec<String>,
}

/// What a message says that one engine hands to another: how often it was handed over, and the message.
fn letter(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(b"SWL1")?;
    let (hops, rest) = rest.split_first()?;
    let (_, rest) = rest.split_at_checked(16)?;
    let (length, rest) = rest.split_first()?;
    Some((*hops, rest.get(usize::from(*length)..)?))
}

impl Tap {
    /// An engine sends.
    pub(super) fn sent(&mut self, now: Time, packet: &Packet) {
        let Ok(text) = std::str::from_utf8(&packet.bytes) else { return };
        let first = text.lines().next().unwrap_or_default();
        let (via, sequence) = (field(text, "Via"), field(text, "CSeq"));
        self.asks(now, packet.to, text);
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

    /// A request passes within a dialog: its receiver has the dialog, as far as an engine can know.
    fn asks(&mut self, now: Time, to: SocketAddr, text: &str) {
        let call_id = field(text, "Call-ID");
        if text.starts_with("ACK ") {
            self.acknowledged = Some((to, call_id.into(), now));
        }
        let makes_none = ["SIP/2.0 ", "INVITE ", "ACK ", "CANCEL ", "SWL1"];
        if makes_none.into_iter().any(|start| text.starts_with(start)) {
            return;
        }
        let (via, sequence) = (field(text, "Via"), field(text, "CSeq"));
        let is_first = self.asked.insert((to, parameter(via, "branch").into(), sequence.into()));
        // A 2xx that came late gets ACK and BYE, whether or not its dialog is over (RFC 3261 §13.2.2.4).
        if self
            .acknowledged
            .as_ref()
            .is_some_and(|(there, of, at)| (*there, &**of, *at) == (to, call_id, now))
        {
            return;
        }
        let number = sequence.split(' ').next().and_then(|digits| digits.parse::<u32>().ok());
        if number.is_none_or(|number| number >= OWN) {
            return;
        }
        let over = self.over.get(&(to, call_id.into()));
        if is_first && over.is_some_and(|over| *over + KNOWN_AFTER < now) {
            self.stale.push(format!("{sequence} of {call_id} to {to}"));
        }
    }

    /// A caller or a callee gets a message.
    pub(super) fn gets(&mut self, now: Time, packet: &Packet) {
        let text = String::from_utf8_lossy(&packet.bytes);
        let is_final = text.starts_with("SIP/2.0 ") && !text.starts_with("SIP/2.0 1");
        let ends = is_final && field(&text, "CSeq").ends_with(" BYE");
        if ends || text.starts_with("BYE ") {
            self.over.entry((packet.to, field(&text, "Call-ID").into())).or_insert(now);
        }
    }

    /// An engine gets a message.
    pub(super) fn reached(&mut self, engine: u32, packet: &Packet) {
        let (hops, message) = letter(&packet.bytes).unwrap_or((0, &packet.bytes));
        let known = self.handed.entry((engine, message.to_vec())).or_insert(hops);
        *known = hops.min(*known);
    }

    /// An engine hands a message over: that counts.
    pub(super) fn hands_over(&mut self, engine: u32, packet: &Packet) {
        let Some((hops, message)) = letter(&packet.bytes) else { return };
        if self.handed.get(&(engine, message.to_vec())).is_some_and(|before| hops <= *before) {
            let text = String::from_utf8_lossy(message);
            let first = text.lines().next().unwrap_or_default();
            self.uncounted.push(format!("{first} ({}) to {}", field(&text, "CSeq"), packet.to));
        }
    }

    /// A callee sends: it rings once for one INVITE.
    pub(super) fn answers(&mut self, packet: &Packet) {
        let Ok(text) = std::str::from_utf8(&packet.bytes) else { return };
        let status = text.strip_prefix("SIP/2.0 ").filter(|rest| !rest.starts_with("100"));
        if status.is_none() || !field(text, "CSeq").ends_with(" INVITE") {
            return;
        }
        let (call_id, branch) = (field(text, "Call-ID"), parameter(field(text, "Via"), "branch"));
        let tag = parameter(field(text, "To"), "tag").to_owned();
        self.tags.entry((packet.from, call_id.into(), branch.into())).or_default().insert(tag);
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
