//! The form and its properties, and whole messages through the router.

use proptest::prelude::*;

use super::*;
use crate::counters::Counter;
use crate::settings::*;
use crate::way::tests::farm::only;
use crate::way::tests::farm::*;

const KEY: &[u8] = b"a key that the farm shares";
const RESPONSE: &[u8] = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";

fn hop(text: &str) -> NextHop {
    let (transport, address) = text.split_once(' ').unwrap();
    let transport = if transport == "udp" { Transport::Udp } else { Transport::Tcp };
    NextHop { address: address.parse().unwrap(), transport }
}

fn wrapped(next_hop: &str, response: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write(hop(next_hop), response, key, &mut out);
    out
}

/// Computed independently, with Python's hmac. A change to these bytes is a change of the protocol.
#[test]
fn the_form_is_this() {
    let text = String::from_utf8(wrapped("tcp 192.0.2.7:5061", RESPONSE, KEY)).unwrap();
    assert_eq!(
        text,
        "ENCAPSULATED sip:192.0.2.7:5061;transport=tcp SIP/2.0\r\nEncapsulation: 1\r\n\
         Authenticator: 26cb0d1ff8cb6b6578d52e1616647f75\r\nContent-Type: message/sip\r\n\
         Content-Length: 37\r\n\r\nSIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
    );
    let frame = sip::frame::Framer::default().next(text.as_bytes());
    assert_eq!(frame, sip::frame::Frame::Message(text.len()), "streams need no other framing");
}

#[test]
fn a_next_hop_is_an_address_of_one_host() {
    for bad in [
        "sip:192.0.2.7;transport=tcp",
        "sip:192.0.2.7:0;transport=tcp",
        "sip:192.0.2.7:5060",
        "sip:192.0.2.7:5060;transport=pigeon",
        "sip:host.example:5060;transport=udp",
        "sip:0.0.0.0:5060;transport=udp",
        "sip:224.0.1.75:5060;transport=udp",
        "sip:user@192.0.2.7:5060;transport=udp",
        "tel:5060",
    ] {
        assert_eq!(next_hop_of(bad.as_bytes()), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        v6 in any::<bool>(), ip in any::<u32>(), port in 1u16.., tcp in any::<bool>(),
        response in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let ip = if v6 { format!("[2001:db8::{:x}]", ip & 0xFFFF) } else { format!("192.0.2.{}", ip & 0xFF) };
        let text = format!("{} {ip}:{port}", if tcp { "tcp" } else { "udp" });
        let bytes = wrapped(&text, &response, KEY);
        let read = read(&bytes, KEY).unwrap();
        prop_assert_eq!(read.next_hop, hop(&text));
        prop_assert_eq!(&bytes[read.response], &response[..]);
        prop_assert_eq!(super::read(&bytes, b"another key"), Err(Refused::BadAuthenticator));
    }

    #[test]
    fn no_changed_byte_is_believed(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = wrapped("udp 192.0.2.7:5060", RESPONSE, KEY);
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        prop_assert!(read(&bytes, KEY).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes, KEY).is_err());
        prop_assert!(read(&[METHOD, &bytes[..]].concat(), KEY).is_err());
    }
}

fn farm(key: Option<&[u8]>) -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.keys.heartbeat = key.map(|key| key.to_vec().into());
    settings.hold_setup = HoldSetup::Off;
    Farm::new(settings)
}

/// The call's client is on connection 4. Returns what leaves for the server's answer.
fn answered(farm: &mut Farm, from: &str, next_hop: &str, key: &[u8]) -> Vec<Left> {
    let invite = only(farm.tcp("192.0.2.1:40000", 4, &request("INVITE", "c1", "z9hG4bK1", "")));
    let inner = response(&invite, "200 OK");
    farm.udp(from, &String::from_utf8(wrapped(next_hop, inner.as_bytes(), key)).unwrap())
}

#[test]
fn the_response_within_leaves_on_the_connection_of_its_request() {
    let mut farm = farm(Some(KEY));
    let left = only(answered(&mut farm, "10.0.0.1:5060", "tcp 192.0.2.9:5999", KEY));
    assert_eq!(left.start_line(), "SIP/2.0 200 OK");
    assert_eq!(left.fields("Via"), ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"]);
    let sip::Target::Connection { listener, id, to, or_connect } = left.to else { panic!("{left:?}") };
    assert_eq!((listener, id.slot, or_connect), (1, 4, true));
    assert_eq!(to, "192.0.2.9:5999".parse().unwrap(), "where that connection is gone");
    assert_eq!(farm.count(Counter::Encapsulated), 1);
}

#[test]
fn a_response_by_datagram_goes_to_the_next_hop() {
    let mut farm = farm(Some(KEY));
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    let inner = response(&invite, "200 OK");
    let bytes = wrapped("udp 192.0.2.9:5999", inner.as_bytes(), KEY);
    let left = only(farm.udp("10.0.0.1:5060", std::str::from_utf8(&bytes).unwrap()));
    assert_eq!(left.address(), "udp 192.0.2.9:5999");
}

#[test]
fn what_is_forged_is_counted_and_goes_nowhere() {
    let good = "tcp 192.0.2.9:5999";
    for (key, from, signed_with, why) in [
        (Some(KEY), "192.0.2.66:5060", KEY, "no server"),
        (Some(KEY), "10.0.0.1:5060", &b"another key"[..], "another key"),
        (None, "10.0.0.1:5060", KEY, "no key is configured"),
    ] {
        let mut farm = farm(key);
        assert!(answered(&mut farm, from, good, signed_with).is_empty(), "{why}");
        assert_eq!(farm.count(Counter::ForgedEncapsulation), 1, "{why}");
        assert_eq!(farm.count(Counter::Encapsulated), 0, "{why}");
    }
}

#[test]
fn only_responses_to_requests_of_this_farm_are_passed_on() {
    let mut farm = farm(Some(KEY));
    let bytes = wrapped("udp 192.0.2.9:5999", request("INVITE", "c1", "z9hG4bK1", "").as_bytes(), KEY);
    assert!(farm.udp("10.0.0.1:5060", std::str::from_utf8(&bytes).unwrap()).is_empty());
    assert_eq!(farm.count(Counter::BadResponse), 1);
    let foreign = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK2\r\n\
                   From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    let bytes = wrapped("udp 192.0.2.9:5999", foreign.as_bytes(), KEY);
    assert!(farm.udp("10.0.0.1:5060", std::str::from_utf8(&bytes).unwrap()).is_empty());
    assert_eq!(farm.count(Counter::ForeignResponse), 1);
}

#[test]
fn a_next_hop_of_another_kind_of_transport_is_refused() {
    let mut farm = farm(Some(KEY));
    assert!(answered(&mut farm, "10.0.0.1:5060", "udp 192.0.2.9:5999", KEY).is_empty());
    assert_eq!(farm.count(Counter::NoListener), 1);
}
