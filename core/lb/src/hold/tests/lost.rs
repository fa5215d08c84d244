//! The connection to a server is lost with what was written to it.

use super::*;

const BYE: &[u8] = b"BYE sip:bob@example.com SIP/2.0\r\nCSeq: 2 BYE\r\n\r\n";

/// A BYE from a stream to a stream.
fn bye() -> Bench {
    Bench::with(|kept| {
        kept.class = Class::Other;
        kept.message = BYE;
        kept.failover = false;
        kept.server_reliable = true;
    })
}

/// An INVITE from a stream to a stream.
fn invite() -> Bench {
    Bench::with(|kept| kept.server_reliable = true)
}

impl Bench {
    fn lost(&mut self, ms: u64) -> usize {
        self.held.connection_lost(at(ms), &mut self.alarms, A)
    }

    fn unsent(&mut self, ms: u64) -> usize {
        self.held.unsent(at(ms), &mut self.alarms, A)
    }
}

#[test]
fn nothing_is_repeated_while_the_connection_holds() {
    let mut bench = bye();
    for ms in (0..32_000).step_by(500) {
        assert_eq!(bench.due(ms), []);
    }
    assert_eq!(bench.held.len(), 1);
    assert_eq!(bench.due(32_000), [], "timer F: the client knows by itself");
    assert_eq!(bench.held.counts().unanswered, 1);
    bench.is_clean_at(32_000);
}

#[test]
fn an_answer_ends_it_at_once_and_leaves_nothing() {
    let mut bench = bye();
    assert_eq!(bench.response(20, Class::Other, 200, A), Verdict::Pass);
    bench.is_clean_at(20);
}

#[test]
fn what_was_written_into_a_lost_connection_is_sent_again_once() {
    let mut bench = bye();
    assert_eq!(bench.lost(40), 1);
    assert_eq!(bench.due(40), [send(A)]);
    assert_eq!(bench.due(31_000), [], "the new connection holds");
    assert_eq!(bench.held.counts().resent, 1);
    assert_eq!(bench.response(31_000, Class::Other, 200, A), Verdict::Pass);
    assert_eq!(bench.response(31_010, Class::Other, 481, A), Verdict::Drop, "the server read both");
    bench.is_clean_at(63_100);
}

#[test]
fn a_server_without_connections_is_given_up_after_some() {
    let mut bench = bye();
    let mut sent = vec![];
    for ms in 0..10_000 {
        if ms == 0 {
            bench.lost(0);
        }
        match bench.due(ms)[..] {
            [] => {}
            [What::Send { server: A }] => {
                sent.push(ms);
                // Refused at this moment, or a little later; reported in both ways.
                if ms % 1000 == 0 {
                    bench.unsent(ms);
                }
                bench.lost(ms + 1);
            }
            [What::Reroute { tried, why: Why::Failed }] if tried.last() == Some(A) => {
                assert_eq!(sent, [0, 500, 1501]);
                bench.moved(ms, Class::Other, B);
                assert_eq!(bench.lost(ms), 0, "it is elsewhere");
                assert_eq!(bench.response(ms + 20, Class::Other, 481, B), Verdict::Pass);
                return bench.is_clean_at(ms + 32_100);
            }
            ref other => panic!("{other:?}"),
        }
    }
    panic!("never given to another: {sent:?}");
}

#[test]
fn a_server_that_the_table_fails_meanwhile_loses_it_at_once() {
    let mut bench = bye();
    bench.lost(40);
    assert_eq!(bench.due(40), [send(A)]);
    bench.lost(41);
    bench.held.server_failed(at(90), &mut bench.alarms, A);
    assert!(matches!(bench.due(90)[..], [What::Reroute { why: Why::Failed, .. }]));
    bench.moved(90, Class::Other, B);
    assert_eq!(bench.due(600), [send(B)], "B is reached over UDP; nothing is left of the pause for A");
}

#[test]
fn an_invite_that_rings_is_sent_again_too_and_its_server_takes_it_for_a_copy() {
    let mut bench = invite();
    bench.response(20, Class::Invite, 180, A);
    assert_eq!((bench.lost(1000), bench.due(1000)), (1, vec![send(A)]));
    assert_eq!(bench.response(1010, Class::Invite, 180, A), Verdict::Pass);
    assert_eq!(
        (bench.lost(5000), bench.due(5000)),
        (1, vec![send(A)]),
        "each answer forgives the losses before"
    );
    assert_eq!(bench.response(6000, Class::Invite, 200, A), Verdict::Pass);
    assert_eq!(bench.lost(6010), 0);
    bench.is_clean_at(38_100);
}

#[test]
fn losses_concern_only_what_went_by_that_connection() {
    let mut bench = bye();
    let mut other_worker = Alarms::new(1, 10);
    assert_eq!(bench.held.connection_lost(at(10), &mut other_worker, A), 0);
    assert_eq!(bench.held.connection_lost(at(10), &mut bench.alarms, B), 0);
    assert_eq!(bench.unsent(10), 0, "it was sent before");
    assert_eq!(bench.unsent(0), 1, "and in this moment");
    assert_eq!((bench.due(499), bench.due(500)), (vec![], vec![send(A)]));
    let mut datagram = Bench::with(|kept| kept.class = Class::Other);
    assert_eq!(datagram.lost(10), 0);
}

#[test]
fn alarms_of_answered_requests_leave_within_a_second() {
    let held = Held::new(Limits::new(1000, 1 << 20));
    let mut alarms = Alarms::new(0, 1000);
    let kept = Kept { class: Class::Other, server_reliable: true, ..kept(BYE) };
    for call in 0..60_000_u64 {
        let key = call << 32;
        held.keep(at(call), &mut alarms, key, &kept).unwrap();
        held.response(at(call), &mut alarms, key, Class::Other, 200, A);
        assert_eq!(held.next_due(at(call), &mut alarms, &mut Vec::new()), None);
        assert!(alarms.len() <= 1001);
    }
}

#[test]
fn what_a_server_sends_to_a_client_over_udp_is_repeated_and_no_death_concerns_it() {
    let to = Target::Datagram { listener: 0, to: SocketAddr::from(([192, 0, 2, 9], 5060)) };
    let mut bench = Bench::with(|kept| {
        kept.failover = false;
        kept.to_client = Some(to);
    });
    let (first, action) = bench.wait().unwrap();
    assert_eq!((first, action.what, action.to_client), (500, send(A), true));
    bench.held.server_failed(at(600), &mut bench.alarms, A);
    assert_eq!((bench.due(600), bench.lost(600)), (vec![], 0));
    assert_eq!(bench.response(700, Class::Invite, 486, A), Verdict::Pass);
    let Verdict::Acknowledge(_, acknowledged) = bench.response(1200, Class::Invite, 486, A) else {
        panic!("a copy of the failure is acknowledged")
    };
    assert_eq!(acknowledged, Some(to));
    bench.is_clean_at(33_000);
}

#[test]
fn of_two_failures_the_caller_over_a_stream_hears_one() {
    let mut bench = invite();
    bench.response(10, Class::Invite, 180, A);
    assert_eq!(bench.lost(40), 1);
    assert_eq!(bench.due(40), [send(A)]);
    assert_eq!(bench.response(50, Class::Invite, 487, A), Verdict::Pass);
    assert!(matches!(bench.response(60, Class::Invite, 487, A), Verdict::Acknowledge(..)));
    bench.is_clean_at(32_100);
}
