//! The server table: heartbeats, decay, rows, refusals, drain, room, and what is published when.

mod farm;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base::{Duration, Time};
use farm::{address, entry, settings};
use heartbeat::{Heartbeat, Load, ServerState};
use proptest::prelude::*;
use strowger_lb::farm::condition::{Cause, Condition};
use strowger_lb::farm::server::ServerId;
use strowger_lb::farm::server_counters::ServerCounters;
use strowger_lb::farm::server_table::{Heard, Refusal, RowView, ServerTable};
use strowger_lb::settings::{Probe, Selection, Settings};

const SECOND: Duration = Duration::from_secs(1);
const START: Time = Time::from_secs(1000);

struct Table {
    table: ServerTable,
    counters: ServerCounters,
}

fn table(settings: &Settings) -> Table {
    let counters = ServerCounters::for_settings(settings, 1);
    Table { table: ServerTable::new(START, settings, counters.clone()).unwrap(), counters }
}

fn beat(n: usize, state: ServerState) -> (IpAddr, Heartbeat) {
    (address(n).ip(), Heartbeat::plain(n as u32, 5060, state))
}

impl Table {
    fn hear(&mut self, now: Time, n: usize, state: ServerState) -> Result<Heard, Refusal> {
        let (from, heartbeat) = beat(n, state);
        let heard = self.table.heartbeat(now, from, &heartbeat);
        self.table.tick(now);
        heard
    }

    fn hear_load(&mut self, now: Time, n: usize, load: Load) {
        let (from, heartbeat) = beat(n, ServerState::Started);
        self.table.heartbeat(now, from, &Heartbeat { load: Some(load), ..heartbeat }).unwrap();
        self.table.tick(now);
    }

    fn row(&self, now: Time, n: usize) -> RowView {
        self.table.rows(now).into_iter().find(|row| row.address == address(n)).expect("a row")
    }

    #[track_caller]
    fn check(&self, now: Time, n: usize, condition: Condition, cause: Cause) {
        let row = self.row(now, n);
        assert_eq!((row.condition, row.cause), (condition, cause));
        let published = self.table.snapshot().by_address(address(n)).unwrap().condition;
        assert_eq!(published, condition, "the data path sees it too");
    }
}

#[test]
fn heartbeats_make_rows_decay_fails_them_and_a_late_one_brings_them_back() {
    let mut table = table(&settings());
    assert_eq!(table.hear(START, 1, ServerState::Started), Ok(Heard { joined: true, ..Heard::default() }));
    assert!(!table.hear(START + SECOND, 1, ServerState::Started).unwrap().joined);
    table.check(START + SECOND, 1, Condition::Active, Cause::Started);

    let decayed = START + SECOND * 4;
    assert!(!table.table.tick(decayed), "good up to the end of the third period");
    let deadline = table.table.next_deadline().unwrap();
    assert!(deadline > decayed && deadline < decayed + Duration::from_millis(1));
    assert!(table.table.tick(deadline));
    table.check(deadline, 1, Condition::Failed, Cause::Decayed);
    assert_eq!(table.row(deadline, 1).heartbeat_age.unwrap().as_secs(), 3);

    let late = decayed + SECOND * 100;
    table.hear(late, 1, ServerState::Started).unwrap();
    table.check(late, 1, Condition::Active, Cause::Started);
}

#[test]
fn stopped_fails_at_once_and_draining_keeps_known_calls() {
    let mut table = table(&settings());
    table.hear(START, 1, ServerState::Started).unwrap();
    table.hear(START, 1, ServerState::Draining).unwrap();
    table.check(START, 1, Condition::KnownCallsOnly, Cause::Draining);
    table.hear(START, 1, ServerState::Stopped).unwrap();
    table.check(START, 1, Condition::Failed, Cause::Stopped);
    table.table.tick(START + SECOND * 60);
    table.check(START + SECOND * 60, 1, Condition::Failed, Cause::Stopped);
    table.hear(START + SECOND * 61, 1, ServerState::Started).unwrap();
    table.check(START + SECOND * 61, 1, Condition::Active, Cause::Started);
}

