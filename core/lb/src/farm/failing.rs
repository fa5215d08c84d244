//! Does a server fail its calls? A server may answer every OPTIONS and still refuse each call with 500. So the outcomes of
//! its set-ups are counted, as far as they are the server's own doing, and compared with those of its neighbours: a failure
//! everywhere is not the fault of one server. A server that is worse is set aside for a while, then tried with a few calls;
//! each time that these fail, it stays away twice as long. The server table limits how many servers may be away.

mod stored;

use base::{Duration, Time};

/// About how many outcomes are remembered: at this many, all counts are halved.
const OUTCOMES_MAX: u32 = 128;
/// Counts are also halved after this time: outcomes of an hour ago say nothing of now.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// The shortest run of failures that is looked at.
const RUN_MIN: u32 = 5;
/// A run of failures is no accident if its chance, judged by the neighbours, is below this many millionths.
const ACCIDENT_PPM: u64 = 1;
/// A server is worse by share with at least this many failures, this share of all outcomes, and this many times the
/// neighbours' share.
const FAILED_MIN: u32 = 10;
const SHARE_MIN_PERMILLE: u32 = 200;
const TIMES_WORSE: u32 = 4;
/// Outcomes that a neighbour must have before its share counts.
const KNOWN_MIN: u32 = 5;
/// The neighbours' share if nothing is known of them.
const UNKNOWN_PERMILLE: u32 = 100;
/// If the neighbours fail this much, the server is not at fault.
const COMMON_PERMILLE: u32 = 500;
/// How long a server is set aside the first time; doubled each time that it fails its trial.
const ASIDE_MIN: Duration = Duration::from_secs(30);
const ASIDE_MAX: Duration = Duration::from_secs(300);
/// A server that has been trusted for this long is forgiven its earlier times.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// Outcomes of one kind that end a trial: two of three calls.
const TRIAL_OUTCOMES: u32 = 2;
/// A trial with fewer outcomes begins anew after this time: a call may be forgotten by both its ends.
const TRIAL_TIME: Duration = Duration::from_secs(32);

/// The judgement on a server by the outcomes of its set-ups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Trusted,
    /// No new calls until this moment.
    Aside(Time),
    /// A few calls show whether it is well again.
    Trial,
}

/// Failed set-ups, and all set-ups among which they failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Share {
    pub failed: u16,
    pub of: u16,
}

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct Failing {
    stage: Stage,
    since: Time,
    good: u32,
    bad: u32,
    /// Failures since the last set-up that did not fail.
    run: u32,
    halved: Time,
    /// How long the server is set aside the next time.
    aside: Duration,
    /// The failures that it was set aside for.
    share: Share,
}

