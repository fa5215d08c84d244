//! Servers of one state tier: a request that one had goes on at another, and whatever each says is of one call.

use super::*;

/// Any server of the tier.
fn of_tier(server: ServerId) -> Speaker<'static> {
    Speaker { server, speaks_for: &|_| true }
}

impl Bench {
    fn says(&mut self, ms: u64, status: u16, server: ServerId) -> Verdict {
        self.held.response(at(ms), &mut self.alarms, self.key, Class::Invite, status, of_tier(server))
    }

    fn fails(&mut self, ms: u64, server: ServerId) -> Vec<What> {
        self.held.server_failed_in_tier(at(ms), &mut self.alarms, server);
        self.due(ms)
    }
}

fn is_rerouted(due: &[What]) -> bool {
    matches!(due, [What::Reroute { why: Why::FailedInTier, .. }])
}

#[test]
fn a_late_provisional_answer_passes_and_the_next_server_gets_its_copies_all_the_same() {
    let mut bench = Bench::invite();
    bench.says(100, 180, A);
    assert!(is_rerouted(&bench.fails(1000, A)));
    bench.moved(1000, Class::Invite, B);
    assert_eq!(bench.says(1100, 180, A), Verdict::Pass);
    assert_eq!(bench.due(1500), [send(B)], "nobody knows whether B has it");
    assert_eq!(bench.says(1600, 180, B), Verdict::Pass);
    assert_eq!(bench.due(5000), []);
    assert_eq!(bench.says(6000, 200, A), Verdict::Pass);
    assert_eq!(bench.due(6000), [], "the other is not cancelled");
    assert_eq!(bench.says(6100, 180, B), Verdict::Drop);
    bench.is_clean_at(40_000);
}

#[test]
fn a_server_that_got_the_invite_from_another_has_it() {
    // C was never asked; A has come back, and repeats what is older than T1 no more.
    for (server, ms) in [(C, 1100), (A, 1500)] {
        let mut bench = Bench::invite();
        bench.says(100, 180, A);
        assert!(is_rerouted(&bench.fails(1000, A)));
        bench.moved(1000, Class::Invite, B);
        assert_eq!(bench.cancel(1050), Cancelled::Answer);
        assert_eq!(bench.says(ms, 180, server), Verdict::Pass);
        assert_eq!(bench.due(ms), [send(server)], "the CANCEL");
        assert_eq!(bench.response(ms + 10, Class::Cancel, 200, server), Verdict::Drop);
        assert_eq!(bench.due(60_000), [], "it rings for as long as it likes");
        assert_eq!(bench.held.place(KEY, Class::Invite), GoesTo::At(server));
        assert!(is_rerouted(&bench.fails(61_000, server)), "its death concerns the call");
        bench.moved(61_000, Class::Invite, D);
        assert_eq!(bench.says(61_100, 487, D), Verdict::Pass);
        bench.is_clean_at(100_000);
    }
}

#[test]
fn what_comes_while_a_server_is_chosen_passes_and_ends_the_choice() {
    for (status, transport) in [(200, Transport::Tcp), (486, Transport::Tcp), (486, Transport::Udp)] {
        let mut bench = Bench::with(|kept| *kept = kept_over(transport, INVITE));
        bench.says(100, 180, A);
        assert!(is_rerouted(&bench.fails(1000, A)));
        assert_eq!(bench.says(1000, 180, B), Verdict::Pass);
        assert_eq!(bench.says(1000, status, B), Verdict::Pass);
        assert!(!bench.held.moved(at(1000), &mut bench.alarms, KEY, Class::Invite, C, false));
        assert_eq!(bench.held.place(KEY, Class::Invite), GoesTo::At(B), "for the ACK");
        bench.is_clean_at(40_000);
    }
}

#[test]
fn what_we_have_answered_is_past_what_another_says() {
    let mut bench = Bench::invite();
    bench.held.server_failed(at(100), &mut bench.alarms, A);
    bench.due(100);
    bench.held.no_server(at(100), &mut bench.alarms, KEY, Class::Invite);
    assert_eq!(bench.due(100), [What::Answer { status: 503 }]);
    assert!(matches!(bench.says(200, 180, B), Verdict::Cancel { .. }), "it rings in vain");
    assert!(matches!(bench.says(300, 487, B), Verdict::Acknowledge(..)));
}

