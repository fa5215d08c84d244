//! The generator's calls: both their ends, and the check of every message that arrives.
//!
//! A call is INVITE, 180, 200, ACK, BYE, 200. It stays in progress until `hold` younger calls have been answered; with a hold
//! of zero it ends at once. This module does not know the network: it takes bytes and leaves messages in a [`Post`].

use std::collections::VecDeque;

use crate::counters::Counters;
use crate::head::{Head, in_brackets, parameter, value};
use crate::histogram::Histogram;
use crate::post::Post;
use crate::texts::{Dialog, Number, SERVER_TAG, Texts, Transaction, write_dialog};

/// Room for a client's data of one dialog: remote target, route set, To line.
const DIALOG_BYTES: usize = 384;
/// A transaction that is unanswered for this long has failed. No message is repeated: a loss on the loopback is a finding.
const PATIENCE_NANOS: u64 = 2_000_000_000;

/// The six messages of a call; each has a bit in the set of messages that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Invite = 0,
    Ringing = 1,
    Answer = 2,
    Ack = 3,
    Bye = 4,
    ByeDone = 5,
}

const ALL_STEPS: u8 = 0b11_1111;
/// Marks in the same set that the call's 100 has arrived, which belongs to no end-to-end flow.
const TRYING: u8 = 0b100_0000;
pub(crate) const MESSAGES_PER_CALL: u64 = 6;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    generation: u32,
    server: u16,
    target_bytes: u16,
    dialog_bytes: u16,
    arrived: u8,
    used: bool,
}

struct Awaited {
    number: Number,
    step: Step,
    until: u64,
}

/// Times when messages were sent, and the times that they took from one end to the other.
struct Stopwatch {
    sent: Vec<[u64; 6]>,
    taken: Histogram,
    /// From a client's INVITE to its 200; the server answers at once.
    set_up: Histogram,
}

/// How the measured program treats a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It passes messages on. `vias`: Vias in a request at its server, 2 behind a proxy, 1 behind a floor.
    Passes { vias: usize },
    /// Each side has a dialog with it, with a Call-ID and tags of its own. Its server knows a call by the user in From.
    EndsDialogs,
}

pub(crate) struct Calls {
    texts: Texts,
    kind: Kind,
    hold: usize,
    slots: Vec<Slot>,
    dialogs: Vec<u8>,
    free: Vec<u32>,
    /// Answered calls, oldest first.
    established: VecDeque<u32>,
    awaited: VecDeque<Awaited>,
    scratch: Vec<u8>,
    stopwatch: Option<Stopwatch>,
    pub(crate) counters: Counters,
}

impl Calls {
    pub(crate) fn new(texts: Texts, kind: Kind, slots: usize, timed: bool) -> Calls {
        Calls {
            texts,
            kind,
            hold: 0,
            slots: vec![Slot::default(); slots],
            dialogs: vec![0; slots * DIALOG_BYTES],
            free: (0..slots as u32).rev().collect(),
            established: VecDeque::new(),
            awaited: VecDeque::new(),
            scratch: Vec::new(),
            stopwatch: timed.then(|| Stopwatch {
                sent: vec![[0; 6]; slots],
                taken: Histogram::new(),
                set_up: Histogram::new(),
            }),
            counters: Counters::default(),
        }
    }

    /// Sets how many answered calls are kept in progress from now on.
    pub(crate) fn set_hold(&mut self, hold: usize) {
        self.hold = hold;
    }

    pub(crate) fn in_progress(&self) -> usize {
        self.established.len()
    }

