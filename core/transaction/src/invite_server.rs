//! INVITE server transaction (RFC 3261 §17.2.1, figure 7; with Accepted of RFC 6026 §7.1).
//!
//! Repeats a failure over an unreliable transport until the ACK comes, and absorbs copies of the INVITE.

use base::Time;

use crate::clock::{Clock, State, stored};
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
    /// 200 ms have passed without a response from the transaction user.
    TimerTrying,
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

/// A value of 24 bytes, made when the INVITE comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteServer(Clock<InviteServerState>);

impl State for InviteServerState {
    const KIND: u8 = 3;
    const ALL: &'static [InviteServerState] = {
        use InviteServerState::*;
        &[Proceeding, Completed, Confirmed, Accepted, Terminated]
    };
    const TERMINATED: InviteServerState = InviteServerState::Terminated;
}

stored!(InviteServer, InviteServerState);

impl InviteServer {
    /// `reliable`: the transport itself repeats, so timer G does not run and timer I is zero. The owner sends a first response
    /// at once, or has sent a 100.
    pub fn start(reliable: bool) -> InviteServer {
        InviteServer(Clock::new(InviteServerState::Proceeding, reliable))
    }

    /// The owner may answer later: if it has sent nothing within 200 ms, [`Output::Trying`] asks for a 100 (RFC 3261 §17.2.1).
    pub fn start_unanswered(now: Time, reliable: bool, timers: &Timers) -> InviteServer {
        let mut clock = Clock::new(InviteServerState::Proceeding, reliable);
        clock.repeat_at = now + timers.trying_invite();
        InviteServer(clock)
    }

    /// The timer that has run out, for [`InviteServer::handle`].
    pub fn due(&self, now: Time) -> Option<InviteServerEvent> {
        use InviteServerState::*;
        let end = match self.0.state {
            Completed => Some(InviteServerEvent::TimerH),
            Confirmed => Some(InviteServerEvent::TimerI),
            Accepted => Some(InviteServerEvent::TimerL),
            Proceeding | Terminated => None,
        };
        let copy = match self.0.state {
            Proceeding => InviteServerEvent::TimerTrying,
            Completed | Confirmed | Accepted | Terminated => InviteServerEvent::TimerG,
        };
        self.0.due(now, end, copy)
    }

    pub fn handle(&mut self, now: Time, event: InviteServerEvent, timers: &Timers) -> Output {
        use InviteServerEvent::*;
        use InviteServerState::*;
        match (self.0.state, event) {
            // Before the first response there is nothing to repeat.
            (Proceeding, Invite) if self.0.repeat_at != Time::NEVER => Output::Nothing,
            (Proceeding, Invite) => Output::Repeat,
            (Proceeding, TimerTrying) if self.0.repeat_at == Time::NEVER => Output::Ignored,
            (Proceeding, TimerTrying) => self.0.enter(Proceeding, Time::NEVER, Output::Trying),
            (Proceeding, Provisional) => self.0.enter(Proceeding, Time::NEVER, Output::Pass),
            (Proceeding, Failure) => {
                self.0.enter(Completed, now + timers.h(), Output::Pass);
                self.0.repeat(now, |copies| timers.g(copies));
                Output::Pass
            }
            (Proceeding, Success) => self.0.enter(Accepted, now + timers.l(), Output::Pass),
            (Proceeding, TransportError) => Output::Unreachable,
            (Completed, Invite) => Output::Repeat,
            (Completed, TimerG) => self.0.repeat(now, |copies| timers.g(copies)),
            (Completed, Ack) => self.0.linger(now, Confirmed, timers.i(self.0.reliable), Output::Nothing),
            (Completed, TimerH) => self.0.terminate(Output::Timeout),
            (Completed, TransportError) => Output::Unreachable,
            (Confirmed, TimerI) => self.0.terminate(Output::Nothing),
            (Confirmed, Ack | Invite) => Output::Nothing,
            (Accepted, Invite) => Output::Nothing,
            (Accepted, Ack | Success) => Output::Pass,
            (Accepted, TransportError) => Output::Unreachable,
            (Accepted, TimerL) => self.0.terminate(Output::Nothing),
            (Proceeding, Ack | TimerG | TimerH | TimerI | TimerL)
            | (Completed, TimerTrying | TimerI | TimerL | Provisional | Success | Failure)
            | (
                Confirmed,
                TimerTrying | TimerG | TimerH | TimerL | Provisional | Success | Failure | TransportError,
            )
            | (Accepted, TimerTrying | TimerG | TimerH | TimerI | Provisional | Failure)
            | (Terminated, _) => Output::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InviteServerEvent::*;
    use super::InviteServerState::*;
    use super::*;

    const STATES: [InviteServerState; 5] = [Proceeding, Completed, Confirmed, Accepted, Terminated];
    const EVENTS: [InviteServerEvent; 11] = [
        Invite,
        Ack,
        TimerTrying,
        TimerG,
        TimerH,
        TimerI,
        TimerL,
        Provisional,
        Success,
        Failure,
        TransportError,
    ];

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

    /// The RFC's figure as a table: a change to it is a change to review.
    const TABLE: &str = "
Proceeding Invite         -> Proceeding Repeat
Proceeding Ack            -> Proceeding Ignored
Proceeding TimerTrying    -> Proceeding Ignored
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
Completed  TimerTrying    -> Completed  Ignored
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
Confirmed  TimerTrying    -> Confirmed  Ignored
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
Accepted   TimerTrying    -> Accepted   Ignored
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
Terminated TimerTrying    -> Terminated Ignored
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

    #[test]
    fn a_100_is_asked_for_after_200_ms_without_a_response() {
        let timers = Timers::default();
        let mut machine = InviteServer::start_unanswered(Time::ZERO, false, &timers);
        assert_eq!(machine.next_deadline(), Some(Time::from_millis(200)));
        assert_eq!(machine.handle(Time::from_millis(100), Invite, &timers), Output::Nothing);
        assert_eq!(machine.due(Time::from_millis(199)), None);
        assert_eq!(machine.due(Time::from_millis(200)), Some(TimerTrying));
        assert_eq!(machine.handle(Time::from_millis(200), TimerTrying, &timers), Output::Trying);
        assert_eq!((machine.state(), machine.next_deadline()), (Proceeding, None));
        assert_eq!(machine.handle(Time::from_millis(500), Invite, &timers), Output::Repeat);
    }

    #[test]
    fn a_response_within_200_ms_makes_the_100_needless() {
        let timers = Timers::default();
        for response in [Provisional, Success, Failure] {
            let mut machine = InviteServer::start_unanswered(Time::ZERO, false, &timers);
            machine.handle(Time::from_millis(100), response, &timers);
            assert_eq!(machine.due(Time::from_millis(200)), None, "{response:?}");
        }
    }
}
