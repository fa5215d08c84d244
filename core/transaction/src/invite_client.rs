//! INVITE client transaction (RFC 3261 §17.1.1, figure 5; with Accepted of RFC 6026 §7.2).
//!
//! Sends copies of the INVITE over an unreliable transport until the first answer, has each failure acknowledged, and waits
//! long enough to absorb late messages. Timer C belongs to proxies and is not here.

use base::Time;

use crate::clock::{Clock, State, stored};
use crate::{Output, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteClientState {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteClientEvent {
    TimerA,
    TimerB,
    TimerD,
    TimerM,
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 300 to 699.
    Failure,
    TransportError,
}

/// A value of 24 bytes, made when the INVITE is sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteClient(Clock<InviteClientState>);

impl State for InviteClientState {
    const KIND: u8 = 1;
    const ALL: &'static [InviteClientState] = {
        use InviteClientState::*;
        &[Calling, Proceeding, Completed, Accepted, Terminated]
    };
    const TERMINATED: InviteClientState = InviteClientState::Terminated;
}

stored!(InviteClient, InviteClientState);

impl InviteClient {
    /// `reliable`: the transport itself repeats, so timer A does not run and timer D is zero.
    pub fn start(now: Time, reliable: bool, timers: &Timers) -> InviteClient {
        let mut clock = Clock::new(InviteClientState::Calling, reliable);
        clock.repeat(now, |copies| timers.a(copies));
        clock.ends_at = now + timers.b();
        InviteClient(clock)
    }

    /// The timer that has run out, for [`InviteClient::handle`]. The timer that ends the state comes first.
    pub fn due(&self, now: Time) -> Option<InviteClientEvent> {
        use InviteClientState::*;
        let end = match self.0.state {
            Calling => Some(InviteClientEvent::TimerB),
            Completed => Some(InviteClientEvent::TimerD),
            Accepted => Some(InviteClientEvent::TimerM),
            Proceeding | Terminated => None,
        };
        self.0.due(now, end, InviteClientEvent::TimerA)
    }

    pub fn handle(&mut self, now: Time, event: InviteClientEvent, timers: &Timers) -> Output {
        use InviteClientEvent::*;
        use InviteClientState::*;
        match (self.0.state, event) {
            (Calling, TimerA) => self.0.repeat(now, |copies| timers.a(copies)),
            (Calling, TimerB) => self.0.terminate(Output::Timeout),
            (Calling, TransportError) => self.0.terminate(Output::Unreachable),
            (Calling, Provisional) => self.0.enter(Proceeding, Time::NEVER, Output::Pass),
            (Proceeding, Provisional) => Output::Pass,
            (Calling | Proceeding, Failure) => {
                self.0.linger(now, Completed, timers.d(self.0.reliable), Output::AcknowledgeAndPass)
            }
            (Calling | Proceeding, Success) => self.0.enter(Accepted, now + timers.m(), Output::Pass),
            (Completed, Failure) => Output::Acknowledge,
            (Completed, TransportError) => self.0.terminate(Output::Unreachable),
            (Completed, TimerD) => self.0.terminate(Output::Nothing),
            (Accepted, Success) => Output::Pass,
            (Accepted, TimerM) => self.0.terminate(Output::Nothing),
            (Calling, TimerD | TimerM)
            | (Proceeding, TimerA | TimerB | TimerD | TimerM | TransportError)
            | (Completed, TimerA | TimerB | TimerM | Provisional | Success)
            | (Accepted, TimerA | TimerB | TimerD | Provisional | Failure | TransportError)
            | (Terminated, _) => Output::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InviteClientEvent::*;
    use super::InviteClientState::*;
    use super::*;
    use crate::timers::Timers;

    const STATES: [InviteClientState; 5] = [Calling, Proceeding, Completed, Accepted, Terminated];
    const EVENTS: [InviteClientEvent; 8] =
        [TimerA, TimerB, TimerD, TimerM, Provisional, Success, Failure, TransportError];

    /// A machine in this state, over an unreliable transport.
    fn machine(state: InviteClientState) -> InviteClient {
        let timers = Timers::default();
        let mut machine = InviteClient::start(Time::ZERO, false, &timers);
        let path: &[InviteClientEvent] = match state {
            Calling => &[],
            Proceeding => &[Provisional],
            Completed => &[Failure],
            Accepted => &[Success],
            Terminated => &[TimerB],
        };
        for event in path {
            machine.handle(Time::ZERO, *event, &timers);
        }
        assert_eq!(machine.state(), state);
        machine
    }

    /// The RFC's figure as a table: a change to it is a change to review.
    const TABLE: &str = "
Calling    TimerA         -> Calling    Repeat
Calling    TimerB         -> Terminated Timeout
Calling    TimerD         -> Calling    Ignored
Calling    TimerM         -> Calling    Ignored
Calling    Provisional    -> Proceeding Pass
Calling    Success        -> Accepted   Pass
Calling    Failure        -> Completed  AcknowledgeAndPass
Calling    TransportError -> Terminated Unreachable
Proceeding TimerA         -> Proceeding Ignored
Proceeding TimerB         -> Proceeding Ignored
Proceeding TimerD         -> Proceeding Ignored
Proceeding TimerM         -> Proceeding Ignored
Proceeding Provisional    -> Proceeding Pass
Proceeding Success        -> Accepted   Pass
Proceeding Failure        -> Completed  AcknowledgeAndPass
Proceeding TransportError -> Proceeding Ignored
Completed  TimerA         -> Completed  Ignored
Completed  TimerB         -> Completed  Ignored
Completed  TimerD         -> Terminated Nothing
Completed  TimerM         -> Completed  Ignored
Completed  Provisional    -> Completed  Ignored
Completed  Success        -> Completed  Ignored
Completed  Failure        -> Completed  Acknowledge
Completed  TransportError -> Terminated Unreachable
Accepted   TimerA         -> Accepted   Ignored
Accepted   TimerB         -> Accepted   Ignored
Accepted   TimerD         -> Accepted   Ignored
Accepted   TimerM         -> Terminated Nothing
Accepted   Provisional    -> Accepted   Ignored
Accepted   Success        -> Accepted   Pass
Accepted   Failure        -> Accepted   Ignored
Accepted   TransportError -> Accepted   Ignored
Terminated TimerA         -> Terminated Ignored
Terminated TimerB         -> Terminated Ignored
Terminated TimerD         -> Terminated Ignored
Terminated TimerM         -> Terminated Ignored
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
    fn copies_leave_when_the_rfc_says_and_end_with_timer_b() {
        let timers = Timers::default();
        let mut machine = InviteClient::start(Time::ZERO, false, &timers);
        let mut sent = Vec::new();
        while let Some(at) = machine.next_deadline() {
            let event = machine.due(at).expect("a deadline has its timer");
            match machine.handle(at, event, &timers) {
                Output::Repeat => sent.push(at.as_millis()),
                output => assert_eq!((output, at.as_millis()), (Output::Timeout, 32_000)),
            }
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(machine.state(), Terminated);
    }

    #[test]
    fn a_reliable_transport_repeats_nothing_and_completes_at_once() {
        let timers = Timers::default();
        let mut machine = InviteClient::start(Time::ZERO, true, &timers);
        assert_eq!(machine.next_deadline(), Some(Time::from_secs(32)));
        assert_eq!(machine.handle(Time::ZERO, Failure, &timers), Output::AcknowledgeAndPass);
        assert_eq!((machine.state(), machine.next_deadline()), (Terminated, None));
    }

    #[test]
    fn it_is_compact() {
        assert!(size_of::<InviteClient>() <= 24, "{}", size_of::<InviteClient>());
    }
}
