//! What arrives at the callees.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::head::Head;
use crate::parties::call::{End, Moment};
use crate::parties::text;

use super::{Book, T1, Timer, Way};

impl Book {
    /// A message at the callee.
    pub(crate) fn callee_receives(&mut self, bytes: &[u8], now: u32) {
        let Some(head) = Head::scan(bytes) else { return self.stray += 1 };
        let Some(number) = text::number(&head) else { return self.stray += 1 };
        if let Some(status) = head.status() {
            match self.calls.get_mut(&number) {
                Some(call) if status >= 200 => {
                    call.note(Moment::Done, now);
                    if status >= 300 {
                        call.fault("final to BYE", status);
                    }
                }
                Some(_) => {}
                None => self.stray += 1,
            }
        } else if head.start.starts_with(b"INVITE ") {
            self.invite_comes(number, &head, bytes, now);
        } else if head.start.starts_with(b"ACK ") {
            self.ack_comes(number, now);
        } else {
            self.out.push((Way::Callee, self.texts.response("200 OK", &head, Some(number))));
            if head.start.starts_with(b"CANCEL ") {
                self.cancel_comes(number, now);
            } else if !head.start.starts_with(b"OPTIONS ") {
                self.bye_comes(number, &head, End::Caller, now);
            }
        }
        self.settle(number, now);
    }

    fn invite_comes(&mut self, number: u32, head: &Head<'_>, bytes: &[u8], now: u32) {
        let Some(call) = self.calls.get_mut(&number) else {
            // A copy that was long on its way rings too, since nobody remembers its first.
            return self.again.push((number, now));
        };
        let mut hasher = DefaultHasher::new();
        text::transaction(head).hash(&mut hasher);
        let transaction = hasher.finish();
        if call.note(Moment::Invited, now) {
            (call.rang, call.transaction, call.invite) = (1, transaction, bytes.into());
            match self.texts.callee_dialog(number, head) {
                Some(dialog) => call.callee = dialog,
                None => return call.fault("INVITE without Contact", 0),
            }
            let (end, ring) = (call.plan.end, call.plan.ring);
            self.send_final(number);
            if end != End::Cancel {
                self.timer(now + ring, number, Timer::Rung, 0);
            }
        } else if call.transaction != transaction {
            call.rang = call.rang.saturating_add(1);
            self.out.push((Way::Callee, self.texts.response("482 Merged Request", head, Some(number))));
        } else if !call.has(Moment::Answer) && !call.has(Moment::Acked) {
            // A 2xx repeats itself; all else is repeated for each copy (RFC 3261 §17.2.1, RFC 6026 §7.1).
            self.send_final(number);
        }
    }

    fn ack_comes(&mut self, number: u32, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return self.stray += 1 };
        let final_sent =
            [Moment::Answer, Moment::Refuse, Moment::Cancelled].iter().any(|sent| call.has(*sent));
        if !final_sent {
            return call.fault("ACK nobody sent", 0);
        }
        if call.note(Moment::Acked, now) {
            call.invite = Box::default();
            if call.plan.end == End::Callee {
                let due = now + call.plan.talk;
                self.timer(due, number, Timer::Talked, 0);
            }
        }
    }

    fn cancel_comes(&mut self, number: u32, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return self.stray += 1 };
        if call.plan.end != End::Cancel || !call.has(Moment::Cancel) {
            return call.fault("CANCEL nobody sent", 0);
        }
        if call.note(Moment::Cancelled, now) {
            self.send_final(number);
            self.timer(now + T1, number, Timer::Final, 1);
        }
    }
}
