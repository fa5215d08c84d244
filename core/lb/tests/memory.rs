//! `Expiring` against a model with virtual time, and the promises on memory: bound, refusal, bytes per entry.

use std::collections::HashMap;

use base::{Chance, Duration, Time};
use proptest::prelude::*;
use strowger_lb::memory::expiring::{Entry, Expiring, Remembered, SWEEP_PERIOD};

/// Ends are kept in steps of 2^16 µs, rounded up.
fn kept(until: Time) -> Time {
    Time::from_micros(until.as_micros().div_ceil(1 << 16).max(1) << 16)
}

#[derive(Clone, Debug)]
enum Step {
    Get(u64),
    Insert(u64, u32, u64),
    Decline(u64),
    Touch(u64, u64),
    Shorten(u64, u64),
    Move(u64, u32),
    Remove(u64),
    Sweep(usize),
    Pass(u64),
}

/// Few keys, all in one shard and many in one bucket, so that every path of collision and reuse is taken.
fn key() -> impl Strategy<Value = u64> {
    (0u64..40, 0u64..3).prop_map(|(high, low)| high << 57 | low << 40 | high)
}

fn step() -> impl Strategy<Value = Step> {
    let lives = 0u64..2_000;
    prop_oneof![
        3 => key().prop_map(Step::Get),
        6 => (key(), 0u32..9, lives.clone()).prop_map(|(key, server, ms)| Step::Insert(key, server, ms)),
        1 => key().prop_map(Step::Decline),
        1 => (key(), lives.clone()).prop_map(|(key, ms)| Step::Touch(key, ms)),
        1 => (key(), lives.clone()).prop_map(|(key, ms)| Step::Shorten(key, ms)),
        1 => (key(), 0u32..9).prop_map(|(key, server)| Step::Move(key, server)),
        2 => key().prop_map(Step::Remove),
        1 => (0usize..40).prop_map(Step::Sweep),
        2 => (0u64..300).prop_map(Step::Pass),
    ]
}

/// The model: entries by key, expired ones included until they end. Every end must be told exactly once.
#[derive(Default)]
struct Model {
    entries: HashMap<u64, Entry>,
    now: Time,
}

impl Model {
    fn living(&self, key: u64) -> Option<Entry> {
        self.entries.get(&key).copied().filter(|entry| self.now < entry.until)
    }

    fn change(&mut self, key: u64, change: impl FnOnce(&mut Entry)) -> Option<Entry> {
        self.living(key)?;
        let entry = self.entries.get_mut(&key)?;
        change(entry);
        entry.until = kept(entry.until);
        Some(*entry)
    }

