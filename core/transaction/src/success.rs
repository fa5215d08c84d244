//! The 2xx to an INVITE, which its sender repeats until the ACK (RFC 3261 §13.3.1.4).
//!
//! This is no transaction: the INVITE's transaction has handed the 2xx over (RFC 6026 §7.1), and the ACK is a request of its
//! own. The 2xx is repeated over reliable transports too, since a proxy on the way may use another transport. Without an ACK
//! for 64·T1 the dialog stands, and its owner hangs up with a BYE.

use base::Time;

use crate::clock::{Clock, State, stored};
use crate::{Output, Timers};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessState {
    Unacknowledged,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessEvent {
    Ack,
    /// The next copy is due: after T1, then at pauses that double up to T2.
    TimerRepeat,
    /// 64·T1 have passed.
    TimerEnd,
    TransportError,
}

/// A value of 24 bytes, made when the 2xx is sent for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Success(Clock<SuccessState>);

impl State for SuccessState {
    const KIND: u8 = 5;
    const ALL: &'static [SuccessState] = &[SuccessState::Unacknowledged, SuccessState::Terminated];
    const TERMINATED: SuccessState = SuccessState::Terminated;
}

stored!(Success, SuccessState);

impl Success {
    pub fn start(now: Time, timers: &Timers) -> Success {
        let mut clock = Clock::new(SuccessState::Unacknowledged, false);
        clock.copies = 1;
        (clock.repeat_at, clock.ends_at) = (now + timers.g(1), now + timers.h());
        Success(clock)
    }

    /// The timer that has run out, for [`Success::handle`]. The timer that ends the state comes first.
    pub fn due(&self, now: Time) -> Option<SuccessEvent> {
        self.0.due(now, Some(SuccessEvent::TimerEnd), SuccessEvent::TimerRepeat)
    }

    /// On [`Output::Timeout`] and [`Output::Unreachable`] the owner hangs up.
    pub fn handle(&mut self, now: Time, event: SuccessEvent, timers: &Timers) -> Output {
        use SuccessEvent::*;
        use SuccessState::*;
        match (self.0.state, event) {
            (Unacknowledged, TimerRepeat) => self.0.repeat(now, |copies| timers.g(copies)),
            (Unacknowledged, Ack) => self.0.terminate(Output::Pass),
            (Unacknowledged, TimerEnd) => self.0.terminate(Output::Timeout),
            // The next copy may take another way.
            (Unacknowledged, TransportError) => Output::Nothing,
            (Terminated, _) => Output::Ignored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SuccessEvent::*;
    use super::SuccessState::*;
    use super::*;

    /// The RFC's text as a table.
    const TABLE: &str = "
Unacknowledged Ack            -> Terminated     Pass
Unacknowledged TimerRepeat    -> Unacknowledged Repeat
Unacknowledged TimerEnd       -> Terminated     Timeout
Unacknowledged TransportError -> Unacknowledged Nothing
Terminated     Ack            -> Terminated     Ignored
Terminated     TimerRepeat    -> Terminated     Ignored
Terminated     TimerEnd       -> Terminated     Ignored
Terminated     TransportError -> Terminated     Ignored
";

    #[test]
    fn every_state_and_event() {
        let timers = Timers::default();
        let mut table = String::from("\n");
        for state in [Unacknowledged, Terminated] {
            for event in [Ack, TimerRepeat, TimerEnd, TransportError] {
                let mut machine = Success::start(Time::ZERO, &timers);
                if state == Terminated {
                    machine.handle(Time::ZERO, Ack, &timers);
                }
                let output = machine.handle(Time::from_secs(1), event, &timers);
                let (from, event, to) =
                    (format!("{state:?}"), format!("{event:?}"), format!("{:?}", machine.state()));
                table += &format!("{from:<14} {event:<14} -> {to:<14} {output:?}\n");
            }
        }
        println!("{table}");
        assert_eq!(table, TABLE);
    }

    #[test]
    fn copies_leave_at_pauses_that_double_up_to_t2_for_64_t1() {
        let timers = Timers::default();
        let mut machine = Success::start(Time::ZERO, &timers);
        let (mut sent, mut ended) = (Vec::new(), Vec::new());
        while let Some(at) = machine.next_deadline() {
            let event = machine.due(at).expect("a deadline has its timer");
            match machine.handle(at, event, &timers) {
                Output::Repeat => sent.push(at.as_millis()),
                output => ended.push((at.as_millis(), output)),
            }
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(ended, [(32_000, Output::Timeout)]);
    }
}
