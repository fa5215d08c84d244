//! Requests that follow an INVITE, its CANCEL and the ACK to its failure, go where the INVITE went: to the same place, by the
//! same transport, with the same Via (RFC 3261 §9.1, §17.1.1.3).

use std::net::SocketAddr;

use base::Duration;
use sip::Transport;

use super::farm::*;
use crate::settings::*;

/// Makes a request larger than 1,300 bytes, so that it leaves by TCP.
fn large(text: &str) -> String {
    let body = "v".repeat(1500);
    text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len()))
}

/// The topmost Via up to the hop, which says when a request was sent and so differs each time.
fn via(left: &Left) -> &str {
    left.fields("Via")[0].split(";hop=").next().unwrap()
}

fn check_follows(invite: &Left, follower: &Left) {
    assert_eq!((follower.address(), via(follower)), (invite.address(), via(invite)), "{}", follower.text);
}

/// The address without its `tcp` or `udp`.
fn place(left: &Left) -> String {
    left.address()[4..].to_owned()
}

#[test]
fn cancel_and_ack_go_by_the_stream_that_a_large_invite_went_by() {
    for (affinity, selection) in [
        (Affinity::Tag, Selection::RoundRobin),
        (Affinity::Session, Selection::RoundRobin),
        (Affinity::Hash, Selection::Hash),
    ] {
        let mut farm = Farm::of(affinity, selection);
        let invite = only(farm.udp(CLIENT, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
        assert!(invite.address().starts_with("tcp 10.0.0."), "{}", invite.address());
        let again = only(farm.udp(CLIENT, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
        check_follows(&invite, &again);
        let cancel = only(farm.udp(CLIENT, &request("CANCEL", "c1", "z9hG4bK1", "")));
        check_follows(&invite, &cancel);
        assert!(cancel.fallback.is_some(), "a stream that is gone and refused is no reason to be silent");
        let ack = only(farm.udp(CLIENT, &from_client("ACK", "c1", "z9hG4bK1", "bob", "")));
        check_follows(&invite, &ack);
        // Another INVITE of the same call, and the ACK to a 2xx, are small and follow nothing.
        let small = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK2", "")));
        check_follows(&small, &only(farm.udp(CLIENT, &request("CANCEL", "c1", "z9hG4bK2", ""))));
        assert!(small.address().starts_with("udp "));
        let confirmed = only(farm.udp(CLIENT, &from_client("ACK", "c1", "z9hG4bK3", "bob", "")));
        assert!(confirmed.address().starts_with("udp "));
    }
}

#[test]
fn a_large_invite_that_fell_back_to_udp_is_followed_by_udp() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = only(farm.udp(CLIENT, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
    farm.fell_back(&invite);
    // Longer than the memory of refused streams lasts.
    farm.udp(&place(&invite), &response(&invite, "180 Ringing"));
    farm.wait(100);
    let copy = only(farm.udp(CLIENT, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
    let cancel = only(farm.udp(CLIENT, &request("CANCEL", "c1", "z9hG4bK1", "")));
    let ack = only(farm.udp(CLIENT, &from_client("ACK", "c1", "z9hG4bK1", "bob", "")));
    assert_eq!(copy.address(), format!("udp {}", place(&invite)));
    check_follows(&copy, &cancel);
    check_follows(&copy, &ack);
}

#[test]
fn a_large_invite_that_went_by_udp_since_streams_were_refused_is_followed_by_udp() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    // A CANCEL that is itself large would leave by TCP.
    let routes = format!("Route: <sip:127.0.0.9;lr;x={}>\r\n", "x".repeat(1400));
    for server in 1..=4 {
        let listener = 1;
        let to = SocketAddr::from(([10, 0, 0, server], 5060));
        farm.send_failed(sip::Target::Stream { listener, to });
    }
    let invite = only(farm.udp(CLIENT, &large(&request("INVITE", "c1", "z9hG4bK1", &routes))));
    assert!(invite.address().starts_with("udp "));
    farm.udp(&place(&invite), &response(&invite, "180 Ringing"));
    farm.wait(100);
    let cancel = only(farm.udp(CLIENT, &request("CANCEL", "c1", "z9hG4bK1", &routes)));
    check_follows(&invite, &cancel);
}

#[test]
fn a_call_that_rings_for_long_is_still_cancelled_where_it_rings() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = only(farm.udp(CLIENT, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
    for _ in 0..4 {
        only(farm.stream(1, Transport::Tcp, &place(&invite), 9, &response(&invite, "180 Ringing")));
        farm.wait(170);
    }
    check_follows(&invite, &only(farm.udp(CLIENT, &request("CANCEL", "c1", "z9hG4bK1", ""))));
}

#[test]
fn within_a_dialog_both_ways() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    let server = place(&invite);
    let from_caller = |method: &str| from_client(method, "c1", "z9hG4bKre", "bob", &routes(&answer));
    let reinvite = only(farm.udp(CLIENT, &large(&from_caller("INVITE"))));
    assert_eq!(reinvite.address(), format!("tcp {server}"));
    check_follows(&reinvite, &only(farm.udp(CLIENT, &from_caller("CANCEL"))));
    check_follows(&reinvite, &only(farm.udp(CLIENT, &from_caller("ACK"))));
    let from_server = |method: &str| {
        format!(
            "{method} sip:alice@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKs\r\n{}Max-Forwards: 70\r\n\
             From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: c1\r\n\
             CSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n",
            routes(&answer)
        )
    };
    let reinvite = only(farm.udp(&server, &large(&from_server("INVITE"))));
    assert_eq!(reinvite.address(), "tcp 192.0.2.1:5070");
    check_follows(&reinvite, &only(farm.udp(&server, &from_server("CANCEL"))));
    check_follows(&reinvite, &only(farm.udp(&server, &from_server("ACK"))));
    farm.fell_back(&reinvite);
    let cancel = only(farm.udp(&server, &from_server("CANCEL")));
    assert_eq!(cancel.address(), "udp 192.0.2.1:5070");
}

/// Three listeners on three ports; a client comes by the second.
fn unlike_ports() -> Farm {
    let listener = |transport, port: u16| {
        let address = SocketAddr::from(([198, 51, 100, 1], port));
        Listener { transport, bind: address, advertise: address, name: None }
    };
    let before = settings(Affinity::Tag, Selection::RoundRobin);
    let listeners =
        vec![listener(Transport::Udp, 5060), listener(Transport::Tcp, 5070), listener(Transport::Udp, 5080)];
    Farm::new(Settings { listeners, hold_setup: HoldSetup::All, ..before })
}

fn by_third(farm: &mut Farm, text: &str) -> Vec<Left> {
    farm.by_listener(2, CLIENT, text)
}

#[test]
fn of_held_invites_too_with_listeners_on_unlike_ports() {
    let mut farm = unlike_ports();
    let invite = only(by_third(&mut farm, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
    assert!(via(&invite).contains("TCP 198.51.100.1:5070"), "{}", invite.text);
    // The caller gets 200 for its CANCEL; the server gets the CANCEL when it rings, on the stream.
    let ok = only(by_third(&mut farm, &request("CANCEL", "c1", "z9hG4bK1", "")));
    assert_eq!(ok.start_line(), "SIP/2.0 200 OK");
    farm.stream(1, Transport::Tcp, &place(&invite), 9, &response(&invite, "180 Ringing"));
    let cancel = only(farm.timers());
    assert!(cancel.text.starts_with("CANCEL "));
    check_follows(&invite, &cancel);
    let small = only(by_third(&mut farm, &request("INVITE", "c2", "z9hG4bK2", "")));
    assert!(via(&small).contains("UDP 198.51.100.1:5080"), "{}", small.text);
    by_third(&mut farm, &request("CANCEL", "c2", "z9hG4bK2", ""));
    farm.udp(&place(&small), &response(&small, "180 Ringing"));
    check_follows(&small, &only(farm.timers()));
}

/// The first server is silent and the call goes to another; then the first rings after all, or refuses.
fn moved(text: &str, status: &str) -> (Left, Left, Left) {
    let mut farm = unlike_ports();
    let first = only(by_third(&mut farm, text));
    farm.now = farm.now + Duration::from_millis(8100);
    let second = only(farm.timers());
    assert_ne!(place(&first), place(&second));
    let late = response(&first, status).replacen(";hop=", ";received=198.51.100.1;rport=5080;hop=", 1);
    let said = only(farm.udp(&place(&first), &late));
    (first, second, said)
}

#[test]
fn a_server_that_was_given_up_gets_its_cancel_or_ack_as_it_got_the_invite() {
    let small = request("INVITE", "c1", "z9hG4bK1", "");
    for text in [large(&small), small] {
        for (status, method) in [("180 Ringing", "CANCEL "), ("486 Busy Here", "ACK ")] {
            let (first, _, said) = moved(&text, status);
            assert!(said.text.starts_with(method), "{}", said.text);
            check_follows(&first, &said);
            assert_eq!(said.fields("Via"), [first.fields("Via")[0]], "equal, hop and all");
        }
    }
}

#[test]
fn each_server_of_a_moved_invite_is_followed_by_a_way_of_its_own() {
    let mut farm = unlike_ports();
    let first = only(by_third(&mut farm, &large(&request("INVITE", "c1", "z9hG4bK1", ""))));
    farm.now = farm.now + Duration::from_millis(8100);
    let second = only(farm.timers());
    farm.fell_back(&second);
    farm.udp(&place(&second), &response(&second, "180 Ringing"));
    by_third(&mut farm, &request("CANCEL", "c1", "z9hG4bK1", ""));
    let cancel = only(farm.timers());
    assert_eq!(cancel.address(), format!("udp {}", place(&second)));
    let late = only(farm.stream(1, Transport::Tcp, &place(&first), 9, &response(&first, "180 Ringing")));
    check_follows(&first, &late);
}