impl Failing {
    pub fn new(now: Time) -> Failing {
        Failing {
            stage: Stage::Trusted,
            since: now,
            good: 0,
            bad: 0,
            run: 0,
            halved: now,
            aside: ASIDE_MIN,
            share: Share::default(),
        }
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// When the present stage began.
    pub fn since(&self) -> Time {
        self.since
    }

    /// The failures that it was set aside for, as they were then.
    pub fn share(&self) -> Share {
        self.share
    }

    /// The numbers of set-ups that were taken and that failed since the last call. Their order is not known: if both are
    /// above zero, the failures do not count as a run.
    pub fn note(&mut self, now: Time, taken: u32, failed: u32) {
        if now.since(self.halved) >= FORGOTTEN_AFTER {
            (self.good, self.bad, self.halved) = (self.good / 2, self.bad / 2, now);
        }
        self.run = if taken > 0 { 0 } else { self.run.saturating_add(failed) };
        self.good = self.good.saturating_add(taken);
        self.bad = self.bad.saturating_add(failed);
        if self.stage == Stage::Trial {
            if self.bad >= TRIAL_OUTCOMES {
                self.set_aside(now);
            } else if self.good >= TRIAL_OUTCOMES {
                self.enter(now, Stage::Trusted);
            }
        }
        while self.good.saturating_add(self.bad) > OUTCOMES_MAX {
            (self.good, self.bad) = (self.good / 2, self.bad / 2);
        }
    }

    /// The share of its set-ups that fail; `None`: too little is known.
    pub fn failed_permille(&self) -> Option<u32> {
        let all = self.good + self.bad;
        (all >= KNOWN_MIN).then(|| self.bad * 1000 / all)
    }

    /// Whether the server fails more than its neighbours, of whose set-ups this share fails, and that is no accident.
    pub fn is_worse_than(&self, neighbours_permille: Option<u32>) -> bool {
        let neighbours = neighbours_permille.unwrap_or(UNKNOWN_PERMILLE);
        if self.stage != Stage::Trusted || neighbours >= COMMON_PERMILLE {
            return false;
        }
        let share = self.bad * 1000 / (self.good + self.bad).max(1);
        let by_share = self.bad >= FAILED_MIN
            && share >= SHARE_MIN_PERMILLE
            && share >= neighbours.saturating_mul(TIMES_WORSE);
        by_share || self.run >= run_of(neighbours)
    }

    /// Gives it no new calls for a while.
    pub fn set_aside(&mut self, now: Time) {
        if self.stage == Stage::Trusted && now.since(self.since) >= FORGIVEN_AFTER {
            self.aside = ASIDE_MIN;
        }
        let number = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        self.share = Share { failed: number(self.bad), of: number(self.good + self.bad) };
        self.enter(now, Stage::Aside(now + self.aside));
        self.aside = (self.aside * 2).min(ASIDE_MAX);
    }

    /// The server is needed: no other server is left.
    pub fn call_back(&mut self, now: Time) {
        if self.stage != Stage::Trusted {
            self.enter(now, Stage::Trusted);
        }
    }

    /// Lets time pass. True: a trial begins, or begins anew, and its calls are counted from now.
    pub fn handle_timeout(&mut self, now: Time) -> bool {
        match self.stage {
            Stage::Aside(until) if now >= until => {}
            Stage::Trial if now.since(self.since) >= TRIAL_TIME => {}
            Stage::Trusted | Stage::Aside(_) | Stage::Trial => return false,
        }
        self.enter(now, Stage::Trial);
        true
    }

    pub fn next_deadline(&self) -> Option<Time> {
        match self.stage {
            Stage::Trusted => None,
            Stage::Aside(until) => Some(until),
            Stage::Trial => Some(self.since + TRIAL_TIME),
        }
    }

    fn enter(&mut self, now: Time, stage: Stage) {
        (self.stage, self.since) = (stage, now);
        (self.good, self.bad, self.run, self.halved) = (0, 0, 0, now);
    }
}

/// How long a run of failures must be to be no accident, if this share is usual. The loop ends: a share below one half leaves
/// less than a millionth after twenty.
fn run_of(usual_permille: u32) -> u32 {
    let (mut chance_ppm, mut run) = (1_000_000, 0);
    while chance_ppm > ACCIDENT_PPM && run < OUTCOMES_MAX {
        chance_ppm = chance_ppm * u64::from(usual_permille.min(COMMON_PERMILLE)) / 1000;
        run += 1;
    }
    run.max(RUN_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    #[test]
    fn the_row_that_is_no_accident_grows_with_what_is_usual() {
        let runs: Vec<u32> = [0, 10, 100, 200, 300, 499].into_iter().map(run_of).collect();
        assert_eq!(runs, [5, 5, 6, 9, 11, 19]);
    }

    #[test]
    fn five_failures_in_a_row_beside_neighbours_that_are_well() {
        let mut failing = Failing::new(at(0));
        failing.note(at(0), 100, 0);
        for failed in 1..=5 {
            assert!(!failing.is_worse_than(Some(0)), "{failed}");
            failing.note(at(1), 0, 1);
        }
        assert!(failing.is_worse_than(Some(0)));
        assert!(!failing.is_worse_than(None), "of whom nothing is known may be no better");
        assert!(!failing.is_worse_than(Some(200)) && !failing.is_worse_than(Some(1000)));
        failing.note(at(1), 1, 1);
        assert!(!failing.is_worse_than(Some(0)), "one was taken");
    }

    #[test]
    fn a_third_that_fails_is_seen_by_its_share() {
        let mut failing = Failing::new(at(0));
        for _ in 0..9 {
            failing.note(at(1), 2, 1);
            assert!(!failing.is_worse_than(Some(0)));
        }
        failing.note(at(1), 2, 1);
        assert!(failing.is_worse_than(Some(0)) && failing.is_worse_than(Some(80)));
        assert!(!failing.is_worse_than(Some(100)), "the neighbours fail a tenth");
    }

    #[test]
    fn it_stays_away_twice_as_long_each_time_that_its_trial_fails() {
        let (mut failing, mut now, mut times) = (Failing::new(at(0)), at(0), Vec::new());
        failing.note(now, 0, 6);
        failing.set_aside(now);
        assert_eq!(failing.share(), Share { failed: 6, of: 6 });
        for _ in 0..5 {
            let Stage::Aside(until) = failing.stage() else { panic!("{failing:?}") };
            times.push(until.since(now).as_secs());
            assert!(!failing.handle_timeout(now) && failing.handle_timeout(until));
            now = until;
            failing.note(now, 1, 1);
            assert_eq!(failing.stage(), Stage::Trial);
            failing.note(now, 0, 1);
        }
        assert_eq!(times, [30, 60, 120, 240, 300]);
        let Stage::Aside(until) = failing.stage() else { panic!("{failing:?}") };
        assert!(failing.handle_timeout(until));
        // Nobody says how the calls of a trial went: other calls show it.
        assert!(failing.handle_timeout(until + TRIAL_TIME));
        failing.note(until + TRIAL_TIME, 2, 0);
        assert_eq!(failing.stage(), Stage::Trusted);
    }

    #[test]
    fn what_failed_long_ago_is_forgotten() {
        let mut failing = Failing::new(at(0));
        failing.note(at(0), 30, 30);
        assert_eq!(failing.failed_permille(), Some(500));
        for minute in 1..6 {
            failing.note(at(60 * minute), 20, 0);
        }
        assert!(failing.failed_permille() < Some(20), "{failing:?}");
        assert!(!failing.is_worse_than(Some(0)));
    }
}
