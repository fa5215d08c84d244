//! When silence means death (SPEC A4): a server without a heartbeat for some periods is failed. Time is the receiver's clock
//! at arrival, never a time in the datagram, so no two clocks are compared.

use base::{Duration, Time};

/// How long a heartbeat counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decay {
    period: Duration,
    periods: u32,
}

impl Decay {
    /// With more periods, more lost datagrams are forgiven; with fewer, a dead server is noticed sooner.
    pub const PERIODS_DEFAULT: u32 = 3;
    pub const PERIODS_MIN: u32 = 3;
    pub const PERIODS_MAX: u32 = 5;

    pub const PERIOD_DEFAULT: Duration = Duration::from_millis(1000);
    /// Bounds of the period, also of a period that a sender names: a shorter period would fail servers because of a
    /// scheduler's jitter, a longer one would keep a dead server for minutes.
    pub const PERIOD_MIN: Duration = Duration::from_millis(10);
    pub const PERIOD_MAX: Duration = Duration::from_millis(60_000);

    /// Values outside the ranges become the nearest bound.
    pub fn new(period: Duration, periods: u32) -> Decay {
        Decay {
            period: period.clamp(Decay::PERIOD_MIN, Decay::PERIOD_MAX),
            periods: periods.clamp(Decay::PERIODS_MIN, Decay::PERIODS_MAX),
        }
    }

    /// The same number of periods for a sender that names its own period (`Heartbeat::period_ms`).
    pub fn of_sender(self, period_ms: Option<u32>) -> Decay {
        match period_ms {
            Some(ms) => Decay::new(Duration::from_millis(u64::from(ms)), self.periods),
            None => self,
        }
    }

    pub fn period(self) -> Duration {
        self.period
    }

    pub fn periods(self) -> u32 {
        self.periods
    }

    /// The last moment at which a heartbeat that came at `last` still counts. After that the server is failed, so this is
    /// also the time of the next look.
    pub fn deadline(self, last: Time) -> Time {
        last + self.period * self.periods
    }

    /// Whether a server whose last heartbeat came at `last` is failed. A later heartbeat brings it back by its new `last`.
    pub fn failed(self, last: Time, now: Time) -> bool {
        now > self.deadline(last)
    }
}

impl Default for Decay {
    fn default() -> Decay {
        Decay::new(Decay::PERIOD_DEFAULT, Decay::PERIODS_DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_fails_after_the_last_period_and_not_at_its_end() {
        let decay = Decay::default();
        let last = Time::from_millis(5_000);
        assert_eq!(decay.deadline(last), Time::from_millis(8_000));
        assert!(!decay.failed(last, Time::from_millis(8_000)));
        assert!(decay.failed(last, Time::from_micros(8_000_001)));
        assert!(
            !decay.failed(Time::from_millis(8_001), Time::from_millis(8_001)),
            "a late heartbeat brings it back"
        );
    }

    #[test]
    fn a_timestamp_ahead_of_now_is_current() {
        assert!(!Decay::default().failed(Time::from_secs(100), Time::ZERO));
    }

    #[test]
    fn settings_are_held_within_their_ranges() {
        assert_eq!(Decay::new(Duration::from_secs(1), 1).periods(), 3);
        assert_eq!(Decay::new(Duration::from_secs(1), 9).periods(), 5);
        assert_eq!(Decay::default().of_sender(Some(0)).period(), Decay::PERIOD_MIN);
        assert_eq!(Decay::default().of_sender(Some(u32::MAX)).period(), Decay::PERIOD_MAX);
        assert_eq!(Decay::default().of_sender(Some(250)).deadline(Time::ZERO), Time::from_millis(750));
        assert_eq!(Decay::default().of_sender(None), Decay::default());
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let end = Time::from_micros(u64::MAX);
        assert_eq!(Decay::default().deadline(end), end);
    }
}
