//! The calls of a run, with the client and server transactions of both parties as RFC 3261 §17 has them. It takes messages and
//! the time, and leaves messages in `out` and lines of calls that are over in `rows`; it knows no socket.

mod callee;
mod caller;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddrV4;

use crate::head::Head;
use crate::parties::call::{Call, End, Line, Moment, Plan, TICKS_PER_SECOND};
use crate::parties::text::{Own, Texts};

const T1: u32 = TICKS_PER_SECOND / 2;
const T2: u32 = TICKS_PER_SECOND * 4;
/// Timers B, F and H.
const GIVE_UP: u32 = 64 * T1;
/// A call is lost if it is not over so long after its parties wanted it to be: ten times what any death may cost.
const PATIENCE: u32 = 60 * TICKS_PER_SECOND;
/// A call that is over answers repetitions for so long: the INVITE of a callee that rings again comes within it.
const LINGER: u32 = 10 * TICKS_PER_SECOND;
/// How long a caller that wants to cancel waits for a 180.
const SILENCE: u32 = 10 * TICKS_PER_SECOND;

/// Where a message goes, or came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The callers' datagrams.
    Caller,
    /// The callees' datagrams.
    Callee,
    /// The connection of a telephone.
    Phone(u16),
    /// A connection that the farm made to a telephone.
    Inbound(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Timer A: the INVITE again; timer B.
    Invite,
    /// The callee answers or refuses.
    Rung,
    /// The final response to the INVITE again, until the ACK; timer H.
    Final,
    /// The party that wants to hangs up.
    Talked,
    /// Timer E: the BYE again; timer F.
    Bye,
    /// The caller cancels.
    Cancel,
    /// The CANCEL again.
    Cancelling,
    /// The call is lost if it is not over.
    Patience,
    /// The call is forgotten, and its line written.
    Linger,
}

pub(crate) struct Book {
    texts: Texts,
    /// How callers write themselves: by datagram, or a telephone by its number.
    pub(crate) caller: SocketAddrV4,
    pub(crate) phones: Vec<Own>,
    /// The first of the telephones ask within their dialogs when they have a new connection: so many.
    pub(crate) asking: u16,
    /// How long a call that is over is remembered.
    pub(crate) linger: u32,
    calls: HashMap<u32, Call>,
    timers: BinaryHeap<Reverse<(u32, u32, Timer, u8)>>,
    next: u32,
    pub(crate) out: Vec<(Way, Vec<u8>)>,
    /// Calls that are over.
    pub(crate) rows: Vec<(u32, Call)>,
    /// INVITEs at the callee for calls that are long over: number, and when.
    pub(crate) again: Vec<(u32, u32)>,
    /// Messages that belong to no call.
    pub(crate) stray: u64,
}

impl Book {
    pub(crate) fn new(texts: Texts, caller: SocketAddrV4, phones: Vec<Own>) -> Book {
        Book {
            texts,
            caller,
            phones,
            asking: 0,
            linger: LINGER,
            calls: HashMap::new(),
            timers: BinaryHeap::new(),
            next: 0,
            out: Vec::new(),
            rows: Vec::new(),
            again: Vec::new(),
            stray: 0,
        }
    }