#[test]
fn a_failed_server_may_get_it_again_and_after_four_failures_the_caller_hears_of_it() {
    let mut bench = Bench::invite();
    for (from, to) in [(A, B), (B, A), (A, B)] {
        assert!(is_rerouted(&bench.fails(100, from)));
        bench.moved(100, Class::Invite, to);
        assert_eq!(bench.held.place(KEY, Class::Invite), GoesTo::At(to));
    }
    assert_eq!(bench.fails(200, B), [What::Answer { status: 500 }]);
}

#[test]
fn a_cancel_waits_for_the_next_server_and_is_not_answered_with_487_by_us() {
    let mut bench = Bench::invite();
    bench.says(100, 180, A);
    assert_eq!(bench.cancel(200), Cancelled::Answer);
    assert_eq!(bench.due(200), [send(A)], "the CANCEL");
    assert!(is_rerouted(&bench.fails(300, A)));
    bench.moved(300, Class::Invite, B);
    assert_eq!(bench.due(400), []);
    assert_eq!(bench.says(450, 180, B), Verdict::Pass);
    assert_eq!(bench.due(450), [send(B)], "the CANCEL");
    assert_eq!(bench.response(460, Class::Cancel, 200, B), Verdict::Drop);
    assert_eq!(bench.says(500, 487, B), Verdict::Pass);
    bench.is_clean_at(40_000);
}

#[test]
fn with_nobody_left_a_request_waits_at_its_server() {
    let mut bench = Bench::with(|kept| {
        kept.class = Class::Other;
        kept.message = b"BYE sip:bob@example.com SIP/2.0\r\n\r\n";
    });
    assert!(is_rerouted(&bench.fails(100, A)));
    bench.held.no_server(at(100), &mut bench.alarms, KEY, Class::Other);
    assert_eq!(bench.due(600), [send(A)]);
    assert_eq!(bench.response(700, Class::Other, 200, A), Verdict::Pass);
    bench.is_clean_at(40_000);
    // Over a stream it is sent again once; if that fails, as after a lost connection.
    let mut bench = Bench::with(|kept| kept.server_reliable = true);
    assert!(is_rerouted(&bench.fails(100, A)));
    bench.held.no_server(at(100), &mut bench.alarms, KEY, Class::Invite);
    assert_eq!(bench.due(600), [send(A)]);
    assert_eq!(bench.held.unsent(at(600), &mut bench.alarms, A), 1);
    assert_eq!(bench.due(1100), [send(A)]);
}

#[test]
fn a_client_has_one_answer_for_the_servers_that_ask_it_the_same() {
    let to = Target::Datagram { listener: 0, to: SocketAddr::from(([192, 0, 2, 9], 5060)) };
    let bench = || {
        Bench::with(|kept| {
            kept.to_client = Some(to);
            kept.failover = false;
        })
    };
    let asked = |bench: &mut Bench, message: &[u8], via: usize| {
        let copy = Kept { server: B, to_client: Some(to), ..kept(message) };
        let asker = Asker { server: B, back: to, via: vec![b'v'; via].into() };
        bench.held.asked_again(at(100), &mut bench.alarms, KEY, (&copy, asker), |holder| holder == A);
    };
    let mut one = bench();
    let before = one.held.bytes();
    asked(&mut one, b"INVITE sip:bob@example.com SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nlonger body", 20);
    assert_eq!(one.held.bytes() - before, 20 + "longer ".len());
    assert_eq!(one.held.asker(KEY, Class::Invite).map(|asker| asker.server), Some(B));
    assert_eq!(one.due(600), [send(B)], "the copy of the one that asked last");
    assert_eq!(one.says(700, 180, A), Verdict::Pass);
    assert_eq!(one.due(20_000), [], "it has rung: no more copies");
    assert_eq!(one.says(20_000, 200, A), Verdict::Pass);
    one.is_clean_at(60_000);
    // What grows beyond the bounds is let go, and counted.
    let mut full = bench();
    asked(&mut full, INVITE, 20_000);
    assert_eq!((full.held.len(), full.held.bytes(), full.held.counts().full), (0, 0, 1));
}
