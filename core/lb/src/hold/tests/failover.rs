//! A server dies or is silent: where its INVITEs go, and the answer if no server is left.

use super::*;

#[test]
fn an_invite_whose_server_dies_ringing_is_given_to_another() {
    let mut bench = Bench::invite();
    assert_eq!(bench.due(500), [send(A)]);
    assert_eq!(bench.response(600, Class::Invite, 180, A), Verdict::Pass);
    assert_eq!(bench.due(20_000), []);
    bench.fail_over(20_000, A, B);
    assert_eq!(bench.held.place(KEY, Class::Invite), GoesTo::At(B));
    assert_eq!(bench.response(20_100, Class::Invite, 180, B), Verdict::Pass);
    assert_eq!(bench.response(21_000, Class::Invite, 200, B), Verdict::Pass);
    assert_eq!(bench.held.len(), 1);
    bench.is_clean_at(53_000);
}

#[test]
fn a_server_that_was_given_up_and_lives_is_cancelled_and_acknowledged() {
    let mut bench = Bench::invite();
    bench.response(600, Class::Invite, 180, A);
    bench.fail_over(1000, A, B);
    assert!(matches!(bench.response(1200, Class::Invite, 180, A), Verdict::Cancel { .. }));
    assert_eq!(bench.response(1250, Class::Cancel, 200, A), Verdict::Drop);
    assert!(matches!(bench.response(1300, Class::Invite, 487, A), Verdict::Acknowledge(..)));
    assert_eq!(bench.response(1400, Class::Invite, 200, B), Verdict::Pass);
    assert!(matches!(bench.response(9000, Class::Invite, 487, A), Verdict::Acknowledge(..)));
    assert_eq!(bench.response(9000, Class::Invite, 200, B), Verdict::Pass);
    let counts = bench.held.counts();
    assert_eq!((counts.cancelled, counts.acknowledged, counts.absorbed), (1, 2, 4));
    bench.is_clean_at(40_000);
}

#[test]
fn a_late_2xx_of_a_server_that_was_given_up_passes_and_silences_the_one_that_rings() {
    let whole = b"INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:bob@b>\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\n\r\n";
    let mut bench = Bench::with(|kept| kept.message = whole);
    bench.fail_over(1000, A, B);
    bench.response(1100, Class::Invite, 180, B);
    assert_eq!(bench.response(1200, Class::Invite, 200, A), Verdict::Pass);
    let mut message = Vec::new();
    let action = bench.held.next_due(at(1200), &mut bench.alarms, &mut message).unwrap();
    assert_eq!((action.key, action.class, action.what), (KEY, Class::Cancel, send(B)));
    assert!(message.starts_with(b"CANCEL sip:bob@example.com SIP/2.0\r\n"));
    assert_eq!(bench.response(1250, Class::Cancel, 200, B), Verdict::Drop);
    assert!(matches!(bench.response(1300, Class::Invite, 487, B), Verdict::Acknowledge(..)));
    bench.is_clean_at(40_000);
}

#[test]
fn one_that_had_not_rung_yet_is_cancelled_when_it_does() {
    let mut bench = Bench::invite();
    bench.fail_over(1000, A, B);
    assert_eq!(bench.response(1200, Class::Invite, 200, A), Verdict::Pass);
    assert_eq!(bench.due(1600), []);
    assert!(matches!(bench.response(1700, Class::Invite, 180, B), Verdict::Cancel { .. }));
    // Too late to cancel: the caller has two dialogs and ends one.
    assert_eq!(bench.response(1800, Class::Invite, 200, B), Verdict::Pass);
    bench.is_clean_at(40_000);
}

#[test]
fn a_silent_server_is_given_up_after_five_copies() {
    let mut bench = Bench::invite();
    let mut seen = Vec::new();
    while let Some((ms, action)) = bench.wait() {
        seen.push((ms, action.what));
        if let What::Reroute { why, tried } = action.what {
            assert_eq!((why, tried.iter().collect::<Vec<_>>()), (Why::Silent, vec![A]));
            break;
        }
    }
    let times: Vec<u64> = seen.iter().map(|(ms, _)| *ms).collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 8000]);
}

/// Gives the INVITE to each server in turn, all of them silent. Returns the last action, and its time.
fn all_silent(bench: &mut Bench) -> Option<(u64, What)> {
    let mut others = [B, C, D].into_iter();
    while let Some((ms, action)) = bench.wait() {
        match action.what {
            What::Send { .. } => {}
            What::Reroute { .. } => {
                bench.moved(ms, Class::Invite, others.next().expect("at most four attempts"))
            }
            What::Answer { .. } | What::Passed => return Some((ms, action.what)),
        }
    }
    None
}

#[test]
fn four_silent_servers_are_a_408_to_a_client_that_has_heard_one_ring() {
    let mut bench = Bench::invite();
    bench.response(0, Class::Invite, 180, A);
    bench.fail_over(1000, A, B);
    let mut others = [C, D].into_iter();
    let end = loop {
        let (ms, action) = bench.wait().unwrap();
        match action.what {
            What::Send { .. } => {}
            What::Reroute { .. } => bench.moved(ms, Class::Invite, others.next().unwrap()),
            What::Answer { status } => break (ms, status),
            What::Passed => panic!("no failure has passed"),
        }
    };
    assert_eq!(end, (25_000, 408));
}

#[test]
fn a_client_that_has_heard_nothing_ends_by_itself_and_is_told_nothing() {
    let mut bench = Bench::invite();
    assert_eq!(all_silent(&mut bench), None);
    assert_eq!(bench.held.counts().unanswered, 1);
    bench.is_clean_at(70_000);
}

#[test]
fn four_failed_servers_are_a_500() {
    let mut bench = Bench::invite();
    for (from, to) in [(A, B), (B, C), (C, D)] {
        bench.fail_over(100, from, to);
    }
    bench.held.server_failed(at(200), &mut bench.alarms, D);
    assert_eq!(bench.due(200), [What::Answer { status: 500 }]);
}

#[test]
fn with_no_other_server_a_failure_is_a_503_and_silence_is_waited_out() {
    let mut failed = Bench::invite();
    failed.held.server_failed(at(100), &mut failed.alarms, A);
    assert!(matches!(failed.due(100)[..], [What::Reroute { .. }]));
    assert_eq!(failed.held.place(KEY, Class::Invite), GoesTo::Nowhere);
    failed.held.no_server(at(100), &mut failed.alarms, KEY, Class::Invite);
    assert_eq!(failed.due(100), [What::Answer { status: 503 }]);
    assert_eq!(failed.held.place(KEY, Class::Invite), GoesTo::Answered(503));
    assert_eq!(failed.held.acknowledged(at(110), &mut failed.alarms, KEY), GoesTo::Answered(503));
    assert_eq!(failed.held.acknowledged(at(120), &mut failed.alarms, KEY), GoesTo::Answered(503));
    failed.is_clean_at(33_000);

    let mut silent = Bench::invite();
    while !matches!(silent.wait(), Some((8000, Action { what: What::Reroute { .. }, .. }))) {}
    silent.held.no_server(at(8000), &mut silent.alarms, KEY, Class::Invite);
    assert_eq!(silent.held.place(KEY, Class::Invite), GoesTo::At(A));
    assert_eq!(silent.due(8500), [send(A)]);
    assert_eq!(silent.response(9000, Class::Invite, 180, A), Verdict::Pass);
    assert_eq!(silent.response(9500, Class::Invite, 200, A), Verdict::Pass);
    silent.is_clean_at(50_000);
}
