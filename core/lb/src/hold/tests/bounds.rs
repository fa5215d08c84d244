//! The cost of holding, its bounds, and several workers at once.

use super::*;

#[test]
fn an_invite_that_rings_longer_than_timer_c_is_let_go() {
    let mut bench = Bench::invite();
    bench.response(1000, Class::Invite, 180, A);
    bench.response(100_000, Class::Invite, 180, A);
    let end = 100_000 + TIMER_C.as_millis() as u64;
    assert_eq!((bench.due(end - 1), bench.held.len()), (vec![], 1));
    bench.is_clean_at(end);
    assert_eq!(bench.held.counts().let_go, 1);
    assert_eq!(bench.response(end + 1, Class::Invite, 200, A), Verdict::Pass);
}

#[test]
fn without_failover_the_body_is_let_go_when_it_rings() {
    let mut bench = Bench::with(|kept| kept.failover = false);
    let whole = bench.held.bytes();
    assert_eq!(bench.due(500), [send(A)]);
    bench.held.server_failed(at(600), &mut bench.alarms, A);
    assert_eq!(bench.due(1500), [send(A)]);
    bench.response(1600, Class::Invite, 180, A);
    assert!(bench.held.bytes() < whole);
    bench.held.server_failed(at(1700), &mut bench.alarms, A);
    assert_eq!(bench.due(20_000), []);
    assert_eq!(bench.response(20_000, Class::Invite, 486, A), Verdict::Pass);
    assert!(matches!(bench.response(20_500, Class::Invite, 486, A), Verdict::Acknowledge(..)));
    bench.is_clean_at(53_000);
}

#[test]
fn the_worker_that_hears_of_it_takes_over_and_no_alarm_counts_twice() {
    let (held, mut one, mut two) =
        (Held::new(Limits::new(10, 10_000)), Alarms::new(0, 10), Alarms::new(1, 10));
    let (message, mut copy) = (invite(), Vec::new());
    held.keep(at(0), &mut one, KEY, &kept(&message)).unwrap();
    assert_eq!(held.keep(at(0), &mut two, KEY, &kept(&message)), Err(NotKept::Present));
    assert_eq!(held.response(at(100), &mut two, KEY, Class::Invite, 180, A), Verdict::Pass);
    held.server_failed(at(200), &mut two, A);
    held.server_failed(at(200), &mut one, A);
    assert_eq!(held.next_due(at(200), &mut one, &mut copy), None);
    let action = held.next_due(at(200), &mut two, &mut copy).unwrap();
    assert!(matches!(action.what, What::Reroute { .. }) && copy == message && action.key == KEY);
    assert!(held.moved(at(200), &mut two, KEY, Class::Invite, B, false));
    assert_eq!(held.next_due(at(700), &mut one, &mut copy), None);
    let action = held.next_due(at(700), &mut two, &mut copy).unwrap();
    assert_eq!((action.what, &copy), (send(B), &message));
    assert_eq!(held.next_due(at(700), &mut two, &mut copy), None);
}

#[test]
fn above_the_bounds_requests_go_through_unheld() {
    let message = invite();
    let mut alarms = Alarms::new(0, 100);
    let by_entries = Held::new(Limits::new(2, 1_000_000));
    let kept_ones =
        (0..5).filter(|key| by_entries.keep(at(0), &mut alarms, *key, &kept(&message)).is_ok()).count();
    assert_eq!((kept_ones, by_entries.len(), by_entries.counts().full), (2, 2, 3));

    let one = by_entries.bytes() / 2;
    let by_bytes = Held::new(Limits::new(100, one * 3));
    let kept_ones =
        (0..5).filter(|key| by_bytes.keep(at(0), &mut alarms, *key, &kept(&message)).is_ok()).count();
    assert_eq!((kept_ones, by_bytes.bytes(), by_bytes.counts().full), (3, one * 3, 2));
    // Room that is given back is used again.
    by_bytes.response(at(0), &mut alarms, 0, Class::Invite, 200, A);
    assert_eq!(by_bytes.keep(at(0), &mut alarms, 9, &kept(&message)), Ok(()));

    let mut few = Alarms::new(0, 1);
    let roomy = Held::new(Limits::new(100, 1_000_000));
    let kept_ones = (0..9).filter(|key| roomy.keep(at(0), &mut few, *key, &kept(&message)).is_ok()).count();
    assert_eq!((kept_ones, few.len()), (4, 4));
}

