//! Whole groups on virtual time, over a network that loses, doubles and reorders: every call has one end, none goes round, and
//! a client that follows its redirect is taken.

mod network;

use base::Duration;
use network::*;
use strowger_shift::{AllAbove, Counter, Criterion, Decision, Group, Sharing};

const CALLS: u32 = 300;

struct Story {
    sharing: Sharing,
    criteria: Vec<Criterion>,
    all_above: AllAbove,
    /// Threshold of each member.
    thresholds: Vec<u32>,
    weather: Weather,
    /// This member dies in the middle.
    dies: Option<usize>,
}

#[derive(Debug, Default, PartialEq)]
struct Ends {
    taken: u32,
    redirected: u32,
    refused: u32,
}

/// All clients ask the first member, one every 10 ms, and their calls stay. Returns the calls that each member has, and the ends.
fn play(story: &Story, seed: u64) -> (Vec<u32>, Ends) {
    let size = story.thresholds.len();
    let groups = (0..size)
        .map(|index| {
            let mut settings = settings(index, size, story.thresholds[index]);
            settings.sharing = story.sharing;
            settings.criteria = story.criteria.clone();
            settings.all_above = story.all_above;
            settings.chance = base::Chance::seeded(seed * 100 + index as u64);
            Group::new(settings).unwrap()
        })
        .collect();
    let mut network = Network::of(groups, story.weather, seed);
    network.run(Duration::from_secs(2));
    let (mut load, mut ends, mut waiting) = (vec![0u32; size], Ends::default(), Vec::new());
    for number in 0..CALLS {
        if number == CALLS / 2
            && let Some(index) = story.dies
        {
            network.members[index] = None;
        }
        match network.with(0, |group, now, out| group.offer(now, call(), out)).unwrap() {
            None => {
                load[0] += 1;
                ends.taken += 1;
            }
            Some(number) => waiting.push((number, network.now)),
        }
        network.run(Duration::from_millis(10));
        settle(&mut network, &mut load, &mut ends, &mut waiting);
    }
    network.run(Duration::from_secs(3));
    settle(&mut network, &mut load, &mut ends, &mut waiting);
    assert_eq!(waiting, [], "seed {seed}: searches without end");
    assert_eq!(network.group(0).searches(), 0);
    let most = network.offers.values().max().copied().unwrap_or(0);
    assert!(most <= 4 * size * size, "seed {seed}: a call was sent {most} times");
    (load, ends)
}

fn settle(network: &mut Network, load: &mut [u32], ends: &mut Ends, waiting: &mut Vec<(u64, base::Time)>) {
    for (when, at, decision) in std::mem::take(&mut network.decisions) {
        let number = match &decision {
            Decision::Take { number } => {
                load[at] += 1;
                ends.taken += 1;
                *number
            }
            Decision::Redirect { number, contact, told } => {
                assert!(!told, "nobody asked for that");
                ends.redirected += 1;
                let (to, ticket) = follow(contact);
                assert_ne!(to, at, "sent back to where the client came from");
                // One that died meanwhile is the client's to find out, as with any redirect.
                if let Some(good) = network.with(to, |group, now, _| group.redeem(now, ticket.as_bytes())) {
                    assert!(good, "the member that promised must take the call");
                    load[to] += 1;
                }
                *number
            }
            Decision::Refuse { number, retry_after_seconds } => {
                assert_eq!(*retry_after_seconds, 5);
                ends.refused += 1;
                *number
            }
            Decision::Tell { .. } => panic!("nobody asked for that"),
        };
        assert_eq!(at, 0, "a decision for a member that was not asked");
        let place = waiting.iter().position(|(it, _)| *it == number).expect("one decision for one search");
        let (_, since) = waiting.remove(place);
        assert!(when.since(since) <= Duration::from_millis(2_200), "decided too late");
    }
    for (index, calls_there) in load.iter().enumerate() {
        network.with(index, |group, _, _| group.set_measures(calls(*calls_there)));
    }
}

const WAYS: [Sharing; 3] = [Sharing::Push, Sharing::Poll, Sharing::Collect];
const STORM: Weather =
    Weather { loss_permille: 200, twice_permille: 100, delay_max: Duration::from_millis(40) };