#[test]
fn a_sender_names_its_period_address_and_transport() {
    let mut table = table(&settings());
    let signalling = Ipv4Addr::new(10, 9, 9, 9);
    let heartbeat = Heartbeat {
        sip_address: Some(signalling.into()),
        transport: Some(heartbeat::Transport::Tcp),
        period_ms: Some(200),
        ..Heartbeat::plain(1, 5070, ServerState::Started)
    };
    table.table.heartbeat(START, address(1).ip(), &heartbeat).unwrap();
    table.table.tick(START);
    let snapshot = table.table.snapshot();
    let server = snapshot.by_address(SocketAddr::from((signalling, 5070))).unwrap();
    assert_eq!((server.transport, server.condition), (sip::Transport::Tcp, Condition::Active));
    table.table.tick(START + Duration::from_millis(700));
    assert_eq!(table.table.snapshot().servers()[0].condition, Condition::Failed, "three periods of its own");
}

#[test]
fn a_static_table_refuses_one_more_and_says_so() {
    let mut settings = Settings { servers: vec![entry(0, 1)], ..settings() };
    settings.heartbeat.table_size = Some(2);
    let mut table = table(&settings);
    assert!(table.hear(START, 1, ServerState::Started).is_ok());
    let refused = table.hear(START, 2, ServerState::Started).unwrap_err();
    assert_eq!(refused, Refusal::TableFull { size: 2, server: address(2) });
    assert!(refused.to_string().contains("raise table_size"), "{refused}");
    assert!(table.hear(START, 1, ServerState::Started).is_ok(), "those that are in it go on");
    assert!(table.table.remove(address(0)));
    assert!(table.hear(START, 2, ServerState::Started).is_ok());

    settings.servers = (0..3).map(|n| entry(n, 1)).collect();
    let counters = ServerCounters::for_settings(&settings, 1);
    assert!(matches!(ServerTable::new(START, &settings, counters), Err(Refusal::TableFull { .. })));
}

#[test]
fn rows_are_contiguous_from_zero_through_every_removal() {
    let mut table = table(&Settings { servers: (0..5).map(|n| entry(n, 1)).collect(), ..settings() });
    table.table.remove(address(1));
    table.table.remove(address(3));
    assert!(!table.table.remove(address(3)), "twice");
    table.table.tick(START);
    let rows: Vec<(usize, SocketAddr)> =
        table.table.rows(START).iter().map(|row| (row.index, row.address)).collect();
    assert_eq!(rows, [(0, address(0)), (1, address(2)), (2, address(4))]);
    let snapshot = table.table.snapshot();
    for (index, address) in rows {
        assert_eq!(usize::from(snapshot.by_address(address).unwrap().index), index);
    }
    assert!(snapshot.by_address(address(1)).is_none());
}

#[test]
fn a_heartbeat_of_a_configured_server_is_its_row() {
    let mut table = table(&Settings { servers: vec![entry(1, 7)], ..settings() });
    table.check(START, 1, Condition::Active, table.row(START, 1).cause);
    assert!(!table.hear(START, 1, ServerState::Started).unwrap().joined);
    let row = table.row(START, 1);
    assert!(row.configured && row.heartbeat_id == Some(1) && row.weight == 7 && table.table.len() == 1);
    table.table.tick(START + SECOND * 4);
    table.check(START + SECOND * 4, 1, Condition::Failed, Cause::Decayed);
}

