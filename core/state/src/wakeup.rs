//! Which engine asks which partition for due records, when, and which engines are dead.
//!
//! Each engine polls its share of the partitions often and all of them seldom. So a timer whose engine died is late by little,
//! and no timer depends on a list of engines being right. Engines mark themselves alive at every primary. An engine is dead when
//! its marks stand still at every primary that this engine could watch all the while: a primary that is replaced makes nobody
//! dead.

use std::collections::BTreeMap;

use base::{Duration, Time};

use crate::command::{Mark, Millis};

/// An engine polls its own share this often.
pub const SHARE_EVERY: Duration = Duration::from_millis(500);
/// An engine polls every partition this often.
pub const ALL_EVERY: Duration = Duration::from_secs(5);
/// An engine marks itself alive at every primary this often.
pub const MARK_EVERY: Duration = Duration::from_millis(500);
/// An engine whose marks stand still for so long is dead.
pub const DEAD_AFTER: Duration = Duration::from_millis(1500);
/// A mark so much older than the newest one, when an engine first sees it, says nothing of its engine: that one has left out
/// several of them, however far clocks are apart.
const STALE_MS: Millis = 3_000;
/// The calls in progress of an engine that is dead for so long have come by their wake-ups: those come when timer B has run out
/// and two seconds later.
const FORGOTTEN_AFTER_MS: Millis = 35_000;
/// A mark is first seen up to one period after it was written, and may be read as late again.
const DOUBTED_FOR: Duration = Duration::from_millis(1000);
/// A due record whose owner lives is left to its owner for so long.
pub const LEFT_TO_OWNER_MS: Millis = 5_000;
/// A primary that has not answered for so long was not watched meanwhile: one answer may be lost.
const UNWATCHED_AFTER: Duration = Duration::from_millis(1100);
/// Number of partitions.
const PARTITIONS: u32 = 256;

/// The engine that polls this partition, of the living ones in their order; it also takes over what a dead engine had there.
pub fn polled_by(partition: u8, living: &[u32]) -> Option<u32> {
    living.get(usize::from(partition) % living.len().max(1)).copied()
}

/// Whether a due record is left to its owner.
pub fn is_left_to_owner(owner_lives: bool, due: Millis, now: Millis) -> bool {
    owner_lives && now < due.saturating_add(LEFT_TO_OWNER_MS)
}

/// When this engine polls which partition.
#[derive(Debug)]
pub struct Polls {
    engine: u32,
    next: Box<[Time; PARTITIONS as usize]>,
    /// The earliest of them.
    first: Time,
}

impl Polls {
    /// The first polls are spread over their period, and differ from those of other engines.
    pub fn new(engine: u32, now: Time) -> Polls {
        let place =
            |partition: usize| (partition as u32).wrapping_add(engine.wrapping_mul(0x9E37)) % PARTITIONS;
        let first = |partition| now + ALL_EVERY * place(partition) / PARTITIONS;
        Polls { engine, next: Box::new(std::array::from_fn(first)), first: now }
    }

    /// The partitions to poll now. `living`: the living engines in their order, this one among them.
    pub fn take(&mut self, now: Time, living: &[u32]) -> Vec<u8> {
        let mut taken = Vec::new();
        self.first = Time::NEVER;
        // As `polled_by` says.
        let turns = living.iter().cycle().map(|engine| *engine == self.engine);
        for ((partition, next), is_own) in (0..=u8::MAX).zip(self.next.iter_mut()).zip(turns) {
            let every = if is_own { SHARE_EVERY } else { ALL_EVERY };
            // A partition that has just come to this share keeps its place within the shorter period.
            while *next > now + every {
                *next = *next - every;
            }
            if *next <= now {
                taken.push(partition);
                // Polls that were missed are not made up for.
                *next = if now.since(*next) >= every { now + every } else { *next + every };
            }
            self.first = self.first.min(*next);
        }
        taken
    }

    /// When [`Polls::take`] must be called again at the latest, unless engines come or go.
    pub fn deadline(&self) -> Time {
        self.first
    }
}

/// Who lives, as far as this engine sees.
#[derive(Debug)]
pub struct Living {
    engine: u32,
    engines: BTreeMap<u32, Engine>,
    watched: BTreeMap<u32, Watched>,
}