fn story(sharing: Sharing, thresholds: &[u32], weather: Weather) -> Story {
    Story {
        sharing,
        criteria: vec![Criterion::Workload],
        all_above: AllAbove::LeastLoaded,
        thresholds: thresholds.to_vec(),
        weather,
        dies: None,
    }
}

#[test]
fn above_its_threshold_all_new_calls_end_on_the_others() {
    for sharing in WAYS {
        let (load, ends) = play(&story(sharing, &[10, 1000, 1000], Weather::default()), 1);
        assert_eq!(ends, Ends { taken: 10, redirected: CALLS - 10, refused: 0 }, "{sharing:?}");
        assert!(load[1].abs_diff(load[2]) <= CALLS / 5, "{sharing:?}: {load:?}");
    }
}

#[test]
fn a_lossy_network_loses_no_call() {
    for sharing in WAYS {
        for seed in 1..40 {
            let (load, ends) = play(&story(sharing, &[10, 120, 1000, 60], STORM), seed);
            assert_eq!(ends.taken + ends.redirected, CALLS, "{sharing:?} seed {seed}");
            assert_eq!(load.iter().sum::<u32>(), CALLS, "{sharing:?} seed {seed}: {load:?}");
            assert!(ends.redirected > CALLS / 2, "{sharing:?} seed {seed}: {ends:?}");
        }
    }
}

#[test]
fn when_all_are_above_the_least_loaded_takes_it_or_it_is_refused() {
    for sharing in WAYS {
        let mut story = story(sharing, &[20, 40, 60], Weather::default());
        let (load, ends) = play(&story, 3);
        assert_eq!((load.iter().sum::<u32>(), ends.refused), (CALLS, 0), "{sharing:?}");
        // By their thresholds, 1 : 2 : 3.
        for (calls, share) in load.iter().zip([1, 2, 3]) {
            assert!(calls.abs_diff(CALLS * share / 6) <= CALLS / 10, "{sharing:?}: {load:?}");
        }
        story.all_above = AllAbove::Refuse;
        let (load, ends) = play(&story, 3);
        assert!(ends.refused >= CALLS - 135, "{sharing:?}: {ends:?}");
        for (calls, threshold) in load.iter().zip([20u32, 40, 60]) {
            assert!(*calls >= threshold && *calls <= threshold + 5, "{sharing:?}: {load:?}");
        }
    }
}

#[test]
fn a_member_that_dies_gets_no_more_calls_and_none_waits_for_it() {
    for sharing in WAYS {
        let story = Story { dies: Some(1), ..story(sharing, &[10, 1000, 1000], Weather::default()) };
        let (load, ends) = play(&story, 5);
        assert_eq!(ends.taken + ends.redirected, CALLS, "{sharing:?}");
        assert!(load[2] > CALLS / 2, "{sharing:?}: {load:?}");
    }
}

#[test]
fn the_first_to_answer_takes_it() {
    let story = Story {
        criteria: vec![Criterion::First],
        ..story(
            Sharing::Push,
            &[10, 1000, 1000, 1000],
            Weather { delay_max: Duration::from_millis(3), ..Weather::default() },
        )
    };
    let (load, ends) = play(&story, 7);
    assert_eq!(ends.redirected, CALLS - 10);
    assert!(load[1..].iter().all(|calls| *calls > CALLS / 10), "{load:?}");
}

#[test]
fn members_come_leave_and_fall_silent() {
    let groups = (0..3).map(|index| Group::new(settings(index, 3, 10)).unwrap()).collect();
    let mut network = Network::of(groups, Weather::default(), 1);
    let there = |network: &mut Network| {
        network
            .group(0)
            .members()
            .filter(|(_, workload)| workload.is_some())
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    network.run(Duration::from_millis(5));
    assert_eq!(there(&mut network), ["b", "c"]);
    network.with(1, |group, now, out| group.leave(now, out));
    network.run(Duration::from_millis(5));
    assert_eq!(there(&mut network), ["c"], "said that it leaves");
    network.members[2] = None;
    network.run(Duration::from_millis(1_400));
    assert_eq!(there(&mut network), ["c"], "not silent for three periods yet");
    network.run(Duration::from_millis(200));
    assert_eq!(there(&mut network), Vec::<String>::new());
    assert_eq!(network.group(0).counters().get(Counter::Gone), 1);
    assert_eq!(network.group(0).counters().get(Counter::Left), 1);
}
