//! One call: what its parties want, when each of its messages was first sent and first arrived, and what went wrong with it.

use crate::parties::text::Dialog;

/// Times are kept in 10 µs since the start of the program: 32 bits last for 11 hours.
pub(crate) const TICKS_PER_SECOND: u32 = 100_000;
pub(crate) const TICK_MICROS: u64 = 10;

/// What ends the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The caller hangs up.
    Caller,
    /// The callee hangs up.
    Callee,
    /// The caller cancels while it rings.
    Cancel,
    /// The callee refuses after it has rung.
    Refuse,
}

impl End {
    pub(crate) fn name(self) -> &'static str {
        match self {
            End::Caller => "caller",
            End::Callee => "callee",
            End::Cancel => "cancel",
            End::Refuse => "refuse",
        }
    }
}

/// How the caller reaches the farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Udp,
    /// The number of a telephone, which has a connection of its own.
    Phone(u16),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) end: End,
    pub(crate) line: Line,
    pub(crate) ring: u32,
    pub(crate) talk: u32,
}

/// The messages of a call, each when it was first sent (by its first party) or first arrived (at the other).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The caller sends the INVITE.
    Invite,
    /// The INVITE is at the callee, which sends 180 at once.
    Invited,
    /// The 180 is at the caller.
    Ringing,
    /// The callee sends 200.
    Answer,
    /// The 200 is at the caller, which sends ACK at once.
    Answered,
    /// The ACK is at the callee, also the one to a failure.
    Acked,
    /// The party that hangs up sends BYE.
    Bye,
    /// The BYE is at the other party, which sends 200 at once.
    Byed,
    /// The 200 to the BYE is at the party that hung up.
    Done,
    /// The caller sends CANCEL.
    Cancel,
    /// The CANCEL is at the callee, which sends 487 at once.
    Cancelled,
    /// The callee sends 486.
    Refuse,
    /// The failure is at the caller, which sends ACK at once.
    Failed,
    /// The caller is back on another connection, and asks within the dialog.
    Asked,
}

pub(crate) const MOMENTS: [(Moment, &str); 14] = [
    (Moment::Invite, "invite"),
    (Moment::Invited, "invited"),
    (Moment::Ringing, "ringing"),
    (Moment::Answer, "answer"),
    (Moment::Answered, "answered"),
    (Moment::Acked, "acked"),
    (Moment::Bye, "bye"),
    (Moment::Byed, "byed"),
    (Moment::Done, "done"),
    (Moment::Cancel, "cancel"),
    (Moment::Cancelled, "cancelled"),
    (Moment::Refuse, "refuse"),
    (Moment::Failed, "failed"),
    (Moment::Asked, "asked"),
];

/// What went wrong: a word, and the status code that came with it or 0.
pub(crate) type Problem = (&'static str, u16);

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) plan: Plan,
    times: [u32; MOMENTS.len()],
    /// A provisional response stops the repetition of the INVITE.
    pub(crate) provisional: bool,
    /// The CANCEL has its own answer.
    pub(crate) cancel_answered: bool,
    /// How often the caller has asked.
    pub(crate) asked: u8,
    /// INVITEs at the callee that were no copies of each other.
    pub(crate) rang: u8,
    /// Hash of branch and sender of the INVITE at the callee.
    pub(crate) transaction: u64,
    pub(crate) problem: Option<Problem>,
    /// The line of the call waits to be written.
    pub(crate) over: bool,
    /// The INVITE at the callee, until it is acknowledged.
    pub(crate) invite: Box<[u8]>,
    pub(crate) caller: Dialog,
    pub(crate) callee: Dialog,
}

impl Call {
    pub(crate) fn new(plan: Plan) -> Call {
        Call {
            plan,
            times: [0; MOMENTS.len()],
            provisional: false,
            cancel_answered: false,
            asked: 0,
            rang: 0,
            transaction: 0,
            problem: None,
            over: false,
            invite: Box::default(),
            caller: Dialog::default(),
            callee: Dialog::default(),
        }
    }

    pub(crate) fn has(&self, moment: Moment) -> bool {
        self.times[moment as usize] != 0
    }

    /// Notes a moment; false if it was there before.
    pub(crate) fn note(&mut self, moment: Moment, now: u32) -> bool {
        let first = !self.has(moment);
        if first {
            self.times[moment as usize] = now;
        }
        first
    }

    /// Notes the last time of what happens several times.
    pub(crate) fn note_again(&mut self, moment: Moment, now: u32) {
        self.times[moment as usize] = now;
    }

    /// Notes the first thing that went wrong.
    pub(crate) fn fault(&mut self, what: &'static str, status: u16) {
        self.problem.get_or_insert((what, status));
    }

    /// Whether the call ended as its parties wanted.
    pub(crate) fn ended(&self) -> bool {
        match self.plan.end {
            End::Caller | End::Callee => self.has(Moment::Done),
            End::Cancel => self.has(Moment::Failed) && self.has(Moment::Acked) && self.cancel_answered,
            End::Refuse => self.has(Moment::Failed) && self.has(Moment::Acked),
        }
    }

    /// The first line of a file of calls.
    pub(crate) fn head() -> String {
        let moments = MOMENTS.map(|(_, name)| name);
        format!("number,line,end,{},rang,problem,status", moments.join(","))
    }

    /// The call as a line: times in microseconds of the system's monotonic clock, 0 where nothing happened.
    pub(crate) fn row(&self, number: u32, line: &str, start_micros: u64) -> String {
        let times = self.times.map(|ticks| match ticks {
            0 => "0".into(),
            ticks => (start_micros + u64::from(ticks) * TICK_MICROS).to_string(),
        });
        let (problem, status) = self.problem.unwrap_or_default();
        let end = self.plan.end.name();
        format!("{number},{line},{end},{},{},{problem},{status}", times.join(","), self.rang)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_value_for_each_name_of_the_head() {
        let plan = Plan { end: End::Caller, line: Line::Udp, ring: 1, talk: 1 };
        let mut call = Call::new(plan);
        assert!(call.note(Moment::Invite, 7) && !call.note(Moment::Invite, 8));
        call.fault("no ACK", 0);
        call.fault("late", 481);
        let row = call.row(3, "udp", 1000);
        assert_eq!(row, "3,udp,caller,1070,0,0,0,0,0,0,0,0,0,0,0,0,0,0,no ACK,0");
        assert_eq!(row.split(',').count(), Call::head().split(',').count());
    }

    #[test]
    fn moments_lie_at_their_own_place() {
        for (at, (moment, _)) in MOMENTS.into_iter().enumerate() {
            assert_eq!(moment as usize, at);
        }
    }
}
