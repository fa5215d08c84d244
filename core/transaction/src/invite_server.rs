//! INVITE server transaction (RFC 3261 §17.2.1, figure 7; with Accepted of RFC 6026 §7.1).
//!
//! Repeats a failure over an unreliable transport until the ACK comes, and absorbs copies of the INVITE.

use base::Time;

use crate::{Output, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteServerState {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteServerEvent {
    /// A copy of the INVITE.
    Invite,
    Ack,
    TimerG,
    TimerH,
    TimerI,
    TimerL,
    /// The transaction user sends a 1xx.
    Provisional,
    /// The transaction user sends a 2xx.
    Success,
    /// The transaction user sends a 300 to 699.
    Failure,
    TransportError,
}

/// A value of 24 bytes, made when the INVITE has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteServer {
    state: InviteServerState,
    reliable: bool,
    /// How often the failure was sent, which says how long timer G runs.
    copies: u8,
    /// Timer G.
    repeat_at: Time,
    /// Timer H, I or L, whichever belongs to the state.
    ends_at: Time,
}

/// A timer that does not run.
const NEVER: Time = Time::from_micros(u64::MAX);

impl InviteServer {
    /// `reliable`: the transport repeats by itself, so timer G does not run and timer I is zero.
    pub fn start(reliable: bool) -> InviteServer {
        let state = InviteServerState::Proceeding;
        InviteServer { state, reliable, copies: 0, repeat_at: NEVER, ends_at: NEVER }
    }

    pub fn state(&self) -> InviteServerState {
        self.state
    }

    /// When to look for [`InviteServer::due`] again.
    pub fn next_deadline(&self) -> Option<Time> {
        let next = self.repeat_at.min(self.ends_at);
        (next != NEVER).then_some(next)
    }

    /// The timer that has run out, to be handed to [`InviteServer::handle`].
    pub fn due(&self, now: Time) -> Option<InviteServerEvent> {
        use InviteServerState::*;
        if self.ends_at <= now && self.ends_at != NEVER {
            return match self.state {
                Completed => Some(InviteServerEvent::TimerH),
                Confirmed => Some(InviteServerEvent::TimerI),
                Accepted => Some(InviteServerEvent::TimerL),
                Proceeding | Terminated => None,
            };
        }
        (self.repeat_at <= now && self.repeat_at != NEVER).then_some(InviteServerEvent::TimerG)
    }

    pub fn handle(&mut self, now: Time, event: InviteServerEvent, timers: &Timers) -> Output {
        use InviteServerEvent::*;
        use InviteServerState::*;
        match (self.state, event) {
            (Proceeding, Invite) => Output::Repeat,
            (Proceeding, Provisional) => Output::Pass,
            (Proceeding, Failure) => {
                self.copies = 1;
                let repeat_at = if self.reliable { NEVER } else { now + timers.g(1) };
                self.enter(Completed, repeat_at, now + timers.h(), Output::Pass)
            }
            (Proceeding, Success) => self.enter(Accepted, NEVER, now + timers.l(), Output::Pass),
            (Proceeding, TransportError) => Output::Unreachable,
            (Completed, Invite) => Output::Repeat,
            (Completed, TimerG) => {
                self.copies = self.copies.saturating_add(1);
                self.repeat_at = if self.reliable { NEVER } else { now + timers.g(self.copies) };
                Output::Repeat
            }
            (Completed, Ack) if self.reliable => self.enter(Terminated, NEVER, NEVER, Output::Nothing),
            (Completed, Ack) => self.enter(Confirmed, NEVER, now + timers.i(false), Output::Nothing),
            (Completed, TimerH) => self.enter(Terminated, NEVER, NEVER, Output::Timeout),
            (Completed, TransportError) => Output::Unreachable,
            (Confirmed, TimerI) => self.enter(Terminated, NEVER, NEVER, Output::Nothing),
            (Confirmed, Ack | Invite) => Output::Nothing,
            (Accepted, Invite) => Output::Nothing,
            (Accepted, Ack | Success) => Output::Pass,
            (Accepted, TransportError) => Output::Unreachable,
            (Accepted, TimerL) => self.enter(Terminated, NEVER, NEVER, Output::Nothing),
            (Proceeding, Ack | TimerG | TimerH | TimerI | TimerL)
            | (Completed, TimerI | TimerL | Provisional | Success | Failure)
            | (Confirmed, TimerG | TimerH | TimerL | Provisional | Success | Failure | TransportError)
            | (Accepted, TimerG | TimerH | TimerI | Provisional | Failure)
            | (Terminated, _) => Output::Ignored,
        }
    }

    fn enter(&mut self, state: InviteServerState, repeat_at: Time, ends_at: Time, output: Output) -> Output {
        self.state = state;
        self.repeat_at = repeat_at;
        self.ends_at = ends_at;
        output
    }
}

#[cfg(test)]
mod tests {
    use super::InviteServerEvent::*;
    use super::InviteServerState::*;
    use super::*;

    const STATES: [InviteServerState; 5] = [Proceeding, Completed, Confirmed, Accepted, Terminated];
    const EVENTS: [InviteServerEvent; 10] =
        [Invite, Ack, TimerG, TimerH, TimerI, TimerL, Provisional, Success, Failure, TransportError];

    fn machine(state: InviteServerState) -> InviteServer {
        let timers = Timers::default();
        let mut machine = InviteServer::start(false);
        let path: &[InviteServerEvent] = match state {
            Proceeding => &[],
            Completed => &[Failure],
            Confirmed => &[Failure, Ack],
            Accepted => &[Success],
            Terminated => &[Failure, TimerH],
        };
        for event in path {
            machine.handle(Time::ZERO, *event, &timers);
        }
        assert_eq!(machine.state(), state);
        machine
    }

    /// The figure as a table: a change to it is a change to review.
    const TABLE: &str = "
Proceeding Invite         -> Proceeding Repeat
Proceeding Ack            -> Proceeding Ignored
Proceeding TimerG         -> Proceeding Ignored
Proceeding TimerH         -> Proceeding Ignored
Proceeding TimerI         -> Proceeding Ignored
Proceeding TimerL         -> Proceeding Ignored
Proceeding Provisional    -> Proceeding Pass
Proceeding Success        -> Accepted   Pass
Proceeding Failure        -> Completed  Pass
Proceeding TransportError -> Proceeding Unreachable
Completed  Invite         -> Completed  Repeat
Completed  Ack            -> Confirmed  Nothing
Completed  TimerG         -> Completed  Repeat
Completed  TimerH         -> Terminated Timeout
Completed  TimerI         -> Completed  Ignored
Completed  TimerL         -> Completed  Ignored
Completed  Provisional    -> Completed  Ignored
Completed  Success        -> Completed  Ignored
Completed  Failure        -> Completed  Ignored
Completed  TransportError -> Completed  Unreachable
Confirmed  Invite         -> Confirmed  Nothing
Confirmed  Ack            -> Confirmed  Nothing
Confirmed  TimerG         -> Confirmed  Ignored
Confirmed  TimerH         -> Confirmed  Ignored
Confirmed  TimerI         -> Terminated Nothing
Confirmed  TimerL         -> Confirmed  Ignored
Confirmed  Provisional    -> Confirmed  Ignored
Confirmed  Success        -> Confirmed  Ignored
Confirmed  Failure        -> Confirmed  Ignored
Confirmed  TransportError -> Confirmed  Ignored
Accepted   Invite         -> Accepted   Nothing
Accepted   Ack            -> Accepted   Pass
Accepted   TimerG         -> Accepted   Ignored
Accepted   TimerH         -> Accepted   Ignored
Accepted   TimerI         -> Accepted   Ignored
Accepted   TimerL         -> Terminated Nothing
Accepted   Provisional    -> Accepted   Ignored
Accepted   Success        -> Accepted   Pass
Accepted   Failure        -> Accepted   Ignored
Accepted   TransportError -> Accepted   Unreachable
Terminated Invite         -> Terminated Ignored
Terminated Ack            -> Terminated Ignored
Terminated TimerG         -> Terminated Ignored
Terminated TimerH         -> Terminated Ignored
Terminated TimerI         -> Terminated Ignored
Terminated TimerL         -> Terminated Ignored
Terminated Provisional    -> Terminated Ignored
Terminated Success        -> Terminated Ignored
Terminated Failure        -> Terminated Ignored
Terminated TransportError -> Terminated Ignored
";

    #[test]
    fn every_state_and_event() {
        let mut table = String::from("\n");
        for state in STATES {
            for event in EVENTS {
                let mut machine = machine(state);
                let output = machine.handle(Time::from_secs(1), event, &Timers::default());
                let (from, event, to, output) = (
                    format!("{state:?}"),
                    format!("{event:?}"),
                    format!("{:?}", machine.state()),
                    format!("{output:?}"),
                );
                table += &format!("{from:<10} {event:<14} -> {to:<10} {output}\n");
            }
        }
        println!("{table}");
        assert_eq!(table, TABLE);
    }

    #[test]
    fn a_failure_is_repeated_until_the_ack_or_timer_h() {
        let timers = Timers::default();
        let mut machine = InviteServer::start(false);
        machine.handle(Time::ZERO, Failure, &timers);
        let mut sent = Vec::new();
        while let Some(at) = machine.next_deadline() {
            let event = machine.due(at).expect("a deadline has its timer");
            match machine.handle(at, event, &timers) {
                Output::Repeat => sent.push(at.as_millis()),
                output => assert_eq!((output, at.as_millis()), (Output::Timeout, 32_000)),
            }
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    }

    #[test]
    fn a_reliable_transport_repeats_nothing_and_ends_with_the_ack() {
        let timers = Timers::default();
        let mut machine = InviteServer::start(true);
        machine.handle(Time::ZERO, Failure, &timers);
        assert_eq!(machine.next_deadline(), Some(Time::from_secs(32)));
        assert_eq!(machine.handle(Time::ZERO, Ack, &timers), Output::Nothing);
        assert_eq!((machine.state(), machine.next_deadline()), (Terminated, None));
    }
}