#[derive(Debug, Default)]
struct Engine {
    address: Box<[u8]>,
    dead: bool,
    /// Only old marks were seen so far: nothing is left to this engine, and nobody mourns it yet.
    stale: bool,
    /// Its mark was older than [`FORGOTTEN_AFTER_MS`] when it was first seen.
    forgotten: bool,
    /// At each primary: the newest mark.
    marks: BTreeMap<u32, Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Millis,
    /// When this engine first saw it.
    since: Time,
    /// The next one may have been written before the death that this engine was told of, unless it is newer than this.
    doubt: Option<Millis>,
}

/// A primary answers since one moment without a gap, at last at another.
#[derive(Clone, Copy, Debug)]
struct Watched {
    since: Time,
    last: Time,
}

impl Living {
    pub fn new(engine: u32) -> Living {
        Living { engine, engines: BTreeMap::new(), watched: BTreeMap::new() }
    }

    /// A primary answered this engine's mark with all marks that it has.
    pub fn marks(&mut self, now: Time, primary: u32, marks: &[Mark]) {
        let watched = self.watched.entry(primary).or_insert(Watched { since: now, last: now });
        if now.since(watched.last) > UNWATCHED_AFTER {
            watched.since = now;
        }
        watched.last = now;
        let newest = marks.iter().map(|mark| mark.at).max().unwrap_or_default();
        for mark in marks.iter().filter(|mark| mark.engine != self.engine) {
            let is_older = |than| mark.at.saturating_add(than) < newest;
            let (stale, forgotten) = (is_older(STALE_MS), is_older(FORGOTTEN_AFTER_MS));
            let first = || Engine { stale, forgotten, ..Engine::default() };
            let engine = self.engines.entry(mark.engine).or_insert_with(first);
            engine.address.clone_from(&mark.address);
            let new = Seen { at: mark.at, since: now, doubt: None };
            match engine.marks.get_mut(&primary) {
                // An old mark at a primary that is new to this engine is no sign of life.
                None => _ = engine.marks.insert(primary, new),
                Some(seen) if mark.at > seen.at => {
                    // Nor is one from before the death.
                    if seen.doubt.is_none_or(|until| mark.at > until) {
                        (engine.dead, engine.stale, engine.forgotten) = (false, false, false);
                    }
                    *seen = new;
                }
                // The newest mark was lost with a primary, or a clock was set back: what comes next is a sign of life.
                Some(seen) => seen.at = mark.at,
            }
        }
        let named = |number: &u32| marks.iter().any(|mark| mark.engine == *number);
        for (number, engine) in &mut self.engines {
            if !named(number) {
                engine.marks.remove(&primary);
            }
        }
        self.engines.retain(|_, engine| !engine.marks.is_empty());
    }

    /// The connection to a primary was lost, or it is none any longer.
    pub fn lost(&mut self, primary: u32) {
        self.watched.remove(&primary);
        for engine in self.engines.values_mut() {
            engine.marks.remove(&primary);
        }
    }

    /// Somebody else knows that an engine died: an agent, or heartbeats. True: it lived until now.
    ///
    /// The second newer mark at one primary brings it back: it may have written the first before it died. If this engine stood
    /// still meanwhile, the first may be much newer; then it brings the other one back at once.
    pub fn told_dead(&mut self, now: Time, engine: u32) -> bool {
        let Some(engine) = self.engines.get_mut(&engine).filter(|engine| !engine.dead) else { return false };
        engine.dead = true;
        for seen in engine.marks.values_mut() {
            let before = now.since(seen.since) + DOUBTED_FOR;
            seen.doubt = Some(seen.at.saturating_add(before.as_millis() as Millis));
        }
        true
    }