    /// Takes one expired entry with this content off.
    fn end(&mut self, ended: Entry) {
        assert!(ended.until <= self.now, "a living entry was ended");
        let key = *self.entries.iter().find(|(_, entry)| **entry == ended).expect("ended twice").0;
        self.entries.remove(&key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn it_does_what_a_plain_map_does(steps in prop::collection::vec(step(), 1..400), max in 5usize..200) {
        let map = Expiring::new(max);
        let mut model = Model { now: Time::from_secs(1), ..Model::default() };
        for (number, step) in steps.into_iter().enumerate() {
            let now = model.now;
            let after = |ms: u64| now + Duration::from_millis(ms);
            match step {
                Step::Get(key) => prop_assert_eq!(map.get(now, key), model.living(key)),
                Step::Insert(key, server, ms) => {
                    // The flags make every entry unlike all others, so that ends can be told apart.
                    let flags = number as u32;
                    let full = model.entries.len() == max;
                    match map.get_or_insert_with(now, key, after(ms), || Some((server, flags))) {
                        Remembered::Known(entry) => prop_assert_eq!(Some(entry), model.living(key)),
                        Remembered::New { entry, ended } => {
                            prop_assert_eq!(model.living(key), None);
                            prop_assert_eq!(entry, Entry { server, flags, until: kept(after(ms)) });
                            prop_assert!(!full || ended.is_some());
                            if let Some(ended) = ended {
                                model.end(ended);
                            }
                            prop_assert!(!model.entries.contains_key(&key));
                            model.entries.insert(key, entry);
                        }
                        Remembered::Full => prop_assert!(full && model.living(key).is_none()),
                        Remembered::Declined => prop_assert!(false),
                    }
                }
                Step::Decline(key) => match map.get_or_insert_with(now, key, now, || None) {
                    Remembered::Known(entry) => prop_assert_eq!(Some(entry), model.living(key)),
                    Remembered::Declined => prop_assert_eq!(model.living(key), None),
                    Remembered::Full => prop_assert_eq!(model.entries.len(), max),
                    Remembered::New { .. } => prop_assert!(false),
                },
                Step::Touch(key, ms) => {
                    let expected = model.change(key, |entry| entry.until = entry.until.max(after(ms)));
                    prop_assert_eq!(map.touch(now, key, after(ms)), expected);
                }
                Step::Shorten(key, ms) => {
                    let expected = model.change(key, |entry| entry.until = entry.until.min(after(ms)));
                    prop_assert_eq!(map.shorten(now, key, after(ms)), expected);
                }
                Step::Move(key, server) => {
                    let expected = model.change(key, |entry| entry.server = server);
                    let moved = map.update(now, key, |entry| entry.server = server);
                    prop_assert_eq!(moved.map(|(_, entry)| entry), expected);
                }
                Step::Remove(key) => prop_assert_eq!(map.remove(key), model.entries.remove(&key)),
                Step::Sweep(budget) => {
                    map.sweep(now, budget, |key, entry| {
                        model.end(entry);
                        assert!(!model.entries.contains_key(&key));
                    });
                }
                Step::Pass(ms) => model.now = after(ms),
            }
            prop_assert_eq!(map.len(), model.entries.len());
        }
        let end = model.now + Duration::from_secs(10);
        model.now = end;
        map.sweep(end, usize::MAX / 2, |_, entry| model.end(entry));
        prop_assert!(map.is_empty() && model.entries.is_empty());
    }
}

/// Bytes per living entry, without the fixed part of the shards, at every size on the way up and down again.
#[test]
fn memory_follows_the_entries_up_and_down() {
    let map = Expiring::new(200_000);
    let fixed = map.bytes();
    let (mut chance, mut keys) = (Chance::seeded(7), Vec::new());
    let mut worst: f64 = 0.0;
    for _ in 0..200_000 {
        let key = chance.next_u64();
        keys.push(key);
        map.get_or_insert_with(Time::ZERO, key, Time::from_secs(100), || Some((1, 0)));
        if keys.len() >= 5_000 && keys.len() % 97 == 0 {
            worst = worst.max((map.bytes() - fixed) as f64 / keys.len() as f64);
        }
    }
    assert!(worst <= 64.0, "{worst} bytes per entry while growing");
    let full = (map.bytes() - fixed) as f64 / keys.len() as f64;
    println!("bytes per entry: {full:.1} when full, {worst:.1} at worst on the way up; {fixed} fixed");
    let refused = map.get_or_insert_with(Time::ZERO, 1, Time::from_secs(100), || panic!("must not choose"));
    assert_eq!((refused, map.refused()), (Remembered::Full, 1));
    assert!(keys.iter().all(|&key| map.get(Time::ZERO, key).is_some()), "a living entry was lost");

    let mut worst: f64 = 0.0;
    while keys.len() > 5_000 {
        for key in keys.drain(keys.len() - 500..) {
            assert!(map.remove(key).is_some());
        }
        map.sweep(Time::ZERO, 200_000, |_, _| panic!("none has expired"));
        worst = worst.max((map.bytes() - fixed) as f64 / keys.len() as f64);
    }
    assert!(worst <= 64.0, "{worst} bytes per entry while shrinking");
    assert!(keys.iter().all(|&key| map.get(Time::ZERO, key).is_some()));
}

#[test]
fn an_entry_lives_at_least_its_time_and_at_most_a_step_longer() {
    for micros in [1, 65_535, 65_536, 65_537, 32_000_000] {
        let (map, until) = (Expiring::new(10), Time::from_micros(micros));
        map.get_or_insert_with(Time::ZERO, 5, until, || Some((1, 2)));
        assert!(map.get(Time::from_micros(micros - 1), 5).is_some(), "{micros}");
        assert!(map.get(Time::from_micros(micros + 65_536), 5).is_none(), "{micros}");
    }
}

#[test]
fn the_paced_sweep_passes_all_in_its_period_at_any_rhythm() {
    for step_ms in [1, 100, 1000] {
        let (map, mut chance) = (Expiring::new(50_000), Chance::seeded(step_ms));
        for _ in 0..50_000 {
            map.get_or_insert_with(Time::ZERO, chance.next_u64(), Time::from_secs(1), || Some((1, 0)));
        }
        let (mut now, mut ended) = (Time::from_secs(2), 0);
        map.sweep_paced(now, |_, _| ended += 1);
        assert!(ended < 50_000);
        let end = now + SWEEP_PERIOD;
        while now < end {
            now = now + Duration::from_millis(step_ms);
            map.sweep_paced(now, |_, _| ended += 1);
        }
        assert_eq!((ended, map.len()), (50_000, 0), "every {step_ms} ms");
    }
}

#[test]
fn two_threads_with_one_new_call_get_one_choice() {
    let map = Expiring::new(100_000);
    let choices = |own: u32| {
        let map = &map;
        move || -> Vec<u32> {
            let choose =
                |key: u64| map.get_or_insert_with(Time::ZERO, key, Time::from_secs(9), || Some((own, 0)));
            (0..50_000u64)
                .map(|n| choose(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).entry().unwrap().server)
                .collect()
        }
    };
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(choices(1)), scope.spawn(choices(2)));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert!(one == two, "two workers chose two servers for one call");
}
