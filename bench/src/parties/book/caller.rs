//! What arrives at the callers.

use crate::head::{Head, value};
use crate::parties::call::{End, Line, Moment, Plan};
use crate::parties::text::{self, Own};

use super::{Book, Timer, Way, way};

impl Book {
    /// A message at a caller.
    pub(crate) fn caller_receives(&mut self, bytes: &[u8], from: Way, now: u32) {
        let Some(head) = Head::scan(bytes) else { return self.stray += 1 };
        let Some(number) = text::number(&head) else { return self.stray += 1 };
        match head.status() {
            Some(status) => self.caller_response(number, status, &head, now),
            None => {
                self.out.push((from, self.texts.response("200 OK", &head, None)));
                self.bye_comes(number, &head, End::Callee, now);
            }
        }
        self.settle(number, now);
    }

    fn caller_response(&mut self, number: u32, status: u16, head: &Head<'_>, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return self.stray += 1 };
        let Plan { end, line, talk, .. } = call.plan;
        let sequence = value(head.cseq);
        match (sequence, status) {
            (b"1 INVITE", 100..200) => {
                call.provisional = true;
                if status > 100 && call.note(Moment::Ringing, now) && end == End::Cancel {
                    let due = now + call.plan.ring;
                    self.timer(due, number, Timer::Cancel, 0);
                }
            }
            (b"1 INVITE", 200..300) => {
                let Some(dialog) = self.texts.caller_dialog(head) else {
                    return call.fault("2xx without Contact", status);
                };
                if call.caller.is_empty() {
                    call.caller = dialog;
                } else if !call.caller.has_to(head.to) {
                    call.fault("2xx of another dialog", status);
                }
                let first = call.note(Moment::Answered, now);
                if matches!(end, End::Cancel | End::Refuse) {
                    call.fault("2xx nobody sent", status);
                }
                let own = match line {
                    Line::Udp => Own { address: self.caller, stream: false },
                    Line::Phone(phone) => self.phones[usize::from(phone)],
                };
                let ack = self.texts.within(number, "ACK", own, 1, &call.caller);
                self.out.push((way(line), ack));
                if first && end == End::Caller {
                    self.timer(now + talk, number, Timer::Talked, 0);
                }
            }
            (b"1 INVITE", _) => {
                call.note(Moment::Failed, now);
                let wanted = match end {
                    End::Cancel => status == 487 && call.has(Moment::Cancel),
                    End::Refuse => status == 486,
                    End::Caller | End::Callee => false,
                };
                if !wanted {
                    call.fault("final to INVITE", status);
                }
                let ack = self.texts.ack_to_failure(number, self.own(line), head.to);
                self.out.push((way(line), ack));
            }
            (b"1 CANCEL", 200..) => {
                call.cancel_answered = true;
                if status >= 300 {
                    call.fault("final to CANCEL", status);
                }
            }
            (_, 200..) if sequence.ends_with(b" BYE") => {
                call.note(Moment::Done, now);
                if status >= 300 {
                    call.fault("final to BYE", status);
                }
            }
            (b"1 CANCEL", _) => {}
            _ if [&b" BYE"[..], b" OPTIONS"].iter().any(|method| sequence.ends_with(method)) => {}
            _ => self.stray += 1,
        }
    }

    /// A BYE at the party that does not hang up, if `end` is the other's wish.
    pub(super) fn bye_comes(&mut self, number: u32, head: &Head<'_>, end: End, now: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return self.stray += 1 };
        if !head.start.starts_with(b"BYE ") {
            call.fault("request nobody sent", 0);
        } else if call.plan.end == end && call.has(Moment::Bye) {
            call.note(Moment::Byed, now);
        } else {
            call.fault("BYE nobody sent", 0);
        }
    }
}
