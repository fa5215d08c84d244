//! The limit of new calls that a server gets in any second, and the times of the calls that count for it. With the time of each
//! call at hand, no second ever holds one more than the limit, and a server that is asked for more gets exactly the limit.
//! Workers that decide in the same instant may each give one: at most one call more for each further worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base::Time;

const SECOND_MICROS: u64 = 1_000_000;
/// The highest limit: a server has eight bytes for each call of a second.
pub const PER_SECOND_MAX: u32 = 10_000;

/// See the head of this module.
#[derive(Debug)]
pub struct Pace {
    /// Calls noted since the start.
    noted: AtomicU64,
    /// When the last calls came, in microseconds plus one; zero: there were not so many.
    times: Box<[AtomicU64]>,
}

impl Pace {
    /// `per_second_max`: 1 … [`PER_SECOND_MAX`].
    pub fn new(per_second_max: u32) -> Pace {
        let times = (0..per_second_max.clamp(1, PER_SECOND_MAX)).map(|_| AtomicU64::new(0)).collect();
        Pace { noted: AtomicU64::new(0), times }
    }

    pub fn per_second_max(&self) -> u32 {
        self.times.len() as u32
    }

    /// One more call now is within the limit: as many calls ago as the limit says, a second or more has passed.
    pub fn has_room(&self, now: Time) -> bool {
        let then = self.place(self.noted.load(Relaxed)).load(Relaxed);
        then == 0 || now.as_micros() + 1 >= then + SECOND_MICROS
    }

    /// The server was given a new call.
    pub(crate) fn note(&self, now: Time) {
        let number = self.noted.fetch_add(1, Relaxed);
        self.place(number).store(now.as_micros() + 1, Relaxed);
    }

    fn place(&self, number: u64) -> &AtomicU64 {
        &self.times[(number % self.times.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use base::Duration;

    use super::*;

    #[test]
    fn no_second_has_more_than_the_limit_and_none_has_less_if_more_are_asked_for() {
        for limit in [1, 3, 50] {
            let (pace, start) = (Pace::new(limit), Time::from_secs(1));
            assert_eq!(pace.per_second_max(), limit);
            // Bunches of calls at uneven distances, for ten seconds.
            let mut given: Vec<Time> = Vec::new();
            for step in 0u64..1000 {
                let now = start + Duration::from_millis(step * 10);
                for _ in 0..step * 7 % 11 {
                    if pace.has_room(now) {
                        pace.note(now);
                        given.push(now);
                    }
                }
            }
            for (at, first) in given.iter().enumerate() {
                let second =
                    given[at..].iter().take_while(|time| time.since(*first) < Duration::from_secs(1));
                assert!(second.count() <= limit as usize, "limit {limit}, from call {at}");
            }
            let of_ten_seconds = limit as usize * 10;
            // The bunches do not fall on the instant at which there is room again.
            assert!(
                given.len() <= of_ten_seconds && given.len() * 100 >= of_ten_seconds * 95,
                "{}",
                given.len()
            );
        }
    }
}
