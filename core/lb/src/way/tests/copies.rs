//! A request that is sent again has the same bytes; a request too large for a datagram never leaves in one.

use base::Duration;
use sip::Transport;

use super::farm::*;
use crate::settings::*;

#[test]
fn a_held_bye_with_an_echoed_tag_is_sent_again_as_it_was() {
    let mut given = settings(Affinity::Tag, Selection::RoundRobin);
    given.tag_header = true;
    let mut farm = Farm::new(given);
    let (server, client) = ("10.0.0.3:5060", "192.0.2.1:5060");
    let invite = request("INVITE", "c1", "z9hG4bKs", "")
        .replace("sip:bob@198.51.100.1 ", "sip:carol@192.0.2.1 ")
        .replace("tag=alice", "tag=server")
        .replace("UDP 192.0.2.1;", "UDP 10.0.0.3;");
    let sent = only(farm.udp(server, &invite));
    assert_eq!(sent.address(), format!("udp {client}"));
    let echoed = format!("Strowger-Tag: {}\r\n", sent.field("Strowger-Tag").unwrap());
    let bye = from_client("BYE", "c1", "z9hG4bKb", "server", &echoed);
    let first = only(farm.tcp("192.0.2.1:40000", 3, &bye));
    assert_eq!(first.address(), format!("udp {server}"));
    farm.now = farm.now + Duration::from_millis(500);
    let again = only(farm.timers());
    assert_eq!((again.address(), again.text), (first.address(), first.text));
}

#[test]
fn the_copy_of_a_held_invite_goes_on_as_the_first_did_also_after_a_move() {
    let mut given = settings(Affinity::Tag, Selection::RoundRobin);
    given.hold_setup = HoldSetup::All;
    let mut farm = Farm::new(given);
    let invite = request("INVITE", "c1", "z9hG4bK1", "");
    let first = only(farm.udp(CLIENT, &invite));
    farm.now = farm.now + Duration::from_millis(500);
    let copy = only(farm.udp(CLIENT, &invite));
    assert_eq!((copy.address(), &copy.text), (first.address(), &first.text));
    farm.kill(&first.address());
    let moved = only(farm.timers());
    farm.now = farm.now + Duration::from_millis(700);
    let copy = only(farm.udp(CLIENT, &invite));
    assert_eq!(
        (copy.address(), copy.text),
        (moved.address(), moved.text),
        "a server may know copies by their bytes"
    );
}

#[test]
fn what_fits_no_datagram_is_refused_where_no_stream_can_be_had() {
    let mut given = settings(Affinity::Tag, Selection::RoundRobin);
    given.listeners[1].transport = Transport::Tls;
    let mut farm = Farm::new(given);
    let of = |method, bytes: usize| {
        request(method, "c1", &format!("z9hG4bK{method}{bytes}"), &format!("X: {}\r\n", "x".repeat(bytes)))
    };
    for method in ["MESSAGE", "INVITE"] {
        let sent = only(farm.stream(1, Transport::Tls, "192.0.2.1:40000", 3, &of(method, 60_000)));
        assert_eq!((&sent.address()[..4], sent.fallback), ("udp ", None));
        let held = farm.shared.held.len();
        let answer = only(farm.stream(
            1,
            Transport::Tls,
            "192.0.2.1:40000",
            3,
            &of(method, 65_500 - of(method, 0).len()),
        ));
        assert_eq!(answer.start_line(), "SIP/2.0 513 Message Too Large", "{method}");
        assert_eq!((held, farm.shared.held.len()), (held.max(1), held), "what is refused is not held");
    }
}