    /// Calls being set up or ended.
    pub(crate) fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len() - self.established.len()
    }

    pub(crate) fn times(&self) -> Option<&Histogram> {
        self.stopwatch.as_ref().map(|stopwatch| &stopwatch.taken)
    }

    /// The times from INVITE to 200.
    pub(crate) fn set_up_times(&self) -> Option<&Histogram> {
        self.stopwatch.as_ref().map(|stopwatch| &stopwatch.set_up)
    }

    pub(crate) fn clear_times(&mut self) {
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.taken.clear();
            stopwatch.set_up.clear();
        }
    }

    /// Sends an INVITE. False if every slot is in use.
    pub(crate) fn start(&mut self, now: u64, post: &mut Post) -> bool {
        let Some(index) = self.free.pop() else { return false };
        let slot = &mut self.slots[index as usize];
        *slot = Slot { generation: slot.generation.wrapping_add(1), used: true, ..Slot::default() };
        let number = Number { slot: index, generation: slot.generation };
        post.write(index, |out| self.texts.invite(&number.digits(), out));
        self.counters.attempts += 1;
        self.sent(index, Step::Invite, now);
        self.awaited.push_back(Awaited { number, step: Step::Answer, until: now + PATIENCE_NANOS });
        true
    }

    /// Handles a message at the client's socket.
    pub(crate) fn client_receives(&mut self, bytes: &[u8], now: u64, post: &mut Post) {
        let Some(head) = Head::scan(bytes) else { return self.counters.wrong += 1 };
        let Some(status) = head.status() else { return self.counters.wrong += 1 };
        let Some(number) = self.find(value(head.call_id)) else { return self.counters.stray += 1 };
        let method = value(head.cseq);
        let transaction = match method {
            b"1 INVITE" => Transaction::Invite,
            b"2 BYE" => Transaction::Bye,
            _ => return self.counters.wrong += 1,
        };
        if !is_ours(&head, number, transaction) {
            return self.counters.wrong += 1;
        }
        match (status, transaction) {
            (100, _) => self.trying(number.slot),
            (180, Transaction::Invite) => {
                self.arrived(number.slot, Step::Ringing, now);
            }
            (200, Transaction::Invite) => {
                if self.arrived(number.slot, Step::Answer, now) {
                    self.answered(number, &head, now, post);
                }
            }
            (200, Transaction::Bye) => {
                self.arrived(number.slot, Step::ByeDone, now);
            }
            (300.., _) => {
                self.counters.refused += 1;
                self.give_up(number.slot);
            }
            _ => self.counters.wrong += 1,
        }
    }

    /// Handles a request at the socket of a server.
    pub(crate) fn server_receives(&mut self, server: u16, bytes: &[u8], now: u64, post: &mut Post) {
        let Some(head) = Head::scan(bytes) else { return self.counters.wrong += 1 };
        let (name, vias) = match self.kind {
            Kind::Passes { vias } => (value(head.call_id), vias),
            Kind::EndsDialogs => (user_of(head.from), 1),
        };
        let Some(number) = self.find(name) else { return self.counters.stray += 1 };
        if head.vias.count != vias {
            return self.counters.wrong += 1;
        }
        let key = u32::from(server);
        let digits = number.digits();
        match head.start.get(..4) {
            Some(b"INVI") => {
                if !self.arrived(number.slot, Step::Invite, now) {
                    return;
                }
                self.slots[number.slot as usize].server = server;
                self.counters.without_record_route += u64::from(head.record_routes.count == 0);
                post.write(key, |out| self.texts.ringing(&head, &digits, out));
                post.write(key, |out| self.texts.answer(usize::from(server), &head, &digits, out));
                self.sent(number.slot, Step::Ringing, now);
                self.sent(number.slot, Step::Answer, now);
            }
            Some(b"ACK " | b"BYE ") if !has_tag_of(head.to, &digits) => self.counters.wrong += 1,
            Some(b"ACK ") => {
                self.check_server(number.slot, server);
                self.arrived(number.slot, Step::Ack, now);
            }
            Some(b"BYE ") => {
                self.check_server(number.slot, server);
                post.write(key, |out| self.texts.bye_done(&head, out));
                self.sent(number.slot, Step::ByeDone, now);
                self.arrived(number.slot, Step::Bye, now);
            }
            _ => self.counters.wrong += 1,
        }
    }

    /// Fails transactions that were unanswered for too long.
    pub(crate) fn expire(&mut self, now: u64) {
        while let Some(front) = self.awaited.front() {
            let slot = self.slots[front.number.slot as usize];
            let over = slot.generation != front.number.generation
                || !slot.used
                || (front.step == Step::Answer && slot.arrived & 1 << Step::Answer as u8 != 0);
            if !over && front.until > now {
                return;
            }
            if !over {
                let only_ringing = ALL_STEPS & !(1 << Step::Ringing as u8);
                if slot.arrived & ALL_STEPS == only_ringing {
                    self.counters.without_ringing += 1;
                } else {
                    self.counters.timeouts += 1;
                }
                self.give_up(front.number.slot);
            }
            self.awaited.pop_front();
        }
    }

    /// Acknowledges the 200, and ends the oldest call if more than `hold` are in progress.
    fn answered(&mut self, number: Number, head: &Head<'_>, now: u64, post: &mut Post) {
        self.scratch.clear();
        let target = write_dialog(head, &mut self.scratch);
        let Some(target) = target.filter(|_| self.scratch.len() <= DIALOG_BYTES) else {
            self.counters.wrong += 1;
            return self.give_up(number.slot);
        };
        let start = number.slot as usize * DIALOG_BYTES;
        self.dialogs[start..start + self.scratch.len()].copy_from_slice(&self.scratch);
        let slot = &mut self.slots[number.slot as usize];
        slot.target_bytes = target as u16;
        slot.dialog_bytes = self.scratch.len() as u16;
        self.send_within(number.slot, Transaction::Ack, Step::Ack, now, post);
        self.established.push_back(number.slot);
        if self.established.len() > self.hold
            && let Some(oldest) = self.established.pop_front()
        {
            self.send_within(oldest, Transaction::Bye, Step::Bye, now, post);
            let number = Number { slot: oldest, generation: self.slots[oldest as usize].generation };
            self.awaited.push_back(Awaited { number, step: Step::ByeDone, until: now + PATIENCE_NANOS });
        }
    }

    fn send_within(&mut self, index: u32, transaction: Transaction, step: Step, now: u64, post: &mut Post) {
        let slot = self.slots[index as usize];
        let text = &self.dialogs[index as usize * DIALOG_BYTES..][..usize::from(slot.dialog_bytes)];
        let (target, route_and_to) = text.split_at(usize::from(slot.target_bytes));
        let digits = Number { slot: index, generation: slot.generation }.digits();
        post.write(index, |out| {
            self.texts.within_dialog(transaction, &digits, Dialog { target, route_and_to }, out);
        });
        self.sent(index, step, now);
    }

    /// The living call with this number at the front of its name, if any.
    fn find(&self, name: &[u8]) -> Option<Number> {
        let number = Number::read(name)?;
        let slot = self.slots.get(number.slot as usize)?;
        (slot.used && slot.generation == number.generation).then_some(number)
    }

    fn sent(&mut self, slot: u32, step: Step, now: u64) {
        if let Some(stopwatch) = &mut self.stopwatch {
            stopwatch.sent[slot as usize][step as usize] = now;
        }
    }

    /// Notes that a message reached its end; if it had arrived before, returns false and counts a stray. The last message ends
    /// the call.
    fn arrived(&mut self, index: u32, step: Step, now: u64) -> bool {
        let slot = &mut self.slots[index as usize];
        let bit = 1 << step as u8;
        if slot.arrived & bit != 0 {
            self.counters.stray += 1;
            return false;
        }
        slot.arrived |= bit;
        self.counters.messages += 1;
        if let Some(stopwatch) = &mut self.stopwatch {
            let sent = stopwatch.sent[index as usize];
            stopwatch.taken.record(now.saturating_sub(sent[step as usize]));
            if step == Step::Answer {
                stopwatch.set_up.record(now.saturating_sub(sent[Step::Invite as usize]));
            }
        }
        if slot.arrived & ALL_STEPS == ALL_STEPS {
            slot.used = false;
            self.free.push(index);
            self.counters.calls += 1;
        }
        true
    }

    /// A call has one 100 at most.
    fn trying(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.arrived & TRYING != 0 {
            self.counters.stray += 1;
        } else {
            slot.arrived |= TRYING;
            self.counters.trying += 1;
        }
    }

    fn check_server(&mut self, slot: u32, server: u16) {
        self.counters.wrong_server += u64::from(self.slots[slot as usize].server != server);
    }

    /// Forgets a call that failed. Calls in the row of established calls await no message, so they never come here.
    fn give_up(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        if slot.used && !self.established.contains(&index) {
            slot.used = false;
            self.free.push(index);
        }
    }
}

