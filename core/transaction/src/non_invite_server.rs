//! Server transaction of every request but INVITE and ACK (RFC 3261 §17.2.2, figure 8), with the rules of RFC 4320.
//!
//! Answers copies of the request with the last response. A 100 leaves as soon as the client's timer E has slowed down to T2,
//! and no sooner; no other 1xx is ever sent (RFC 4320 §4.1). A server without a final response at the end of the client's timer
//! F sends none (§4.2).

use base::Time;

use crate::clock::{Clock, State, stored};
use crate::{Output, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonInviteServerState {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonInviteServerEvent {
    /// A copy of the request.
    Request,
    /// The transaction user sends a 100.
    Provisional,
    /// The transaction user sends a 200 to 699.
    Final,
    /// The client now repeats at pauses of T2, and a 100 tells it that its request has arrived (RFC 4320 §4.1).
    TimerTrying,
    /// The client has given up (RFC 4320 §4.2).
    TimerF,
    TimerJ,
    TransportError,
}

/// A value of 24 bytes, made when the request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteServer(Clock<NonInviteServerState>);

impl State for NonInviteServerState {
    const KIND: u8 = 4;
    const ALL: &'static [NonInviteServerState] = {
        use NonInviteServerState::*;
        &[Trying, Proceeding, Completed, Terminated]
    };
    const TERMINATED: NonInviteServerState = NonInviteServerState::Terminated;
}

stored!(NonInviteServer, NonInviteServerState);

impl NonInviteServer {
    /// `reliable`: the transport itself repeats, so timer J is zero and a 100 may leave at any time.
    pub fn start(now: Time, reliable: bool, timers: &Timers) -> NonInviteServer {
        let mut clock = Clock::new(NonInviteServerState::Trying, reliable);
        (clock.repeat_at, clock.ends_at) = (now + timers.trying_non_invite(), now + timers.f());
        NonInviteServer(clock)
    }

    /// The timer that has run out, for [`NonInviteServer::handle`]. The timer that ends the state comes first.
    pub fn due(&self, now: Time) -> Option<NonInviteServerEvent> {
        use NonInviteServerState::*;
        let end = match self.0.state {
            Trying | Proceeding => Some(NonInviteServerEvent::TimerF),
            Completed => Some(NonInviteServerEvent::TimerJ),
            Terminated => None,
        };
        self.0.due(now, end, NonInviteServerEvent::TimerTrying)
    }

    pub fn handle(&mut self, now: Time, event: NonInviteServerEvent, timers: &Timers) -> Output {
        use NonInviteServerEvent::*;
        use NonInviteServerState::*;
        match (self.0.state, event) {
            (Trying, Request) => Output::Nothing,
            (Trying, Provisional) if !self.0.reliable && !self.0.repeats(now) => Output::Ignored,
            (Trying, Provisional) => self.proceed(Output::Pass),
            (Trying, TimerTrying) => self.proceed(Output::Trying),
            (Trying | Proceeding, Final) => {
                self.0.linger(now, Completed, timers.j(self.0.reliable), Output::Pass)
            }
            (Trying | Proceeding, TimerF) => self.0.terminate(Output::Timeout),
            (Proceeding, Request) => Output::Repeat,
            (Proceeding, Provisional) => Output::Pass,
            (Proceeding | Completed, TransportError) => self.0.terminate(Output::Unreachable),
            (Completed, Request) => Output::Repeat,
            // The machine discards any other final response of the transaction user.
            (Completed, Final) => Output::Nothing,
            (Completed, TimerJ) => self.0.terminate(Output::Nothing),
            (Trying, TimerJ | TransportError)
            | (Proceeding, TimerTrying | TimerJ)
            | (Completed, Provisional | TimerTrying | TimerF)
            | (Terminated, _) => Output::Ignored,
        }
    }

    fn proceed(&mut self, output: Output) -> Output {
        self.0.enter(NonInviteServerState::Proceeding, self.0.ends_at, output)
    }
}

#[cfg(test)]
mod tests {
    use super::NonInviteServerEvent::*;
    use super::NonInviteServerState::*;
    use super::*;

    const EVENTS: [NonInviteServerEvent; 7] =
        [Request, Provisional, Final, TimerTrying, TimerF, TimerJ, TransportError];

    fn machine(state: NonInviteServerState) -> NonInviteServer {
        let timers = Timers::default();
        let mut machine = NonInviteServer::start(Time::ZERO, false, &timers);
        let path: &[NonInviteServerEvent] = match state {
            Trying => &[],
            Proceeding => &[TimerTrying],
            Completed => &[Final],
            Terminated => &[TimerF],
        };
        for event in path {
            machine.handle(Time::ZERO, *event, &timers);
        }
        assert_eq!(machine.state(), state);
        machine
    }

    /// The RFC's figure as a table: a change to it is a change to review.
    const TABLE: &str = "
Trying     Request        -> Trying     Nothing
Trying     Provisional    -> Trying     Ignored
Trying     Final          -> Completed  Pass
Trying     TimerTrying    -> Proceeding Trying
Trying     TimerF         -> Terminated Timeout
Trying     TimerJ         -> Trying     Ignored
Trying     TransportError -> Trying     Ignored
Proceeding Request        -> Proceeding Repeat
Proceeding Provisional    -> Proceeding Pass
Proceeding Final          -> Completed  Pass
Proceeding TimerTrying    -> Proceeding Ignored
Proceeding TimerF         -> Terminated Timeout
Proceeding TimerJ         -> Proceeding Ignored
Proceeding TransportError -> Terminated Unreachable
Completed  Request        -> Completed  Repeat
Completed  Provisional    -> Completed  Ignored
Completed  Final          -> Completed  Nothing
Completed  TimerTrying    -> Completed  Ignored
Completed  TimerF         -> Completed  Ignored
Completed  TimerJ         -> Terminated Nothing
Completed  TransportError -> Terminated Unreachable
Terminated Request        -> Terminated Ignored
Terminated Provisional    -> Terminated Ignored
Terminated Final          -> Terminated Ignored
Terminated TimerTrying    -> Terminated Ignored
Terminated TimerF         -> Terminated Ignored
Terminated TimerJ         -> Terminated Ignored
Terminated TransportError -> Terminated Ignored
";

    #[test]
    fn every_state_and_event() {
        let mut table = String::from("\n");
        for state in NonInviteServerState::ALL {
            for event in EVENTS {
                let mut machine = machine(*state);
                let output = machine.handle(Time::from_secs(1), event, &Timers::default());
                let (from, event, to) =
                    (format!("{state:?}"), format!("{event:?}"), format!("{:?}", machine.state()));
                table += &format!("{from:<10} {event:<14} -> {to:<10} {output:?}\n");
            }
        }
        println!("{table}");
        assert_eq!(table, TABLE);
    }

    #[test]
    fn copies_are_answered_until_timer_j() {
        let timers = Timers::default();
        let mut machine = NonInviteServer::start(Time::ZERO, false, &timers);
        assert_eq!(machine.handle(Time::from_secs(1), Final, &timers), Output::Pass);
        assert_eq!(machine.next_deadline(), Some(Time::from_secs(33)));
        assert_eq!(machine.due(Time::from_millis(32_999)), None);
        assert_eq!(machine.handle(Time::from_secs(32), Request, &timers), Output::Repeat);
        assert_eq!(machine.due(Time::from_secs(33)), Some(TimerJ));
        machine.handle(Time::from_secs(33), TimerJ, &timers);
        assert_eq!((machine.state(), machine.next_deadline()), (Terminated, None));
    }

    /// RFC 4320 §4.1: by then the copies of the client lie T2 apart.
    #[test]
    fn a_100_leaves_when_the_client_has_slowed_down_and_no_sooner() {
        let timers = Timers::default();
        let mut machine = NonInviteServer::start(Time::ZERO, false, &timers);
        assert_eq!(machine.handle(Time::from_millis(3499), Provisional, &timers), Output::Ignored);
        assert_eq!(machine.due(Time::from_millis(3499)), None);
        assert_eq!(machine.due(Time::from_millis(3500)), Some(TimerTrying));
        assert_eq!(machine.handle(Time::from_millis(3500), Provisional, &timers), Output::Pass);
        let mut reliable = NonInviteServer::start(Time::ZERO, true, &timers);
        assert_eq!(reliable.handle(Time::ZERO, Provisional, &timers), Output::Pass);
    }

    /// RFC 4320 §4.2: there is no 408, and no other final response, once the client has given up.
    #[test]
    fn whoever_is_late_sends_nothing() {
        let timers = Timers::default();
        for reliable in [false, true] {
            let mut machine = NonInviteServer::start(Time::ZERO, reliable, &timers);
            assert_eq!(machine.due(Time::from_secs(32)), Some(TimerF));
            assert_eq!(machine.handle(Time::from_secs(32), TimerF, &timers), Output::Timeout);
            assert_eq!(machine.handle(Time::from_secs(32), Final, &timers), Output::Ignored);
        }
    }

    #[test]
    fn a_reliable_transport_completes_at_once() {
        let timers = Timers::default();
        let mut machine = NonInviteServer::start(Time::ZERO, true, &timers);
        assert_eq!(machine.handle(Time::ZERO, Final, &timers), Output::Pass);
        assert_eq!((machine.state(), machine.next_deadline()), (Terminated, None));
    }
}
