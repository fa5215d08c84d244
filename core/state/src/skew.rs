//! The clock of the state tier: the median of what the servers' `TIME` says, carried on by the engine's monotonic clock.
//! Stored deadlines are compared with this clock only. So neither one wrong clock nor the clock of a replica that was just
//! promoted ends calls.

use std::collections::BTreeMap;

use base::{Duration, Time};

use crate::command::Millis;

/// The clock moves by more than this only when a majority of the servers has moved. In microseconds.
const STEP_MAX: u64 = 1_000_000;
/// A server whose clock differs by more than this is reported. In microseconds.
const OFFSET_REPORTED: u64 = 200_000;
/// An answer that took longer says too little about the moment at which it was written.
const ROUND_TRIP_MAX: Duration = Duration::from_millis(100);
/// A server that has not answered for so long does not count in the median. Servers are asked every second.
const READING_AGE_MAX: Duration = Duration::from_secs(5);

/// What a server answered to `TIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub server: u32,
    /// Changes when the server is started anew.
    pub life: u64,
    pub asked: Time,
    pub answered: Time,
    /// Microseconds since 1970.
    pub micros: u64,
}

/// How far a server's clock is from the clock of the state tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    pub server: u32,
    /// Positive: the server's clock is ahead of the clock of the state tier.
    pub micros: i64,
}

/// See the head of this module.
#[derive(Debug, Default)]
pub struct Clock {
    readings: BTreeMap<u32, Reading>,
    /// What the clock said at a moment.
    anchor: Option<(Time, u64)>,
    /// The life of the server that said so, if there is one server.
    life: u64,
}

impl Clock {
    /// The time of the state tier. `None`: no majority of the servers has answered yet.
    pub fn now(&self, now: Time) -> Option<Millis> {
        self.micros(now).map(|micros| micros / 1000)
    }

    /// The same in microseconds since 1970. A step back of less than a second is possible.
    pub fn micros(&self, now: Time) -> Option<u64> {
        self.anchor.map(|(at, micros)| micros.saturating_add(now.since(at).as_micros() as u64))
    }

    /// A server answered. `servers`: how many there are, silent ones too.
    pub fn read(&mut self, reading: Reading, servers: usize) {
        if reading.answered.since(reading.asked) > ROUND_TRIP_MAX {
            return;
        }
        self.readings.insert(reading.server, reading);
        self.settle(reading.answered, servers);
    }

    /// A server left the state tier.
    pub fn forget(&mut self, server: u32) {
        self.readings.remove(&server);
    }

    /// The servers whose clocks are far from this clock.
    pub fn offsets(&self, now: Time) -> Vec<Offset> {
        let Some(ours) = self.micros(now) else { return Vec::new() };
        let far = |(server, theirs): (u32, u64)| {
            (theirs.abs_diff(ours) > OFFSET_REPORTED)
                .then_some(Offset { server, micros: theirs.wrapping_sub(ours) as i64 })
        };
        self.clocks(now).into_iter().filter_map(far).collect()
    }

    /// What each server's clock says now.
    fn clocks(&self, now: Time) -> Vec<(u32, u64)> {
        let fresh = self.readings.values().filter(|one| now.since(one.answered) <= READING_AGE_MAX);
        let clock = |one: &Reading| {
            // The server wrote its answer somewhere between question and answer: half way, as far as we know.
            let written = one.asked + one.answered.since(one.asked) / 2;
            (one.server, one.micros.saturating_add(now.since(written).as_micros() as u64))
        };
        fresh.map(clock).collect()
    }