#[test]
fn one_id_from_two_addresses_is_reported_once_and_shown() {
    let mut table = table(&settings());
    let heartbeat = Heartbeat::plain(77, 5060, ServerState::Started);
    let hear = |table: &mut Table, now, n: usize| {
        table.table.heartbeat(now, address(n).ip(), &heartbeat).unwrap().same_id_as
    };
    assert_eq!(hear(&mut table, START, 1), None);
    assert_eq!(hear(&mut table, START, 2), Some(address(1)));
    assert_eq!(hear(&mut table, START + SECOND, 2), None, "not again with each heartbeat");
    assert_eq!(table.row(START, 2).same_id_as, Some(address(1)));
    // The other is gone: a server that moved house is no conflict.
    assert_eq!(hear(&mut table, START + SECOND * 60, 2), None);
    assert_eq!(table.row(START, 2).same_id_as, None);
}

#[test]
fn two_addresses_with_one_id_cannot_both_be_in_the_table() {
    // Found by trial: ids have 32 bits, so among 200,000 addresses some pair collides.
    let mut seen = std::collections::HashMap::new();
    let all = (1u32..255).flat_map(|b| (1u32..255).flat_map(move |c| (1u32..255).map(move |d| (b, c, d))));
    let (one, two) = all
        .map(|(b, c, d)| SocketAddr::from((Ipv4Addr::from(10 << 24 | b << 16 | c << 8 | d), 5060)))
        .find_map(|address| seen.insert(ServerId::of(address), address).map(|earlier| (earlier, address)))
        .expect("a collision");
    let mut table = table(&settings());
    let beat = Heartbeat::plain(1, 5060, ServerState::Started);
    table.table.heartbeat(START, one.ip(), &beat).unwrap();
    let refused = table.table.heartbeat(START, two.ip(), &beat).unwrap_err();
    assert_eq!(refused, Refusal::IdCollision { server: two, with: one });
}

#[test]
fn drain_by_an_operator_holds_until_it_is_taken_back() {
    let mut table = table(&Settings { servers: vec![entry(1, 1), entry(2, 1)], ..settings() });
    assert!(table.table.drain(START, address(1), true) && !table.table.drain(START, address(9), true));
    assert!(table.table.tick(START));
    table.check(START, 1, Condition::KnownCallsOnly, Cause::Drained);
    table.hear(START, 1, ServerState::Started).unwrap();
    table.check(START, 1, Condition::KnownCallsOnly, Cause::Drained);
    table.table.drain(START, address(1), false);
    table.table.tick(START);
    table.check(START, 1, Condition::Active, Cause::Started);
}

#[test]
fn a_server_without_room_keeps_known_calls_and_comes_back_with_room() {
    let mut table = table(&settings());
    table.hear_load(START, 1, Load { residual_calls: Some(0), ..Load::default() });
    table.check(START, 1, Condition::KnownCallsOnly, Cause::Full);
    let later = START + SECOND;
    table.hear_load(later, 1, Load { residual_calls: Some(4), ..Load::default() });
    table.check(later, 1, Condition::Active, Cause::Started);
    let snapshot = table.table.snapshot();
    let server = &snapshot.servers()[0];
    for _ in 0..4 {
        assert!(table.counters.admitted.has_room(server));
        table.counters.admitted.admit(server.seat.slot);
    }
    assert!(!table.counters.admitted.has_room(server));
    table.hear_load(later + SECOND, 1, Load { residual_calls: Some(1), ..Load::default() });
    let snapshot = table.table.snapshot();
    assert!(table.counters.admitted.has_room(&snapshot.servers()[0]), "the next heartbeat counts anew");
}

#[test]
fn figures_are_published_together_and_conditions_at_once() {
    let mut table = table(&settings());
    for n in 0..10 {
        table.hear_load(START, n, Load { cpu_permille: Some(100), ..Load::default() });
    }
    table.table.tick(START + SECOND);
    let epoch = table.table.snapshot().epoch;
    let at = |ms| START + SECOND + Duration::from_millis(ms);
    for n in 0..10 {
        table.hear_load(at(10 + n as u64), n, Load { cpu_permille: Some(200), ..Load::default() });
    }
    assert_eq!(table.table.snapshot().epoch, epoch + 1, "the first at once, nine wait");
    assert_eq!(table.table.next_deadline(), Some(at(110)));
    assert!(!table.table.tick(at(109)) && table.table.tick(at(110)));
    assert!(table.table.snapshot().servers().iter().all(|server| server.load_permille == Some(200)));
    table.hear(at(111), 3, ServerState::Stopped).unwrap();
    assert_eq!(table.table.snapshot().epoch, epoch + 3, "a condition does not wait");
}

