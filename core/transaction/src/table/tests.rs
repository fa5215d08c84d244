//! Both forms of the table against a naive model, and tests beyond the model: workers, alarms, threads.

use std::collections::BTreeMap;

use base::{Chance, Duration, Time};
use proptest::prelude::*;

use super::alarms::HORIZON;
use super::*;

const BOUNDS: Bounds = Bounds { entries_max: 6, bytes_max: 6 * Table::<Item>::ENTRY_BYTES + 300 };
const WORKERS: u8 = 2;

/// An entry that is due at some time and `more` times after that at equal pauses, and is then removed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    due: Time,
    pause: Duration,
    more: u8,
    bytes: usize,
}

impl Due for Item {
    fn deadline(&self) -> Time {
        self.due
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Item {
    fn step(&mut self) -> Next<Option<u8>> {
        if self.more == 0 {
            return Next::Remove(Some(0));
        }
        self.more -= 1;
        self.due = self.due + self.pause;
        self.bytes /= 2;
        // Every other step returns nothing.
        Next::Keep((!self.more.is_multiple_of(2)).then_some(self.more))
    }

    fn due_at(&mut self, ms: u64) -> Next<()> {
        self.due = at(ms);
        Next::Keep(())
    }
}

/// The table in one of its two forms, with the queue of each worker; the table with one owner has one queue.
enum Subject {
    One(Table<Item>),
    Shared(SharedTable<Item>),
}

impl Subject {
    fn at<R>(&mut self, key: u64, work: impl FnOnce(&mut Table<Item>) -> R) -> R {
        match self {
            Subject::One(table) => work(table),
            Subject::Shared(table) => work(&mut table.lock(key)),
        }
    }

    fn change_each(&mut self, now: Time, alarms: &mut Alarms, change: impl FnMut(&mut Item) -> Next<()>) {
        match self {
            Subject::One(table) => table.change_each(now, alarms, change),
            Subject::Shared(table) => table.change_each(now, alarms, change),
        }
    }

    /// Runs all due entries; returns their keys, with the result of each step.
    fn run(&mut self, now: Time, workers: &mut [Alarms]) -> Vec<(u64, u8)> {
        let step = |key: u64, item: &mut Item| {
            assert!(item.due <= now, "{item:?} is not due");
            item.step().map(|said| said.map(|said| (key, said)))
        };
        let mut said = Vec::new();
        for alarms in workers {
            said.extend(std::iter::from_fn(|| match self {
                Subject::One(table) => table.next_due(now, alarms, step),
                Subject::Shared(table) => table.next_due(now, alarms, step),
            }));
            assert!(alarms.next_deadline().is_none_or(|at| at > now));
        }
        said.sort_unstable();
        said
    }

    fn size(&self) -> (usize, usize) {
        match self {
            Subject::One(table) => (table.len(), table.bytes()),
            Subject::Shared(table) => (table.len(), table.bytes()),
        }
    }
}

/// The model: a map that is searched from end to end.
#[derive(Default)]
struct Model(BTreeMap<u64, Item>);

impl Model {
    fn size(&self) -> (usize, usize) {
        let bytes = |item: &Item| item.bytes + Table::<Item>::ENTRY_BYTES;
        (self.0.len(), self.0.values().map(bytes).sum())
    }

    fn insert(&mut self, key: u64, item: &Item) -> Result<(), NotKept> {
        if self.0.contains_key(&key) {
            return Err(NotKept::Present);
        }
        let (len, bytes) = self.size();
        if len + 1 > BOUNDS.entries_max || bytes + item.bytes + Table::<Item>::ENTRY_BYTES > BOUNDS.bytes_max
        {
            return Err(NotKept::Full);
        }
        self.0.insert(key, item.clone());
        Ok(())
    }

    fn run(&mut self, now: Time) -> Vec<(u64, u8)> {
        let mut all = Vec::new();
        self.0.retain(|key, item| {
            while item.due <= now {
                let next = item.step();
                let (Next::Keep(said) | Next::Remove(said)) = next;
                all.extend(said.map(|said| (*key, said)));
                if matches!(next, Next::Remove(_)) {
                    return false;
                }
            }
            true
        });
        all.sort_unstable();
        all
    }

    fn next_due(&self) -> Time {
        self.0.values().map(|item| item.due).min().unwrap_or(Time::NEVER)
    }
}

#[derive(Clone, Debug)]
enum Act {
    Insert {
        item: Item,
    },
    Change {
        item: Item,
        remove: bool,
    },
    Remove,
    /// Removes all entries with at least this many bytes, and makes the others due after this time.
    Each {
        bytes: usize,
        due: Duration,
    },
    Wait {
        time: Duration,
    },
    /// Passes the time until the first alarm.
    Wake,
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), 0..2000_u64, 0..200_000_u64].prop_map(Duration::from_millis)
}