    fn settle(&mut self, now: Time, servers: usize) {
        let mut clocks: Vec<u64> = self.clocks(now).into_iter().map(|(_, micros)| micros).collect();
        clocks.sort_unstable();
        let Some(median) = clocks.get(clocks.len().saturating_sub(1) / 2).copied() else { return };
        let agree = clocks.iter().filter(|one| one.abs_diff(median) <= STEP_MAX).count();
        let life = self.readings.values().next().map_or(0, |one| one.life);
        let may_move = match self.micros(now) {
            Some(ours) if ours.abs_diff(median) <= STEP_MAX => true,
            // One server is its own majority: its clock may step only where its records are new as well.
            Some(_) if servers <= 1 => life != self.life,
            _ => agree * 2 > servers,
        };
        if may_move {
            self.anchor = Some((now, median));
            self.life = life;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_2026: u64 = 1_780_000_000_000_000;

    /// A clock and the servers that it asks, each with an offset in milliseconds.
    struct Farm {
        clock: Clock,
        servers: usize,
    }

    impl Farm {
        fn new(servers: usize) -> Farm {
            Farm { clock: Clock::default(), servers }
        }

        fn read(&mut self, second: u64, server: u32, offset_ms: i64, life: u64) {
            let micros = (YEAR_2026 + second * 1_000_000).saturating_add_signed(offset_ms * 1000) + 1000;
            let asked = Time::from_secs(second);
            let answered = asked + Duration::from_millis(2);
            self.clock.read(Reading { server, life, asked, answered, micros }, self.servers);
        }

        /// By how much the clock is wrong half a second later, in milliseconds.
        fn wrong_ms(&self, second: u64) -> Option<i64> {
            let right = YEAR_2026 / 1000 + second * 1000 + 500;
            self.clock.now(Time::from_millis(second * 1000 + 500)).map(|now| now as i64 - right as i64)
        }
    }

    #[test]
    fn the_clock_begins_with_a_majority_and_is_the_median() {
        let mut farm = Farm::new(3);
        farm.read(1, 0, 0, 1);
        assert_eq!(farm.wrong_ms(1), None);
        farm.read(1, 1, 40, 1);
        farm.read(1, 2, 900, 1);
        assert_eq!(farm.wrong_ms(1), Some(40));
        assert_eq!(farm.wrong_ms(3_600), Some(40), "carried on by the monotonic clock");
        let offsets = farm.clock.offsets(Time::from_secs(2));
        assert_eq!(offsets, [Offset { server: 2, micros: 860_000 }]);
    }

    #[test]
    fn one_wrong_clock_moves_nothing_even_where_few_answer() {
        let mut farm = Farm::new(3);
        (0..3).for_each(|server| farm.read(1, server, 0, 1));
        // The other two are silent for longer than their readings count.
        farm.read(20, 2, 60_000, 1);
        assert_eq!(farm.wrong_ms(20), Some(0));
        assert_eq!(farm.clock.offsets(Time::from_millis(20_500)), [Offset { server: 2, micros: 60_000_000 }]);
        farm.read(21, 1, 60_000, 1);
        assert_eq!(farm.wrong_ms(21), Some(60_000), "a majority has moved");
    }

    #[test]
    fn two_clocks_that_disagree_move_nothing() {
        let mut farm = Farm::new(3);
        (0..3).for_each(|server| farm.read(1, server, 0, 1));
        farm.read(20, 1, -30_000, 1);
        farm.read(20, 2, 60_000, 1);
        assert_eq!(farm.wrong_ms(20), Some(0));
    }

    #[test]
    fn small_steps_are_taken_at_once() {
        let mut farm = Farm::new(1);
        farm.read(1, 0, 0, 1);
        farm.read(2, 0, 950, 1);
        assert_eq!(farm.wrong_ms(2), Some(950));
        farm.read(3, 0, 0, 1);
        assert_eq!(farm.wrong_ms(3), Some(0));
    }

    #[test]
    fn the_clock_of_a_single_server_steps_at_its_restart_only() {
        let mut farm = Farm::new(1);
        farm.read(1, 0, 0, 1);
        farm.read(2, 0, -7_200_000, 1);
        assert_eq!(farm.wrong_ms(2), Some(0));
        farm.read(3, 0, -7_200_000, 2);
        assert_eq!(farm.wrong_ms(3), Some(-7_200_000));
    }

    #[test]
    fn a_slow_answer_says_nothing() {
        let mut farm = Farm::new(1);
        let (asked, answered) = (Time::from_secs(1), Time::from_millis(1_101));
        farm.clock.read(Reading { server: 0, life: 1, asked, answered, micros: YEAR_2026 }, 1);
        assert_eq!(farm.wrong_ms(2), None);
    }

    #[test]
    fn a_clock_at_the_end_of_its_range_ends_nothing() {
        let mut clock = Clock::default();
        let (asked, answered) = (Time::from_secs(1), Time::from_millis(1_002));
        clock.read(Reading { server: 0, life: 1, asked, answered, micros: u64::MAX }, 1);
        assert_eq!(clock.micros(Time::from_secs(2)), Some(u64::MAX));
        assert_eq!(clock.offsets(Time::from_secs(2)), []);
        assert!(crate::wakeup::is_left_to_owner(true, u64::MAX, 1));
    }

    #[test]
    fn a_server_that_left_is_not_counted() {
        let mut farm = Farm::new(1);
        farm.read(1, 0, 0, 1);
        farm.clock.forget(0);
        assert_eq!(farm.clock.offsets(Time::from_secs(1)), []);
        assert_eq!(farm.wrong_ms(1), Some(0));
    }
}