/// The memory for a thousand ringing calls, each with an INVITE of 1,000 bytes. Printed, and bounded here.
#[test]
fn a_thousand_ringing_calls() {
    let held = Held::new(Limits::new(100_000, 100_000_000));
    let mut alarms = Alarms::new(0, 100_000);
    let mut message = invite();
    message.resize(1000, b'a');
    for call in 0..1000_u64 {
        let key = call.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        held.keep(at(call), &mut alarms, key, &kept(&message)).unwrap();
        held.response(at(call + 50), &mut alarms, key, Class::Invite, 180, A);
    }
    let ringing = held.bytes();
    assert_eq!(held.next_due(at(40_000), &mut alarms, &mut Vec::new()), None);
    println!(
        "1000 ringing calls: {ringing} bytes, {} each beyond its message, alarms {} bytes",
        ringing / 1000 - 1000,
        alarms.bytes()
    );
    assert!(ringing / 1000 - 1000 <= 400);
    for call in 0..1000_u64 {
        let key = call.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        held.response(at(40_000), &mut alarms, key, Class::Invite, 486, A);
    }
    println!("1000 refused calls, for 32 s: {} bytes", held.bytes());
    assert!(held.bytes() <= 400_000);
    assert_eq!(held.next_due(at(73_000), &mut alarms, &mut Vec::new()), None);
    assert_eq!((held.len(), held.bytes(), alarms.len()), (0, 0, 0));
}

/// Four workers at once, on the same few requests: nothing is lost or counted twice.
#[test]
fn workers_meet_in_the_same_entries_and_the_books_balance() {
    const WORKERS: u8 = 4;
    let held = Held::new(Limits::new(200, 200_000));
    let work = |held: &Held, worker: u8| {
        let mut alarms = Alarms::new(worker, 2000);
        let mut chance = base::Chance::seeded(u64::from(worker));
        let mut message = Vec::new();
        for step in 0..20_000 {
            let (now, key, server) =
                (at(step * 10), step / 500 * 30 + chance.below(30), ServerId(chance.below(3) as u32));
            let transport = if chance.permille(500) { Transport::Tcp } else { Transport::Udp };
            let status = [100, 180, 200, 486][chance.below(4) as usize];
            match chance.below(8) {
                0..3 => {
                    _ = held.keep(now, &mut alarms, key, &Kept { server, ..kept_over(transport, INVITE) })
                }
                3..5 => _ = held.response(now, &mut alarms, key, Class::Invite, status, server),
                5 => _ = held.cancel(now, &mut alarms, key, &kept_over(transport, INVITE)),
                6 => _ = held.acknowledged(now, &mut alarms, key),
                _ if chance.permille(50) => held.server_failed(now, &mut alarms, server),
                _ => {}
            }
            while let Some(action) = held.next_due(now, &mut alarms, &mut message) {
                if let What::Reroute { tried, .. } = action.what {
                    match [A, B, C].into_iter().find(|server| !tried.contains(*server)) {
                        Some(to) => _ = held.moved(now, &mut alarms, action.key, action.class, to, false),
                        None => held.no_server(now, &mut alarms, action.key, action.class),
                    }
                }
            }
            // Room is taken before it is known whether there is room.
            assert!(held.len() <= 200 + usize::from(WORKERS));
        }
        alarms
    };
    let mut workers: Vec<Alarms> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS)
            .map(|worker| {
                scope.spawn({
                    let held = &held;
                    move || work(held, worker)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut message = Vec::new();
    for second in 200..1200 {
        for alarms in &mut workers {
            while let Some(action) = held.next_due(at(second * 1000), alarms, &mut message) {
                if let What::Reroute { .. } = action.what {
                    held.no_server(at(second * 1000), alarms, action.key, action.class);
                }
            }
        }
    }
    assert_eq!((held.len(), held.bytes()), (0, 0));
    assert!(workers.iter().all(Alarms::is_empty));
    assert!(held.counts().kept > 500, "{:?}", held.counts());
}

#[test]
fn a_failure_under_the_branch_of_another_method_changes_nothing_of_that() {
    let mut bench = Bench::with(|kept| {
        (kept.class, kept.server_reliable, kept.failover) = (Class::Other, true, false);
    });
    bench.held.connection_lost(at(0), &mut bench.alarms, A);
    bench.response(0, Class::Other, 200, A);
    let flow = flow(Transport::Udp);
    bench.held.failure_passed(at(0), &mut bench.alarms, KEY, A, (flow, b"SIP/2.0 486 Busy Here\r\n\r\n"));
    assert_eq!(bench.due(1000), [], "no INVITE was held there");
    bench.is_clean_at(33_000);
}
