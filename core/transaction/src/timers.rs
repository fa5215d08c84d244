//! The timers of RFC 3261 §17 (table 4), each derived from T1, T2 and T4, and nowhere else.

use base::Duration;

/// Shortest wait in Completed of an INVITE client over an unreliable transport: the server's T1 is unknown, so its default is
/// assumed (RFC 3261 §17.1.1.2).
pub const TIMER_D_MIN: Duration = Duration::from_secs(32);

/// A caller does not repeat an INVITE before this time.
const TRYING: Duration = Duration::from_millis(200);

/// Timers B, F, H, J, L and M last 64 T1: the time of seven copies of an INVITE (RFC 3261 §17.1.1.2).
const LIFE_IN_T1: u32 = 64;

/// Doublings after which an interval grows no more. 64·T1 ends every transaction long before.
const DOUBLINGS_MAX: u8 = 16;

/// The three values from which all timers follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round trip; 500 ms.
    pub t1: Duration,
    /// Longest pause between copies of a request that is no INVITE, and of a final response to an INVITE; 4 s.
    pub t2: Duration,
    /// Longest time that a message stays in the network; 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// A: pause before the next copy of an INVITE after `copies` copies; doubles without limit.
    pub fn a(&self, copies: u8) -> Duration {
        doubled(self.t1, copies)
    }

    /// B: how long an INVITE waits for any answer.
    pub fn b(&self) -> Duration {
        self.t1 * LIFE_IN_T1
    }

    /// D: how long an INVITE client absorbs copies of the failure.
    pub fn d(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { TIMER_D_MIN.max(self.t1 * LIFE_IN_T1) }
    }

    /// E: pause before the next copy of another request; doubles up to T2.
    pub fn e(&self, copies: u8) -> Duration {
        doubled(self.t1, copies).min(self.t2)
    }

    /// F: how long another request waits for its final answer.
    pub fn f(&self) -> Duration {
        self.t1 * LIFE_IN_T1
    }

    /// How long an INVITE may stay without any response (RFC 3261 §17.2.1).
    pub fn trying_invite(&self) -> Duration {
        TRYING
    }

    /// How long another request may stay without any response. Until then no 100 may be sent over an unreliable transport: the
    /// client's timer E must have grown to T2 (RFC 4320 §4.1).
    pub fn trying_non_invite(&self) -> Duration {
        (1..=DOUBLINGS_MAX).map(|copies| self.e(copies)).take_while(|pause| *pause < self.t2).sum()
    }

    /// G: pause before the next copy of a failure answer to an INVITE; doubles up to T2.
    pub fn g(&self, copies: u8) -> Duration {
        self.e(copies)
    }

    /// H: how long an INVITE server waits for the ACK.
    pub fn h(&self) -> Duration {
        self.t1 * LIFE_IN_T1
    }

    /// I: how long an INVITE server absorbs copies of the ACK.
    pub fn i(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// J: how long another server repeats the final answer to copies of the request.
    pub fn j(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t1 * LIFE_IN_T1 }
    }

    /// K: how long another client absorbs copies of the final answer.
    pub fn k(&self, reliable: bool) -> Duration {
        if reliable { Duration::ZERO } else { self.t4 }
    }

    /// L: how long an INVITE server that sent a 2xx absorbs copies of the INVITE (RFC 6026 §7.1).
    pub fn l(&self) -> Duration {
        self.t1 * LIFE_IN_T1
    }

    /// M: how long an INVITE client that got a 2xx passes on others (RFC 6026 §7.2).
    pub fn m(&self) -> Duration {
        self.t1 * LIFE_IN_T1
    }
}

/// `t1` after the first copy, twice that after the second, and so on.
fn doubled(t1: Duration, copies: u8) -> Duration {
    t1.saturating_mul(1 << copies.saturating_sub(1).min(DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(pause: impl Fn(u8) -> Duration) -> Vec<u128> {
        (1..=8).map(|copies| pause(copies).as_millis()).collect()
    }

    #[test]
    fn the_pauses_are_those_of_the_rfc() {
        let timers = Timers::default();
        assert_eq!(millis(|copies| timers.a(copies)), [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000]);
        assert_eq!(millis(|copies| timers.e(copies)), [500, 1000, 2000, 4000, 4000, 4000, 4000, 4000]);
    }

    #[test]
    fn seven_copies_of_an_invite_fit_into_timer_b() {
        let timers = Timers::default();
        let before: Duration = (1..=6).map(|copies| timers.a(copies)).sum();
        assert!(before < timers.b() && before + timers.a(7) > timers.b());
    }

    #[test]
    fn a_100_waits_for_the_pauses_before_t2() {
        assert_eq!(Timers::default().trying_non_invite(), Duration::from_millis(3500));
        let equal = Timers { t1: Duration::from_secs(4), ..Timers::default() };
        assert_eq!(equal.trying_non_invite(), Duration::ZERO);
        assert_eq!(Timers::default().j(true), Duration::ZERO);
    }

    #[test]
    fn a_small_t1_does_not_shorten_timer_d_and_a_large_one_lengthens_it() {
        let small = Timers { t1: Duration::from_millis(100), ..Timers::default() };
        let large = Timers { t1: Duration::from_secs(1), ..Timers::default() };
        assert_eq!(small.d(false), TIMER_D_MIN);
        assert_eq!(large.d(false), Duration::from_secs(64));
        assert_eq!(large.d(true), Duration::ZERO);
    }

    #[test]
    fn no_number_of_copies_overflows() {
        let timers = Timers { t1: Duration::MAX, ..Timers::default() };
        assert_eq!(timers.a(u8::MAX), Duration::MAX);
        assert_eq!(timers.e(u8::MAX), timers.t2);
        assert!(Timers::default().a(0) == Duration::from_millis(500));
    }
}