#[test]
fn scores_are_those_of_the_document() {
    let mut table = table(&settings());
    for (n, cpu, memory) in [(0, 10, 60_456), (1, 20, 85_892)] {
        table.hear_load(
            START,
            n,
            Load { cpu_permille: Some(cpu), memory_available_kib: Some(memory), ..Load::default() },
        );
    }
    table.table.tick(START + SECOND);
    let points = |n| table.row(START + SECOND, n).score.unwrap().points();
    assert_eq!((points(0), points(1)), (70, 78));
}

#[test]
fn refused_connections_fail_a_server_and_a_trial_limits_what_it_gets() {
    let mut table = table(&Settings { servers: vec![entry(1, 1), entry(2, 1)], ..settings() });
    let slot = table.table.snapshot().by_address(address(1)).unwrap().seat.slot;
    table.counters.evidence.unreachable(0, slot);
    table.counters.evidence.unreachable(0, slot);
    let looked = START + Duration::from_millis(50);
    assert!(table.table.tick(looked));
    assert_eq!(table.row(looked, 1).condition, Condition::Failed);
    assert_eq!(table.row(looked, 1).cause.to_string(), "unreachable or connection refused");
    assert_eq!(table.row(looked, 1).evidence.unreachable, 2);

    let trial = looked + SECOND;
    assert!(table.table.tick(trial));
    assert_eq!(table.row(trial, 1).cause.to_string(), "on trial: tried again after a pause");
    let snapshot = table.table.snapshot();
    let server = snapshot.by_address(address(1)).unwrap();
    assert_eq!((server.condition, server.residual_calls), (Condition::Trial, Some(3)));
    table.counters.evidence.answered(0, slot);
    assert!(table.table.tick(trial + SECOND));
    assert_eq!(table.table.snapshot().by_address(address(1)).unwrap().residual_calls, None);
}

#[test]
fn silence_of_all_does_not_take_the_farm_out() {
    let mut table = table(&Settings { servers: vec![entry(1, 1), entry(2, 1)], ..settings() });
    let slots: Vec<u16> = table.table.snapshot().servers().iter().map(|server| server.seat.slot).collect();
    for tick in 0..600 {
        for &slot in &slots {
            table.counters.evidence.sent(0, slot);
        }
        let now = START + Duration::from_millis(tick * 100);
        table.table.tick(now);
        assert!(
            table.table.snapshot().servers().iter().any(|server| server.takes_new_calls()),
            "nobody is tried at {tick}"
        );
    }
    // Refused by all is another matter: there is nobody to try.
    for &slot in &slots {
        table.counters.evidence.unreachable(0, slot);
        table.counters.evidence.unreachable(0, slot);
    }
    table.table.tick(START + SECOND * 60);
    assert!(table.table.snapshot().active().tiers().is_empty());
}

#[test]
fn probes_go_to_servers_without_an_agent() {
    let settings = Settings { servers: vec![entry(1, 1), entry(2, 1)], probe: Probe::Options, ..settings() };
    let mut table = table(&settings);
    table.hear(START, 2, ServerState::Started).unwrap();
    let mut probed = Vec::new();
    table.table.take_probes(START, |id, address, _| probed.push((id, address)));
    assert_eq!(probed, [(ServerId::of(address(1)), address(1))]);
    let full = Some(Duration::from_secs(2));
    table.table.probe_answered(START, probed[0].0, 503, full);
    table.table.tick(START);
    table.check(START, 1, Condition::KnownCallsOnly, Cause::Full);
    table.table.tick(START + SECOND * 2);
    assert_eq!(table.row(START + SECOND * 2, 1).condition, Condition::Active);
}