    /// Engines that died since the last call, those also that were silent already when this engine came: the others that live
    /// may have come as late, or may leave it the share of one that died before it had those calls. One that has been silent for
    /// long is left out while another engine lives: else each engine that starts would look for the calls of all that ever died.
    pub fn take_dead(&mut self, now: Time) -> Vec<u32> {
        let watched: Vec<u32> = self
            .watched
            .iter()
            .filter(|(_, one)| one.is_throughout(now))
            .map(|(primary, _)| *primary)
            .collect();
        let (mut died, mut died_before) = (Vec::new(), Vec::new());
        for (number, engine) in self.engines.iter_mut().filter(|(_, engine)| !engine.dead) {
            let still = |primary: &u32| {
                engine.marks.get(primary).is_none_or(|seen| now.since(seen.since) > DEAD_AFTER)
            };
            if !watched.is_empty() && watched.iter().all(still) {
                engine.dead = true;
                if engine.forgotten { &mut died_before } else { &mut died }.push(*number);
            }
        }
        if !self.engines.values().any(Engine::lives) {
            died.append(&mut died_before);
            died.sort_unstable();
        }
        died
    }

    /// The living engines in their order, this one among them.
    pub fn engines(&self) -> Vec<u32> {
        let others = self.engines.iter().filter(|(_, engine)| !engine.dead).map(|(number, _)| *number);
        let mut living: Vec<u32> = others.chain([self.engine]).collect();
        living.sort_unstable();
        living
    }

    pub fn lives(&self, engine: u32) -> bool {
        engine == self.engine || self.engines.get(&engine).is_some_and(Engine::lives)
    }

    /// The living engines that take letters at this address, this one not among them. More than one: a process has started
    /// anew there, and the death of the one before is not known yet.
    pub fn at(&self, address: &[u8]) -> Vec<u32> {
        let there = |(_, engine): &(&u32, &Engine)| !engine.dead && *engine.address == *address;
        self.engines.iter().filter(there).map(|(number, _)| *number).collect()
    }

    /// Where a living engine takes letters.
    pub fn address(&self, engine: u32) -> Option<&[u8]> {
        self.engines.get(&engine).filter(|engine| engine.lives()).map(|engine| &*engine.address)
    }

    /// The address of an engine that lives, or that is taken for dead. `None`: no mark named it.
    pub fn last_address(&self, engine: u32) -> Option<&[u8]> {
        self.engines.get(&engine).map(|engine| &*engine.address)
    }
}

impl Engine {
    fn lives(&self) -> bool {
        !self.dead && !self.stale
    }
}

