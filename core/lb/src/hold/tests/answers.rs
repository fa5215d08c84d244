//! Copies: of requests towards servers, of answers towards clients.

use super::*;

#[test]
fn an_answered_invite_leaves_nothing_behind() {
    let mut bench = Bench::invite();
    bench.response(100, Class::Invite, 200, A);
    assert_eq!((bench.held.len(), bench.held.bytes()), (0, 0));
    bench.is_clean_at(500);
}

/// Found by a seed: the copy was held anew, its server, which had answered, kept silent, and another server rang.
#[test]
fn a_copy_that_comes_after_the_answer_is_no_new_invite() {
    let mut bench = Bench::with(|kept| kept.flow = flow(Transport::Udp));
    assert_eq!(bench.response(100, Class::Invite, 200, A), Verdict::Pass);
    assert_eq!(bench.held.place(KEY, Class::Invite), GoesTo::At(A));
    let message = invite();
    let copy = Kept { flow: flow(Transport::Udp), ..kept(&message) };
    assert_eq!(bench.held.keep(at(200), &mut bench.alarms, KEY, &copy), Err(NotKept::Present));
    assert_eq!(bench.due(31_000), []);
    bench.is_clean_at(32_100);
}

#[test]
fn copies_of_a_failure_are_acknowledged_for_a_stream_and_passed_for_udp() {
    let mut stream = Bench::invite();
    let whole = stream.held.bytes();
    assert_eq!(stream.response(100, Class::Invite, 486, A), Verdict::Pass);
    assert!(stream.held.bytes() < whole);
    assert_eq!(stream.held.acknowledged(at(110), &mut stream.alarms, KEY), GoesTo::At(A));
    assert!(matches!(stream.response(600, Class::Invite, 486, A), Verdict::Acknowledge(..)));
    stream.is_clean_at(32_100);

    let mut udp = Bench::with(|kept| kept.flow = flow(Transport::Udp));
    assert_eq!(udp.response(100, Class::Invite, 486, A), Verdict::Pass);
    assert_eq!(udp.response(600, Class::Invite, 486, A), Verdict::Pass);
    udp.is_clean_at(32_100);

    let mut moved = Bench::with(|kept| kept.flow = flow(Transport::Udp));
    moved.fail_over(50, A, B);
    assert_eq!(moved.response(100, Class::Invite, 486, B), Verdict::Pass);
    assert_eq!(moved.response(600, Class::Invite, 486, B), Verdict::Pass);
    moved.is_clean_at(32_200);
}

#[test]
fn who_repeats_by_itself_is_left_to_it_until_its_invite_moves() {
    let mut udp = Bench::with(|kept| kept.flow = flow(Transport::Udp));
    assert_eq!(udp.due(7900), []);
    udp.fail_over(7900, A, B);
    assert_eq!(udp.due(8400), [send(B)]);
    let mut reliable = Bench::with(|kept| kept.server_reliable = true);
    assert_eq!(reliable.due(7900), []);
}

#[test]
fn our_answer_is_repeated_over_udp_until_the_ack_and_goes_once_over_a_stream() {
    let answers = |transport| {
        let mut bench = Bench::with(|kept| kept.flow = flow(transport));
        bench.held.server_failed(at(0), &mut bench.alarms, A);
        bench.due(0);
        bench.held.no_server(at(0), &mut bench.alarms, KEY, Class::Invite);
        let mut times = Vec::new();
        while let Some((ms, action)) = bench.wait() {
            assert_eq!(action.what, What::Answer { status: 503 });
            times.push(ms);
            if ms >= 3500 {
                bench.held.acknowledged(at(ms), &mut bench.alarms, KEY);
            }
        }
        bench.is_clean_at(60_000);
        times
    };
    assert_eq!(answers(Transport::Udp), [0, 500, 1500, 3500]);
    assert_eq!(answers(Transport::Tcp), [0]);
}

#[test]
fn another_request_is_repeated_until_its_final_answer_and_follows_the_taker_over() {
    let mut bench = Bench::with(|kept| kept.class = Class::Other);
    assert_eq!(bench.due(500), [send(A)]);
    bench.held.server_failed(at(600), &mut bench.alarms, A);
    assert!(matches!(bench.due(600)[..], [What::Reroute { why: Why::Failed, .. }]));
    bench.moved(600, Class::Other, B);
    assert_eq!(bench.due(1100), [send(B)]);
    assert_eq!(bench.response(1200, Class::Other, 200, B), Verdict::Pass);
    assert_eq!(bench.response(1300, Class::Other, 200, B), Verdict::Drop);
    // The first server was not dead but slow.
    assert_eq!(bench.response(20_000, Class::Other, 200, A), Verdict::Drop);
    bench.is_clean_at(33_200);
}

#[test]
fn another_request_that_nobody_answers_ends_without_a_word() {
    let mut bench = Bench::with(|kept| kept.class = Class::Other);
    let copies =
        std::iter::from_fn(|| bench.wait()).inspect(|(_, action)| assert_eq!(action.what, send(A))).count();
    assert_eq!((copies, bench.held.counts().unanswered), (10, 1));
    bench.is_clean_at(32_000);
}