fn item() -> impl Strategy<Value = Item> {
    let due = prop_oneof![6 => time().prop_map(|time| Time::ZERO + time), 1 => Just(Time::NEVER)];
    (due, time(), 0..4_u8, 0..100_usize).prop_map(|(due, pause, more, bytes)| Item {
        due,
        pause,
        more,
        bytes,
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => item().prop_map(|item| Act::Insert { item }),
        4 => (item(), any::<bool>()).prop_map(|(item, remove)| Act::Change { item, remove }),
        1 => Just(Act::Remove),
        1 => (0..100_usize, time()).prop_map(|(bytes, due)| Act::Each { bytes, due }),
        3 => time().prop_map(|time| Act::Wait { time }),
        3 => Just(Act::Wake),
    ]
}

/// Turns the item's times into times from now on.
fn from(now: Time, item: &Item) -> Item {
    let due = if item.due == Time::NEVER { Time::NEVER } else { now + item.due.since(Time::ZERO) };
    Item { due, ..item.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_the_naive_model(
        shared in any::<bool>(),
        acts in prop::collection::vec((act(), 0..8_u64, 0..WORKERS), 1..80),
    ) {
        let (mut table, workers) = if shared {
            (Subject::Shared(SharedTable::new(BOUNDS)), WORKERS)
        } else {
            (Subject::One(Table::new(BOUNDS)), 1)
        };
        let mut workers: Vec<Alarms> = (0..workers).map(|worker| Alarms::new(worker, 1000)).collect();
        let mut model = Model::default();
        let mut now = Time::from_secs(1);
        for (act, key, worker) in acts {
            // Puts the keys into different shards.
            let key = key << 32 | key;
            let worker = usize::from(worker) % workers.len();
            let alarms = &mut workers[worker];
            match act {
                Act::Insert { item } => {
                    let item = from(now, &item);
                    let kept = table.at(key, |table| table.insert(now, alarms, key, item.clone()));
                    prop_assert_eq!(kept, model.insert(key, &item));
                }
                Act::Change { item, remove } => {
                    let item = from(now, &item);
                    let before = table.at(key, |table| table.change(now, alarms, key, |there| {
                        let before = std::mem::replace(there, item.clone());
                        if remove { Next::Remove(before) } else { Next::Keep(before) }
                    }));
                    let expected = match remove {
                        true => model.0.remove(&key),
                        false => model.0.get_mut(&key).map(|there| std::mem::replace(there, item)),
                    };
                    prop_assert_eq!(before, expected);
                }
                Act::Remove => {
                    prop_assert_eq!(table.at(key, |table| table.remove(key)), model.0.remove(&key));
                }
                Act::Each { bytes, due } => {
                    let each = |item: &mut Item| {
                        item.due = now + due;
                        if item.bytes >= bytes { Next::Remove(()) } else { Next::Keep(()) }
                    };
                    table.change_each(now, alarms, each);
                    model.0.retain(|_, item| each(item) == Next::Keep(()));
                }
                Act::Wait { time } => now = now + time,
                Act::Wake => {
                    let first = workers.iter().filter_map(Alarms::next_deadline).min().unwrap_or(Time::NEVER);
                    prop_assert!(first <= model.next_due(), "nobody is woken for what is due");
                    now = now.max(if first == Time::NEVER { now } else { first });
                }
            }
            prop_assert_eq!(table.run(now, &mut workers), model.run(now));
            prop_assert_eq!(table.size(), model.size());
            let there = table.at(key, |table| (table.contains(key), table.get(key).cloned()));
            prop_assert_eq!(there, (model.0.contains_key(&key), model.0.get(&key).cloned()));
        }
        // Nothing is left behind: entries leave, and soon after them the alarms that no longer count.
        table.change_each(now, &mut workers[0], |_| Next::Remove(()));
        prop_assert_eq!(table.size(), (0, 0));
        prop_assert_eq!(table.run(now + HORIZON, &mut workers), vec![]);
        prop_assert!(workers.iter().all(Alarms::is_empty));
    }
}

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn item_due(ms: u64) -> Item {
    Item { due: at(ms), pause: Duration::ZERO, more: 0, bytes: 0 }
}

const ROOMY: Bounds = Bounds { entries_max: 1000, bytes_max: 1_000_000 };

/// Times at which the queue of a long-waiting entry is woken in vain: less and less often.
#[test]
fn alarms_lie_twice_as_far_ahead_each_time_up_to_the_horizon() {
    let (mut table, mut alarms) = (Table::new(ROOMY), Alarms::new(0, 1000));
    table.insert(at(0), &mut alarms, 1, item_due(100_000)).unwrap();
    let mut woken = Vec::new();
    while let Some(now) = alarms.next_deadline() {
        woken.push(now.as_secs());
        if table.next_due(now, &mut alarms, |_, item| item.step()).is_some() {
            break;
        }
    }
    assert_eq!(woken, [1, 3, 7, 15, 31, 63, 95, 100]);
    assert!(alarms.is_empty() && table.is_empty());
}

#[test]
fn what_waits_for_messages_alone_wakes_nobody() {
    let (mut table, mut alarms) = (Table::new(ROOMY), Alarms::new(0, 1000));
    let item = Item { due: Time::NEVER, ..item_due(0) };
    table.insert(at(0), &mut alarms, 1, item).unwrap();
    assert_eq!(alarms.next_deadline(), None);
    table.change(at(5), &mut alarms, 1, |item| item.due_at(10)).unwrap();
    assert_eq!(alarms.next_deadline(), Some(at(10)));
}

#[test]
fn the_worker_that_brings_a_deadline_forward_is_woken_for_it() {
    let table = SharedTable::new(ROOMY);
    let (mut one, mut two) = (Alarms::new(0, 1000), Alarms::new(1, 1000));
    table.lock(1).insert(at(0), &mut one, 1, item_due(500)).unwrap();
    table.change(at(100), &mut two, 1, |item| item.due_at(200));
    assert_eq!((one.next_deadline(), two.next_deadline()), (Some(at(500)), Some(at(200))));
    assert_eq!(table.next_due(at(500), &mut one, |_, item| item.step()), None, "it counts no more");
    assert_eq!(table.next_due(at(500), &mut two, |_, item| item.step()), Some(0));
    assert!(table.is_empty());
}

#[test]
fn a_caller_may_stop_and_go_on_later() {
    let (mut table, mut alarms) = (Table::new(ROOMY), Alarms::new(0, 1000));
    for key in 0..5 {
        table.insert(at(0), &mut alarms, key, item_due(key)).unwrap();
    }
    assert_eq!(table.next_due(at(10), &mut alarms, |key, _| Next::Remove(Some(key))), Some(0));
    assert_eq!((alarms.next_deadline(), table.len()), (Some(at(1)), 4));
    assert_eq!(table.next_due(at(10), &mut alarms, |key, _| Next::Remove(Some(key))), Some(1));
}

/// A full queue of alarms refuses entries as a full table does, so no sequence of short lives makes the queue grow.
#[test]
fn a_queue_full_of_alarms_that_no_longer_count_takes_nothing_in() {
    let (mut table, mut alarms) = (Table::new(ROOMY), Alarms::new(0, 2));
    let kept = (0..100)
        .filter(|key| {
            let kept = table.insert(at(0), &mut alarms, *key, item_due(60_000));
            table.remove(*key);
            kept.is_ok()
        })
        .count();
    assert_eq!((kept, alarms.len(), table.len()), (8, 8, 0));
    assert_eq!(table.next_due(at(1000), &mut alarms, |_, item| item.step()), None);
    assert!(alarms.is_empty());
    assert_eq!(table.insert(at(1000), &mut alarms, 1, item_due(60_000)), Ok(()));
}

/// Four workers at once on the same few entries: no entry is lost or counted twice.
#[test]
fn workers_meet_in_the_same_entries_and_the_books_balance() {
    const WORKERS: u8 = 4;
    let table = SharedTable::new(BOUNDS);
    let work = |worker: u8| {
        let (mut alarms, mut chance) = (Alarms::new(worker, 1000), Chance::seeded(u64::from(worker)));
        let mut kept = 0;
        for ms in 0..20_000 {
            let (key, due) = (chance.below(8) << 32, at(ms + chance.below(100)));
            let item = Item { due, bytes: chance.below(100) as usize, ..item_due(0) };
            match chance.below(8) {
                0..3 => kept += u64::from(table.lock(key).insert(at(ms), &mut alarms, key, item).is_ok()),
                3..6 => {
                    table.change(at(ms), &mut alarms, key, |there| {
                        *there = item;
                        Next::Keep(())
                    });
                }
                6 => _ = table.lock(key).remove(key),
                _ => table.change_each(at(ms), &mut alarms, |item| {
                    item.bytes /= 2;
                    Next::Keep(())
                }),
            }
            while table.next_due(at(ms), &mut alarms, |_, item| item.step()).is_some() {}
            assert!(table.len() <= BOUNDS.entries_max + usize::from(WORKERS));
        }
        (alarms, kept)
    };
    let mut workers: Vec<(Alarms, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS).map(|worker| scope.spawn(move || work(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (alarms, kept) in &mut workers {
        assert!(*kept > 500, "{kept}");
        while table.next_due(at(60_000), alarms, |_, item| item.step()).is_some() {}
        assert!(alarms.is_empty());
    }
    assert_eq!((table.len(), table.bytes()), (0, 0));
}