impl Watched {
    fn is_throughout(&self, now: Time) -> bool {
        now.since(self.since) > DEAD_AFTER && now.since(self.last) <= UNWATCHED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 5;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn mark(engine: u32, at: Millis) -> Mark {
        Mark { engine, address: Box::from(&b"10.0.0.1:5099"[..]), at }
    }

    #[test]
    fn each_partition_has_one_engine_and_shares_differ_by_one_at_most() {
        for living in [&[5][..], &[2, 5], &[1, 2, 5, 9, 40]] {
            let shares = living
                .iter()
                .map(|engine| (0..=255).filter(|one| polled_by(*one, living) == Some(*engine)).count());
            let shares: Vec<usize> = shares.collect();
            assert_eq!(shares.iter().sum::<usize>(), 256);
            assert!(shares.iter().max().expect("a share") - shares.iter().min().expect("a share") <= 1);
        }
        assert_eq!(polled_by(7, &[]), None);
    }

    #[test]
    fn the_own_share_is_polled_ten_times_as_often_as_the_rest() {
        let living = [ME, 9];
        let mut polls = Polls::new(ME, at(0));
        let mut counts = [0; 256];
        let mut most = 0;
        let mut now = at(0);
        while now < at(50_000) {
            let taken = polls.take(now, &living);
            most = most.max(taken.len());
            taken.iter().for_each(|partition| counts[usize::from(*partition)] += 1);
            assert!(polls.deadline() > now);
            now = polls.deadline();
        }
        for (partition, count) in counts.iter().enumerate() {
            let expected = if partition % 2 == 0 { 99..=101 } else { 9..=11 };
            assert!(expected.contains(count), "{partition}: {count}");
        }
        assert!(most <= 32, "polls are spread: {most} at once");
    }

    #[test]
    fn the_share_of_a_dead_engine_is_polled_within_half_a_second() {
        let mut polls = Polls::new(ME, at(0));
        polls.take(at(0), &[ME, 9]);
        let (mut seen, mut now) = (std::collections::BTreeSet::new(), at(10));
        while now <= at(510) {
            seen.extend(polls.take(now, &[ME]));
            now = now + Duration::from_millis(10);
        }
        assert_eq!(seen.len(), 256);
    }

    #[test]
    fn polls_that_were_missed_are_not_made_up_for() {
        let mut polls = Polls::new(ME, at(0));
        assert_eq!(polls.take(at(60_000), &[ME]).len(), 256);
        assert_eq!(polls.take(at(60_001), &[ME]), []);
    }

    #[test]
    fn a_due_record_is_left_to_a_living_owner_for_a_while() {
        assert!(is_left_to_owner(true, 10_000, 14_999));
        assert!(!is_left_to_owner(true, 10_000, 15_000));
        assert!(!is_left_to_owner(false, 10_000, 10_000));
    }

    /// Two primaries that answer every 500 ms in this span, and engine 9, which marks itself until `until` at both.
    fn watch(living: &mut Living, from: u64, to: u64, primaries: &[u32], until: u64) -> Vec<(u64, u32)> {
        let mut died = Vec::new();
        for now in (from..=to).step_by(500) {
            for primary in primaries {
                living.marks(at(now), *primary, &[mark(ME, now), mark(9, 77_000 + now.min(until))]);
            }
            died.extend(living.take_dead(at(now)).into_iter().map(|engine| (now, engine)));
        }
        died
    }

    #[test]
    fn dead_is_whose_marks_stand_still_at_all_primaries() {
        let mut living = Living::new(ME);
        assert_eq!(watch(&mut living, 0, 10_000, &[1, 2], 6_000), [(8_000, 9)]);
        assert!(!living.lives(9) && living.address(9).is_none());
        assert_eq!(living.engines(), [ME]);
        assert_eq!(watch(&mut living, 10_500, 12_000, &[1, 2], 50_000), []);
        assert_eq!((living.engines(), living.address(9)), (vec![ME, 9], Some(&b"10.0.0.1:5099"[..])));
    }

    #[test]
    fn an_engine_that_reaches_one_primary_only_lives() {
        let mut living = Living::new(ME);
        for now in (0..10_000).step_by(500) {
            living.marks(at(now), 1, &[mark(9, now)]);
            living.marks(at(now), 2, &[mark(9, 0)]);
            assert_eq!(living.take_dead(at(now)), []);
        }
    }

    #[test]
    fn a_primary_that_is_replaced_makes_nobody_dead() {
        let mut living = Living::new(ME);
        assert_eq!(watch(&mut living, 0, 4_000, &[1], 60_000), []);
        // Nobody reaches the primary for 3.6 s; its replica has the old marks, and engine 9 comes back later than this one.
        living.lost(1);
        assert_eq!(living.take_dead(at(7_000)), []);
        for now in [7_600, 8_100, 8_600, 9_000] {
            living.marks(at(now), 3, &[mark(9, 4_000)]);
            assert_eq!(living.take_dead(at(now)), []);
        }
        living.marks(at(9_100), 3, &[mark(9, 9_050)]);
        living.marks(at(9_600), 3, &[mark(9, 9_050)]);
        assert_eq!(living.take_dead(at(9_600)), []);
    }

    #[test]
    fn a_primary_that_answers_with_gaps_was_not_watched() {
        let mut living = Living::new(ME);
        for now in [0, 1_200, 2_400, 3_600] {
            living.marks(at(now), 1, &[mark(9, 1)]);
            assert_eq!(living.take_dead(at(now)), [], "{now}");
        }
        // Without an answer nobody dies, however long.
        assert_eq!(living.take_dead(at(100_000)), []);
    }

    #[test]
    fn an_engine_that_others_saw_die_lives_again_by_the_second_newer_mark() {
        let mut living = Living::new(ME);
        living.marks(at(0), 1, &[mark(9, 1)]);
        assert!(living.told_dead(at(0), 9));
        assert!(!living.told_dead(at(0), 9) && !living.told_dead(at(0), 33));
        living.marks(at(500), 1, &[mark(9, 1)]);
        living.marks(at(500), 2, &[mark(9, 1)]);
        assert!(!living.lives(9));
        living.marks(at(1_000), 1, &[mark(9, 2)]);
        assert!(!living.lives(9), "this mark may be from before its death");
        living.marks(at(1_500), 1, &[mark(9, 3)]);
        assert!(living.lives(9));
    }

    #[test]
    fn a_mark_that_was_written_after_the_notice_of_a_death_brings_an_engine_back() {
        let mut living = Living::new(ME);
        living.marks(at(0), 1, &[mark(9, 1_000)]);
        assert!(living.told_dead(at(400), 9));
        // This engine has stood still; the other one was stopped, too, and went on.
        living.marks(at(9_000), 1, &[mark(9, 2_401)]);
        assert!(living.lives(9));
        living.marks(at(9_500), 1, &[mark(9, 3_000)]);
        assert!(living.told_dead(at(9_900), 9));
        living.marks(at(10_000), 1, &[mark(9, 3_500)]);
        assert!(!living.lives(9), "it may have written this one before");
    }

    #[test]
    fn an_engine_that_no_primary_names_is_forgotten() {
        let mut living = Living::new(ME);
        living.marks(at(0), 1, &[mark(9, 1)]);
        living.marks(at(500), 1, &[]);
        assert_eq!(living.engines(), [ME]);
    }

    #[test]
    fn a_mark_that_went_back_with_a_primary_brings_nobody_back() {
        let mut living = Living::new(ME);
        living.marks(at(0), 0, &[mark(ME, 9_000), mark(7, 9_000)]);
        assert!(living.told_dead(at(0), 7) && !living.lives(7));
        living.marks(at(500), 0, &[mark(ME, 9_500), mark(7, 8_500)]);
        assert!(!living.lives(7), "its newest mark was lost with the primary");
        living.marks(at(1_000), 0, &[mark(ME, 10_000), mark(7, 8_500)]);
        assert!(!living.lives(7));
        living.marks(at(1_500), 0, &[mark(ME, 10_500), mark(7, 8_600)]);
        assert!(!living.lives(7), "it may have written this one before it died");
        living.marks(at(2_000), 0, &[mark(ME, 11_000), mark(7, 8_700)]);
        assert!(living.lives(7), "a new mark, of a clock that was set back");
    }

    #[test]
    fn an_engine_that_starts_leaves_nothing_to_one_whose_marks_are_old() {
        let mut living = Living::new(ME);
        let marks = |own| [mark(ME, own), mark(3, 5_000), mark(4, 8_000)];
        living.marks(at(0), 0, &marks(10_000));
        assert!(!living.lives(3) && living.address(3).is_none(), "five seconds old");
        assert!(living.lives(4), "perhaps it is about to write the next one");
        assert_eq!(living.engines(), [3, 4, ME], "it is watched before it is mourned");
        for step in 1..=3 {
            living.marks(at(step * 500), 0, &marks(10_000 + step * 500));
            assert_eq!(living.take_dead(at(step * 500)), []);
        }
        living.marks(at(2_000), 0, &marks(12_000));
        assert_eq!(living.take_dead(at(2_000)), [3, 4]);
        living.marks(at(2_500), 0, &[mark(ME, 12_500), mark(3, 5_001)]);
        assert!(living.lives(3), "it stood still and goes on");
    }

    #[test]
    fn each_engine_that_starts_looks_for_the_calls_of_those_who_died_shortly_before() {
        for other in [4, 6] {
            let mut living = Living::new(ME);
            let mut died = Vec::new();
            for step in 0..=4 {
                let own = 10_000 + step * 500;
                living.marks(at(step * 500), 0, &[mark(ME, own), mark(3, 5_000), mark(other, own)]);
                died.extend(living.take_dead(at(step * 500)));
            }
            assert_eq!(died, [3], "engine {other} may have come as late");
        }
    }

    #[test]
    fn the_calls_of_those_who_died_long_before_are_left_to_others() {
        let mut living = Living::new(ME);
        for step in 0..=4 {
            let own = 50_000 + step * 500;
            living.marks(at(step * 500), 0, &[mark(ME, own), mark(3, 5_000), mark(4, own)]);
            assert_eq!(living.take_dead(at(step * 500)), []);
        }
        assert!(!living.lives(3) && living.lives(4));
        assert_eq!(living.engines(), [4, ME], "it has no share of the partitions");
    }
}