/// Whether a response has exactly the client's Via, of the transaction that its CSeq names.
fn is_ours(head: &Head<'_>, number: Number, transaction: Transaction) -> bool {
    let [via] = head.vias.lines() else { return false };
    let branch = parameter(value(via), b"branch=z9hG4bK");
    branch.is_some_and(|branch| {
        branch.len() == 17 && branch[..16] == number.digits() && branch[16] == transaction as u8
    })
}

/// The user in a line of From.
fn user_of(line: &[u8]) -> &[u8] {
    in_brackets(value(line)).and_then(|uri| uri.strip_prefix(b"sip:")).unwrap_or_default()
}

/// Whether a To has the tag that the server gave to this call.
fn has_tag_of(line: &[u8], digits: &[u8; 16]) -> bool {
    parameter(value(line), SERVER_TAG).is_some_and(|tag| tag == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(hold: usize) -> Calls {
        let client = "127.0.0.1:1".parse().unwrap();
        let servers = ["127.0.1.1:2".parse().unwrap(), "127.0.1.2:2".parse().unwrap()];
        let mut calls = Calls::new(
            Texts::new("UDP", 1, client, "127.0.0.1:3".parse().unwrap(), &servers),
            Kind::Passes { vias: 1 },
            8,
            true,
        );
        calls.set_hold(hold);
        calls
    }

    fn take(post: &mut Post) -> Vec<Vec<u8>> {
        let texts =
            post.messages.iter().map(|m| post.bytes[m.start as usize..m.end as usize].to_vec()).collect();
        post.clear();
        texts
    }

    /// Carries every message to its other end, requests to `server`, until none is left.
    fn settle(calls: &mut Calls, post: &mut Post, server: impl Fn(&[u8]) -> u16) {
        while !post.messages.is_empty() {
            for message in take(post) {
                if message.starts_with(b"SIP/2.0") {
                    calls.client_receives(&message, 5, post);
                } else {
                    calls.server_receives(server(&message), &message, 5, post);
                }
            }
        }
    }

    #[test]
    fn a_call_has_six_messages() {
        let (mut calls, mut post) = (calls(0), Post::default());
        assert!(calls.start(1, &mut post));
        settle(&mut calls, &mut post, |_| 1);
        assert_eq!(calls.counters.messages, MESSAGES_PER_CALL);
        assert_eq!((calls.counters.calls, calls.counters.failures(), calls.outstanding()), (1, 0, 0));
    }

    #[test]
    fn held_calls_end_in_the_order_they_began() {
        let (mut calls, mut post) = (calls(2), Post::default());
        for _ in 0..3 {
            assert!(calls.start(1, &mut post));
            settle(&mut calls, &mut post, |_| 0);
        }
        assert_eq!((calls.in_progress(), calls.counters.calls, calls.outstanding()), (2, 1, 0));
        assert_eq!(calls.counters.messages, 3 * 4 + 2);
    }

    #[test]
    fn a_bye_at_another_server_is_counted() {
        let (mut calls, mut post) = (calls(0), Post::default());
        calls.start(1, &mut post);
        settle(&mut calls, &mut post, |message| u16::from(message.starts_with(b"BYE")));
        assert_eq!(calls.counters.wrong_server, 1);
    }

    #[test]
    fn repeated_messages_are_strays() {
        let (mut calls, mut post) = (calls(0), Post::default());
        calls.start(1, &mut post);
        let invite = take(&mut post).remove(0);
        calls.server_receives(0, &invite, 2, &mut post);
        calls.server_receives(0, &invite, 2, &mut post);
        assert_eq!(calls.counters.stray, 1);
        let ringing = take(&mut post).remove(0);
        let other = String::from_utf8(ringing).unwrap().replace("z9hG4bK0", "z9hG4bK1");
        calls.client_receives(other.as_bytes(), 3, &mut post);
        assert_eq!(calls.counters.wrong, 1);
    }

    #[test]
    fn what_is_never_answered_times_out() {
        let (mut calls, mut post) = (calls(0), Post::default());
        calls.start(1, &mut post);
        calls.expire(PATIENCE_NANOS);
        assert_eq!((calls.counters.timeouts, calls.outstanding()), (0, 1));
        calls.expire(PATIENCE_NANOS + 1);
        assert_eq!((calls.counters.timeouts, calls.outstanding()), (1, 0));
    }
}
