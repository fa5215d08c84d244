//! A time in three bytes: when a request was passed on. It travels in our own Via ([`crate::signed::hop`]) and comes back
//! with each response. Load managers of one farm use the wall clock, so that one may measure a request of another; if its
//! clock is behind the other's, it measures nothing rather than nonsense.

use base::{Duration, Time};

/// A call that rings is remembered this long after its last provisional answer: timer C (RFC 3261 §16.6 step 11: above three
/// minutes) and 64·T1 for the failure and its ACK. Its CANCEL has no tag and must find the server.
pub const RINGING_TIME: Duration = Duration::from_secs(180 + 32);

/// One step: fine enough for the fastest server.
const STEP_US: u64 = 64;
/// Steps after which the count begins anew: 17.9 minutes.
const STEPS: u64 = 1 << 24;
/// No answer takes longer (timer C and 64·T1): a longer time comes from clocks that differ.
const LONGEST: Duration = RINGING_TIME;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(u32);

impl Stamp {
    /// `clock_began_us`: the wall clock at [`Time::ZERO`], microseconds since 1970.
    pub fn new(now: Time, clock_began_us: u64) -> Stamp {
        Stamp((clock_began_us.wrapping_add(now.as_micros()) / STEP_US % STEPS) as u32)
    }

    pub fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }

    pub fn from_bytes([a, b, c]: [u8; 3]) -> Stamp {
        Stamp(u32::from_be_bytes([0, a, b, c]))
    }

    /// Whether this stamp is later than the other, of two less than half a turn of the count apart.
    pub fn is_after(self, other: Stamp) -> bool {
        let steps = (u64::from(self.0) + STEPS - u64::from(other.0)) % STEPS;
        steps != 0 && steps < STEPS / 2
    }

    /// The time from `earlier` to this stamp; `None`: too long to be true.
    pub fn since(self, earlier: Stamp) -> Option<Duration> {
        let steps = (u64::from(self.0) + STEPS - u64::from(earlier.0)) % STEPS;
        let passed = Duration::from_micros(steps * STEP_US);
        (passed <= LONGEST).then_some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: u64 = 1_795_172_185_042_000;

    #[test]
    fn what_passed_is_measured_to_a_step_over_every_turn_of_the_count() {
        for start_ms in (0..3_000_000).step_by(61_007) {
            for passed in [0, 1, 500, 32_000, 212_000] {
                let now = Time::from_millis(start_ms);
                let (earlier, later) =
                    (Stamp::new(now, BEGAN), Stamp::new(now + Duration::from_millis(passed), BEGAN));
                let later = Stamp::from_bytes(later.to_bytes());
                let measured = later.since(earlier).unwrap().as_micros() as u64;
                assert!(measured.abs_diff(passed * 1000) < STEP_US, "{measured} of {passed} ms");
                assert_eq!(later.is_after(earlier), passed > 0, "{passed} ms");
                assert!(!earlier.is_after(later), "{passed} ms");
            }
        }
    }

    #[test]
    fn clocks_of_two_processes_agree_and_one_that_is_behind_measures_nothing() {
        let (one, other) = (Time::from_secs(3600), Time::from_secs(10));
        let sent = Stamp::new(one, BEGAN);
        let elsewhere = BEGAN + 3_590_000_000 + 5_000;
        assert_eq!(Stamp::new(other, elsewhere).since(sent).unwrap().as_millis(), 4, "to a step");
        assert_eq!(Stamp::new(other, elsewhere - 6_000).since(sent), None);
        assert_eq!(Stamp::new(other + Duration::from_secs(213), elsewhere).since(sent), None);
    }
}