#[test]
fn a_slot_of_a_removed_server_starts_at_zero_for_the_next() {
    let mut settings = Settings { servers: vec![entry(1, 1)], selection: Selection::Cjsq, ..settings() };
    settings.heartbeat.table_size = Some(1);
    let mut table = table(&settings);
    let ledger = table.counters.ledger.clone().unwrap();
    let old = table.table.snapshot().servers()[0].seat;
    ledger.begin(START, 5, old, true, START + SECOND * 100);
    assert_eq!(table.row(START, 1).in_progress, Some(100));
    table.table.remove(address(1));
    table.table.add(START, &entry(2, 1)).unwrap();
    table.table.tick(START);
    let new = table.table.snapshot().servers()[0].seat;
    assert!(new.slot == old.slot && new.incarnation != old.incarnation);
    assert_eq!(ledger.count(new.slot), 0);
    ledger.end(START, 5);
    assert_eq!(ledger.count(new.slot), 0);
}

#[test]
fn a_new_configuration_adds_changes_and_removes() {
    let mut table = table(&Settings { servers: (0..3).map(|n| entry(n, 1)).collect(), ..settings() });
    table.hear(START, 1, ServerState::Started).unwrap();
    let kept = table.row(START, 2);
    let refused = table.table.reconfigure(START, &[entry(2, 9), entry(3, 1)]);
    assert!(refused.is_empty() && table.table.tick(START));
    let rows = table.table.rows(START);
    let rows: Vec<_> = rows.iter().map(|row| (row.address, row.configured, row.weight, row.cause)).collect();
    let fresh = kept.cause;
    assert_eq!(
        rows,
        [
            (address(0), false, 1, Cause::Leaving),
            (address(1), false, 1, Cause::Started),
            (address(2), true, 9, fresh),
            (address(3), true, 1, fresh)
        ]
    );
    assert_eq!((table.row(START, 2).seat, table.row(START, 2).index), (kept.seat, kept.index));
    table.check(START, 0, Condition::KnownCallsOnly, Cause::Leaving);
    table.table.reconfigure(START, &[entry(0, 1)]);
    table.table.tick(START);
    table.check(START, 0, Condition::Active, fresh);
}

#[test]
fn a_server_that_returns_starts_slowly() {
    let servers = (0..2).map(|n| entry(n, 1)).collect();
    let mut table = table(&Settings { servers, slow_start: SECOND * 10, ..settings() });
    let shares = |table: &Table, now| {
        let _ = now;
        let snapshot = table.table.snapshot();
        [0, 1].map(|n| snapshot.by_address(address(n)).unwrap().share_permille)
    };
    assert_eq!(shares(&table, START), [1000, 1000], "those that are there from the beginning do not return");
    table.table.drain(START, address(1), true);
    table.table.tick(START);
    table.table.drain(START, address(1), false);
    let mut seen = Vec::new();
    for tenth in 0..120 {
        let now = START + SECOND * tenth / 10;
        table.table.tick(now);
        let [other, share] = shares(&table, now);
        assert_eq!(other, 1000);
        let weights: Vec<u64> = table.table.snapshot().active().tiers()[0].weights().to_vec();
        assert_eq!(*weights.last().unwrap(), if share == 1000 { 2 } else { 1000 + u64::from(share) });
        seen.push(share);
    }
    assert!(seen.is_sorted() && seen[0] == 50 && seen[119] == 1000, "{seen:?}");
    assert!((450..=600).contains(&seen[50]), "half of it after half the time: {seen:?}");
}

#[test]
fn one_known_by_heartbeat_alone_and_long_gone_is_forgotten() {
    let mut table = table(&Settings { servers: vec![entry(1, 1)], ..settings() });
    table.hear(START, 1, ServerState::Started).unwrap();
    table.hear(START, 2, ServerState::Started).unwrap();
    table.table.tick(START + SECOND * 3590);
    assert_eq!(table.table.len(), 2);
    table.table.tick(START + SECOND * 3601);
    let left: Vec<_> = table.table.rows(START).iter().map(|row| row.address).collect();
    assert_eq!(left, [address(1)], "the configured one stays");
}

