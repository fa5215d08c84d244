//! Client transaction of every request but INVITE and ACK (RFC 3261 §17.1.2, figure 6).
//!
//! Sends copies over an unreliable transport until the final answer: at doubling pauses up to T2, and at T2 once a
//! provisional answer has come.

use base::Time;

use crate::clock::{Clock, State, stored};
use crate::{Output, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonInviteClientState {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonInviteClientEvent {
    TimerE,
    TimerF,
    TimerK,
    /// 1xx.
    Provisional,
    /// 200 to 699.
    Final,
    TransportError,
}

/// A value of 24 bytes, made when the request is sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteClient(Clock<NonInviteClientState>);

impl State for NonInviteClientState {
    const KIND: u8 = 2;
    const ALL: &'static [NonInviteClientState] = {
        use NonInviteClientState::*;
        &[Trying, Proceeding, Completed, Terminated]
    };
    const TERMINATED: NonInviteClientState = NonInviteClientState::Terminated;
}

stored!(NonInviteClient, NonInviteClientState);

impl NonInviteClient {
    /// `reliable`: the transport itself repeats, so timer E does not run and timer K is zero.
    pub fn start(now: Time, reliable: bool, timers: &Timers) -> NonInviteClient {
        let mut clock = Clock::new(NonInviteClientState::Trying, reliable);
        clock.repeat(now, |copies| timers.e(copies));
        clock.ends_at = now + timers.f();
        NonInviteClient(clock)
    }

    /// The timer that has run out, for [`NonInviteClient::handle`].
    pub fn due(&self, now: Time) -> Option<NonInviteClientEvent> {
        use NonInviteClientState::*;
        let end = match self.0.state {
            Trying | Proceeding => Some(NonInviteClientEvent::TimerF),
            Completed => Some(NonInviteClientEvent::TimerK),
            Terminated => None,
        };
        self.0.due(now, end, NonInviteClientEvent::TimerE)
    }

    pub fn handle(&mut self, now: Time, event: NonInviteClientEvent, timers: &Timers) -> Output {
        use NonInviteClientEvent::*;
        use NonInviteClientState::*;
        match (self.0.state, event) {
            (Trying | Proceeding, TimerF) => self.0.terminate(Output::Timeout),
            (Trying | Proceeding, TransportError) => self.0.terminate(Output::Unreachable),
            (Trying | Proceeding, TimerE) => self.repeat(now, timers),
            (Trying, Provisional) => {
                // Timer E runs on; its next pause is T2 (figure 6).
                self.0.state = Proceeding;
                Output::Pass
            }
            (Proceeding, Provisional) => Output::Pass,
            (Trying | Proceeding, Final) => {
                self.0.linger(now, Completed, timers.k(self.0.reliable), Output::Pass)
            }
            (Completed, TimerK) => self.0.terminate(Output::Nothing),
            // Completed absorbs copies of the answer; the transaction user has the answer, so a failed transport does not
            // matter.
            (Completed, Provisional | Final | TransportError) => Output::Nothing,
            (Trying | Proceeding, TimerK) | (Completed, TimerE | TimerF) | (Terminated, _) => Output::Ignored,
        }
    }

    /// Timer E: doubling pauses in Trying, T2 in Proceeding.
    fn repeat(&mut self, now: Time, timers: &Timers) -> Output {
        let proceeding = self.0.state == NonInviteClientState::Proceeding;
        self.0.repeat(now, |copies| if proceeding { timers.t2 } else { timers.e(copies) })
    }
}

#[cfg(test)]
mod tests {
    use super::NonInviteClientEvent::*;
    use super::NonInviteClientState::*;
    use super::*;

    const STATES: [NonInviteClientState; 4] = [Trying, Proceeding, Completed, Terminated];
    const EVENTS: [NonInviteClientEvent; 6] = [TimerE, TimerF, TimerK, Provisional, Final, TransportError];

    fn machine(state: NonInviteClientState) -> NonInviteClient {
        let timers = Timers::default();
        let mut machine = NonInviteClient::start(Time::ZERO, false, &timers);
        let path: &[NonInviteClientEvent] = match state {
            Trying => &[],
            Proceeding => &[Provisional],
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
Trying     TimerE         -> Trying     Repeat
Trying     TimerF         -> Terminated Timeout
Trying     TimerK         -> Trying     Ignored
Trying     Provisional    -> Proceeding Pass
Trying     Final          -> Completed  Pass
Trying     TransportError -> Terminated Unreachable
Proceeding TimerE         -> Proceeding Repeat
Proceeding TimerF         -> Terminated Timeout
Proceeding TimerK         -> Proceeding Ignored
Proceeding Provisional    -> Proceeding Pass
Proceeding Final          -> Completed  Pass
Proceeding TransportError -> Terminated Unreachable
Completed  TimerE         -> Completed  Ignored
Completed  TimerF         -> Completed  Ignored
Completed  TimerK         -> Terminated Nothing
Completed  Provisional    -> Completed  Nothing
Completed  Final          -> Completed  Nothing
Completed  TransportError -> Completed  Nothing
Terminated TimerE         -> Terminated Ignored
Terminated TimerF         -> Terminated Ignored
Terminated TimerK         -> Terminated Ignored
Terminated Provisional    -> Terminated Ignored
Terminated Final          -> Terminated Ignored
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

    /// Times of the copies and of the end, in milliseconds, with a provisional answer at a given time.
    fn copies(provisional_ms: Option<u64>) -> (Vec<u64>, u64) {
        let timers = Timers::default();
        let mut machine = NonInviteClient::start(Time::ZERO, false, &timers);
        let (mut sent, mut ended, mut provisional) = (Vec::new(), 0, provisional_ms);
        while let Some(at) = machine.next_deadline() {
            if let Some(ms) = provisional.filter(|ms| *ms <= at.as_millis()) {
                machine.handle(Time::from_millis(ms), Provisional, &timers);
                provisional = None;
                continue;
            }
            let event = machine.due(at).expect("a deadline has its timer");
            match machine.handle(at, event, &timers) {
                Output::Repeat => sent.push(at.as_millis()),
                _ => ended = at.as_millis(),
            }
        }
        (sent, ended)
    }

    #[test]
    fn copies_leave_at_pauses_that_double_up_to_t2() {
        let all = vec![500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        assert_eq!(copies(None), (all, 32_000));
    }

    #[test]
    fn a_provisional_answer_slows_them_to_t2() {
        assert_eq!(
            copies(Some(600)),
            (vec![500, 1500, 5500, 9500, 13_500, 17_500, 21_500, 25_500, 29_500], 32_000)
        );
    }

    #[test]
    fn a_reliable_transport_repeats_nothing_and_completes_at_once() {
        let timers = Timers::default();
        let mut machine = NonInviteClient::start(Time::ZERO, true, &timers);
        assert_eq!(machine.next_deadline(), Some(Time::from_secs(32)));
        assert_eq!(machine.handle(Time::ZERO, Final, &timers), Output::Pass);
        assert_eq!((machine.state(), machine.next_deadline()), (Terminated, None));
    }

    #[test]
    fn it_is_compact() {
        assert!(size_of::<NonInviteClient>() <= 24, "{}", size_of::<NonInviteClient>());
    }
}
