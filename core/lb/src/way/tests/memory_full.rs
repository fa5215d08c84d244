//! Calls for which the memory has no room: the hash finds their server, among those that may get new calls.

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

/// A farm whose memory holds one call, and is full.
fn full(affinity: Affinity, hash: HashKind) -> Farm {
    let mut farm = Farm::new(Settings {
        new_calls_max: 1,
        sessions_max: 1,
        hash,
        ..settings(affinity, Selection::RoundRobin)
    });
    only(farm.udp(CLIENT, &request("INVITE", "first", "z9hG4bKfirst", "")));
    farm
}

fn each(check: impl Fn(Affinity, HashKind)) {
    for affinity in [Affinity::Tag, Affinity::Session, Affinity::Hash] {
        for hash in [HashKind::Modulo, HashKind::Cascade, HashKind::Consistent] {
            check(affinity, hash);
        }
    }
}

#[test]
fn a_drained_server_gets_no_new_call() {
    each(|affinity, hash| {
        let mut farm = full(affinity, hash);
        for last in 1..=2 {
            let address = std::net::SocketAddr::from(([10, 0, 0, last], 5060));
            assert!(farm.table.drain(farm.now, address, true));
        }
        farm.publish();
        for call in 0..40 {
            let name = format!("c{call}");
            let invite = only(farm.udp(CLIENT, &request("INVITE", &name, &format!("z9hG4bK{name}"), "")));
            let server = invite.address();
            assert!(
                server.contains("10.0.0.3") || server.contains("10.0.0.4"),
                "{affinity:?} {hash:?} {server}"
            );
            // The call's messages without a tag find the server.
            for (method, to_tag) in [("INVITE", ""), ("CANCEL", ""), ("ACK", "bob")] {
                let text = from_client(method, &name, &format!("z9hG4bK{name}"), to_tag, "");
                assert_eq!(only(farm.udp(CLIENT, &text)).address(), server, "{method} {affinity:?} {hash:?}");
            }
            // And so does its dialog.
            let answer = only(farm.udp(server.trim_start_matches("udp "), &response(&invite, "200 OK")));
            let bye = from_client("BYE", &name, &format!("z9hG4bKb{name}"), "bob", &routes(&answer));
            assert_eq!(only(farm.udp(CLIENT, &bye)).address(), server, "{affinity:?} {hash:?}");
        }
        assert!(farm.count(Counter::MemoryFull) >= 40);
    });
}

#[test]
fn where_all_drain_a_new_call_is_refused_and_a_call_for_help_is_not() {
    let mut farm = full(Affinity::Tag, HashKind::Consistent);
    for last in 1..=4 {
        let address = std::net::SocketAddr::from(([10, 0, 0, last], 5060));
        assert!(farm.table.drain(farm.now, address, true));
    }
    farm.publish();
    let refused = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bKc1", "")));
    assert!(refused.start_line().starts_with("SIP/2.0 503"), "{}", refused.text);
    let help = request("INVITE", "c2", "z9hG4bKc2", "").replace("sip:bob@198.51.100.1", "urn:service:sos");
    assert!(only(farm.udp(CLIENT, &help)).start_line().starts_with("INVITE"));
}