    /// Calls that are not yet written as lines.
    pub(crate) fn in_progress(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn begun(&self) -> u32 {
        self.next
    }

    /// When the next timer runs out.
    pub(crate) fn due(&self) -> Option<u32> {
        self.timers.peek().map(|Reverse((due, ..))| *due)
    }

    pub(crate) fn begin(&mut self, plan: Plan, now: u32) {
        let number = self.next;
        self.next += 1;
        let mut call = Call::new(plan);
        call.note(Moment::Invite, now);
        self.calls.insert(number, call);
        self.send_invite(number, plan.line);
        self.timer(now + T1, number, Timer::Invite, 1);
        self.timer(now + plan.ring + plan.talk + PATIENCE, number, Timer::Patience, 0);
        if plan.end == End::Cancel {
            // A 180 that was lost comes no second time (RFC 3261 §17.2.1): its caller gives up all the same.
            self.timer(now + plan.ring + SILENCE, number, Timer::Cancel, 0);
        }
    }

    /// A telephone has a new connection, and repeats over it what has no final response.
    pub(crate) fn reconnected(&mut self, phone: u16, now: u32) {
        let line = Line::Phone(phone);
        let is_here = |call: &Call| call.plan.line == line && call.problem.is_none();
        let numbers: Vec<_> =
            self.calls.iter().filter(|(_, call)| is_here(call)).map(|(number, _)| *number).collect();
        for number in numbers {
            let call = &self.calls[&number];
            let has = |moment| call.has(moment);
            let unanswered = !has(Moment::Answered) && !has(Moment::Failed);
            let cancel = unanswered && has(Moment::Cancel);
            let bye = call.plan.end == End::Caller && has(Moment::Bye) && !has(Moment::Done);
            let is_up = has(Moment::Answered) && !has(Moment::Byed) && !has(Moment::Done) && !bye;
            if unanswered {
                self.send_invite(number, line);
            }
            if cancel {
                self.send_cancel(number, line);
            }
            if bye {
                self.send_bye(number);
            }
            if is_up && phone < self.asking {
                self.ask(number, now);
            }
        }
    }

    /// Lets timers run out.
    pub(crate) fn expire(&mut self, now: u32) {
        while let Some(Reverse((due, number, timer, step))) = self.timers.peek().copied() {
            if due > now {
                return;
            }
            self.timers.pop();
            self.runs_out(number, timer, step, now);
        }
    }

    fn runs_out(&mut self, number: u32, timer: Timer, step: u8, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if timer == Timer::Linger {
            let call = self.calls.remove(&number).expect("looked up above");
            return self.rows.push((number, call));
        }
        if call.problem.is_some() {
            return;
        }
        let Plan { end, line, .. } = call.plan;
        let unanswered = !call.has(Moment::Answered) && !call.has(Moment::Failed);
        // A BYE says as well that the 2xx has come.
        let unacknowledged = !call.has(Moment::Acked) && !call.has(Moment::Byed);
        match timer {
            Timer::Invite if unanswered && !call.provisional => {
                if !self.again(now, number, timer, step, u32::MAX) {
                    return self.lost(number, "no answer to INVITE", 0, now);
                }
                if line == Line::Udp {
                    self.send_invite(number, line);
                }
            }
            Timer::Rung => {
                call.note(if end == End::Refuse { Moment::Refuse } else { Moment::Answer }, now);
                self.send_final(number);
                self.timer(now + T1, number, Timer::Final, 1);
            }
            Timer::Final if unacknowledged => {
                if !self.again(now, number, timer, step, T2) {
                    return self.lost(number, "no ACK", 0, now);
                }
                self.send_final(number);
            }
            Timer::Talked => {
                call.note(Moment::Bye, now);
                self.send_bye(number);
                self.timer(now + T1, number, Timer::Bye, 1);
            }
            Timer::Bye if !call.has(Moment::Done) => {
                if !self.again(now, number, timer, step, T2) {
                    return self.lost(number, "no answer to BYE", 0, now);
                }
                if end == End::Callee || line == Line::Udp {
                    self.send_bye(number);
                }
            }
            Timer::Cancel if unanswered && !call.has(Moment::Cancel) => {
                call.note(Moment::Cancel, now);
                self.send_cancel(number, line);
                self.timer(now + T1, number, Timer::Cancelling, 1);
            }
            Timer::Cancelling if !call.cancel_answered => {
                if !self.again(now, number, timer, step, T2) {
                    return self.lost(number, "no answer to CANCEL", 0, now);
                }
                if line == Line::Udp {
                    self.send_cancel(number, line);
                }
            }
            Timer::Patience if !call.ended() => self.lost(number, "not over", 0, now),
            _ => {}
        }
    }

    /// Sets the timer of a repetition anew; false if it is time to give up. `step`: repetitions so far, one included.
    fn again(&mut self, now: u32, number: u32, timer: Timer, step: u8, most: u32) -> bool {
        // The intervals double from T1 up to `most`; their sum is 64·T1 in the end.
        let intervals = (0..step).map(|step| (T1 << step.min(6)).min(most));
        let passed: u32 = intervals.sum();
        if passed >= GIVE_UP - T1 {
            return false;
        }
        self.timer(now + (T1 << step.min(6)).min(most), number, timer, step + 1);
        true
    }

    fn timer(&mut self, due: u32, number: u32, timer: Timer, step: u8) {
        self.timers.push(Reverse((due, number, timer, step)));
    }

    fn lost(&mut self, number: u32, what: &'static str, status: u16, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.fault(what, status);
        self.settle(number, now);
    }

    /// A call that is over lingers, and is then written.
    fn settle(&mut self, number: u32, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if !call.over && (call.problem.is_some() || call.ended()) {
            call.over = true;
            self.timer(now + self.linger, number, Timer::Linger, 0);
        }
    }

    fn own(&self, line: Line) -> Own {
        match line {
            Line::Udp => Own { address: self.caller, stream: false },
            Line::Phone(phone) => self.phones[usize::from(phone)],
        }
    }

    fn send_invite(&mut self, number: u32, line: Line) {
        self.out.push((way(line), self.texts.invite(number, self.own(line))));
    }

    fn send_cancel(&mut self, number: u32, line: Line) {
        self.out.push((way(line), self.texts.cancel(number, self.own(line))));
    }

    /// The caller asks whether the call is still up.
    fn ask(&mut self, number: u32, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        call.note_again(Moment::Asked, now);
        call.asked = call.asked.saturating_add(1);
        let (line, sequence) = (call.plan.line, 1 + u32::from(call.asked));
        let own = self.own(line);
        let Some(call) = self.calls.get(&number) else { return };
        self.out.push((way(line), self.texts.within(number, "OPTIONS", own, sequence, &call.caller)));
    }

    fn send_bye(&mut self, number: u32) {
        let Some(call) = self.calls.get(&number) else { return };
        let message = match call.plan.end {
            End::Caller => {
                let line = call.plan.line;
                let sequence = 2 + u32::from(call.asked);
                (way(line), self.texts.within(number, "BYE", self.own(line), sequence, &call.caller))
            }
            _ => {
                let own = Own { address: self.texts.callee, stream: false };
                (Way::Callee, self.texts.within(number, "BYE", own, 1, &call.callee))
            }
        };
        self.out.push(message);
    }

    /// The callee's last final response to the INVITE, or its 180.
    fn send_final(&mut self, number: u32) {
        let Some(call) = self.calls.get(&number) else { return };
        let Some(head) = Head::scan(&call.invite) else { return };
        let status = if call.has(Moment::Cancelled) {
            "487 Request Terminated"
        } else if call.has(Moment::Refuse) {
            "486 Busy Here"
        } else if call.has(Moment::Answer) {
            "200 OK"
        } else {
            "180 Ringing"
        };
        self.out.push((Way::Callee, self.texts.response(status, &head, Some(number))));
    }
}

fn way(line: Line) -> Way {
    match line {
        Line::Udp => Way::Caller,
        Line::Phone(phone) => Way::Phone(phone),
    }
}

#[cfg(test)]
mod tests;