#[derive(Clone, Debug)]
enum Step {
    Hear(usize, ServerState, Option<u32>),
    Add(usize),
    Remove(usize),
    Drain(usize, bool),
    Evidence(usize, u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0usize..8;
    let state =
        prop_oneof![Just(ServerState::Started), Just(ServerState::Draining), Just(ServerState::Stopped)];
    prop_oneof![
        4 => (n(), state, prop::option::of(0u32..3)).prop_map(|(n, state, room)| Step::Hear(n, state, room)),
        1 => n().prop_map(Step::Add),
        1 => n().prop_map(Step::Remove),
        1 => (n(), any::<bool>()).prop_map(|(n, drained)| Step::Drain(n, drained)),
        2 => (n(), 0u8..3).prop_map(|(n, kind)| Step::Evidence(n, kind)),
        4 => (0u64..4000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever happens: rows are contiguous and bounded, slots are unique, and the published snapshot is the table's.
    #[test]
    fn the_snapshot_is_the_table(steps in prop::collection::vec(step(), 1..60)) {
        let mut settings = Settings { servers: vec![entry(0, 1)], ..settings() };
        settings.heartbeat.table_size = Some(5);
        let mut table = table(&settings);
        let (mut now, mut epoch) = (START, table.table.snapshot().epoch);
        for step in steps {
            let snapshot = table.table.snapshot();
            match step {
                Step::Hear(n, state, room) => {
                    let load = room.map(|room| Load { residual_calls: Some(room), ..Load::default() });
                    let (from, heartbeat) = beat(n, state);
                    let known = snapshot.by_address(address(n)).is_some();
                    let heard = table.table.heartbeat(now, from, &Heartbeat { load, ..heartbeat });
                    prop_assert_eq!(heard.is_err(), !known && snapshot.servers().len() == 5);
                }
                Step::Add(n) => _ = table.table.add(now, &entry(n, 1)),
                Step::Remove(n) => prop_assert_eq!(table.table.remove(address(n)), snapshot.by_address(address(n)).is_some()),
                Step::Drain(n, drained) => _ = table.table.drain(START, address(n), drained),
                Step::Evidence(n, kind) => if let Some(server) = snapshot.by_address(address(n)) {
                    let (evidence, slot) = (&table.counters.evidence, server.seat.slot);
                    match kind {
                        0 => evidence.sent(0, slot),
                        1 => evidence.answered(0, slot),
                        _ => evidence.unreachable(0, slot),
                    }
                },
                Step::Pass(ms) => now = now + Duration::from_millis(ms),
            }
            let changed = table.table.tick(now);
            prop_assert!(!table.table.tick(now), "a second tick at the same time finds nothing");
            let snapshot = table.table.snapshot();
            prop_assert_eq!(changed, snapshot.epoch != epoch);
            epoch = snapshot.epoch;
            let rows = table.table.rows(now);
            prop_assert!(rows.len() <= 5 && rows.len() == snapshot.servers().len());
            for (index, row) in rows.iter().enumerate() {
                let server = snapshot.by_id(row.id).expect("published");
                prop_assert_eq!((row.index, usize::from(server.index)), (index, index));
                prop_assert_eq!((server.address, server.condition), (row.address, row.condition));
            }
            let mut slots: Vec<u16> = snapshot.servers().iter().map(|server| server.seat.slot).collect();
            slots.sort();
            slots.dedup();
            prop_assert_eq!(slots.len(), rows.len());
            // A suspect is asked, and what that makes due is seen with the next tick.
            table.table.take_probes(now, |_, _, _| {});
            prop_assert!(!table.table.tick(now), "being asked is nothing that routing sees");
            prop_assert!(table.table.next_deadline().is_none_or(|next| next > now), "spins");
        }
    }
}
