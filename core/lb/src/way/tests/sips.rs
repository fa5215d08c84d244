//! The scheme of the URIs that we write (RFC 3261 §16.6 step 4): `sips:` if the request asks for it, on every listener.

use super::farm::*;
use crate::register::settings::InsertPath;
use crate::settings::*;
use sip::Transport;

const PHONE: &str = "192.0.2.1:40000";

/// Listeners: UDP and TCP at 5060, TLS at 5061, WebSocket without and with TLS at 80 and 443.
fn farm() -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    for (transport, port) in [(Transport::Tls, 5061), (Transport::Ws, 80), (Transport::Wss, 443)] {
        let address = std::net::SocketAddr::from(([198, 51, 100, 1], port));
        settings.listeners.push(Listener { transport, bind: address, advertise: address, name: None });
    }
    settings.register.path = InsertPath::Always;
    Farm::new(settings)
}

const STREAMS: [(u8, Transport); 4] =
    [(1, Transport::Tcp), (2, Transport::Tls), (3, Transport::Ws), (4, Transport::Wss)];

/// Each entry up to its tag.
fn entries(left: &Left) -> Vec<&str> {
    left.fields("Record-Route").iter().map(|entry| entry.split(";lr").next().unwrap()).collect()
}

fn invite(uri: &str, more: &str) -> String {
    request("INVITE", "c1", "z9hG4bK1", more).replace("sip:bob@198.51.100.1 ", &format!("{uri} "))
}

#[test]
fn both_entries_have_the_scheme_that_the_request_asks_for() {
    let plain = [
        "<sip:198.51.100.1:5060;transport=tcp",
        "<sip:198.51.100.1:5061;transport=tls",
        "<sip:198.51.100.1:80;transport=ws",
        "<sip:198.51.100.1:443;transport=ws",
    ];
    let secure = [
        "<sips:198.51.100.1:5060;transport=tcp",
        "<sips:198.51.100.1:5061",
        "<sips:198.51.100.1:80;transport=ws",
        "<sips:198.51.100.1:443;transport=ws",
    ];
    for (at, (listener, transport)) in STREAMS.into_iter().enumerate() {
        for (uri, more, expected) in [
            ("sip:bob@example.com", "", plain),
            ("sips:bob@example.com", "", secure),
            ("sips:bob@example.com", "Route: <sip:198.51.100.1;lr>\r\n", secure),
            // Our own entry is taken out; the next entry counts.
            ("sip:bob@example.com", "Route: <sips:198.51.100.1;lr>\r\n", plain),
            ("sip:bob@example.com", "Route: <sip:198.51.100.1;lr>, <sips:far.example.com;lr>\r\n", secure),
            ("sip:bob@example.com", "Route: <sips:strict.example.com>\r\n", secure),
            ("tel:+49-30-123", "", plain),
        ] {
            let sent = only(farm().stream(listener, transport, PHONE, 1, &invite(uri, more)));
            let near = if expected == secure { "<sips:198.51.100.1:5060" } else { "<sip:198.51.100.1:5060" };
            assert_eq!(entries(&sent), [near, expected[at]], "{uri} {more}");
        }
    }
    let sent = only(farm().udp(CLIENT, &invite("sips:bob@example.com", "")));
    assert_eq!(entries(&sent), ["<sips:198.51.100.1:5060"]);
}

#[test]
fn entries_of_either_scheme_are_known_again() {
    for uri in ["sip:bob@example.com", "sips:bob@example.com"] {
        for (listener, transport) in STREAMS {
            for respell in [false, true] {
                let mut farm = farm();
                let sent = only(farm.stream(listener, transport, PHONE, 1, &invite(uri, "")));
                let server = sent.address().trim_start_matches("udp ").to_owned();
                let answer = only(farm.udp(&server, &response(&sent, "200 OK")));
                assert_eq!(answer.address(), "connection 1");
                // Some peers write our entries in another form.
                let form = |routes: String| if respell { routes.replace(";lr;", ";LR=on;") } else { routes };
                let ack = from_client("ACK", "c1", "z9hG4bK2", "bob", &form(routes(&answer)));
                let ack = only(farm.stream(listener, transport, PHONE, 1, &ack));
                assert_eq!((ack.address(), ack.fields("Route").len()), (sent.address(), 0), "{}", ack.text);
                let forward: String =
                    sent.fields("Record-Route").iter().map(|entry| format!("Route: {entry}\r\n")).collect();
                let bye = from_client("BYE", "c1", "z9hG4bK3", "alice", &form(forward)).replace(
                    "From: <sip:alice@example.com>;tag=alice",
                    "From: <sip:bob@example.com>;tag=bob",
                );
                let bye = only(farm.udp(&server, &bye.replace("UDP 192.0.2.1", &format!("UDP {server}"))));
                assert_eq!((bye.address(), bye.fields("Route").len()), ("connection 1".to_owned(), 0));
            }
        }
    }
}

#[test]
fn what_a_server_sends_has_it_too() {
    let mut farm = farm();
    let text = invite("sips:alice@192.0.2.1", "").replace("UDP 192.0.2.1", "UDP 10.0.0.1");
    let sent = only(farm.udp("10.0.0.1:5060", &text));
    assert_eq!(sent.address(), "tcp 192.0.2.1:5061");
    assert_eq!(entries(&sent), ["<sips:198.51.100.1:5061", "<sips:198.51.100.1:5060"]);
    let answer = only(farm.stream(2, Transport::Tls, "192.0.2.1:5061", 9, &response(&sent, "200 OK")));
    assert_eq!(answer.address(), "udp 10.0.0.1:5060");
}

#[test]
fn a_path_has_the_scheme_of_its_register() {
    for (uri, expected) in [
        ("sip:example.com", "<sip:198.51.100.1:5060;lr;"),
        ("sips:example.com", "<sips:198.51.100.1:5060;lr;"),
    ] {
        let mut farm = farm();
        let register =
            request("REGISTER", "r1", "z9hG4bKr", "").replace("sip:bob@198.51.100.1 ", &format!("{uri} "));
        let registered = only(farm.stream(2, Transport::Tls, PHONE, 7, &register));
        let path = registered.field("Path").unwrap().to_owned();
        assert!(path.starts_with(expected), "{path}");
        let call = invite("sips:bob@phone.invalid", &format!("Route: {path}\r\n"));
        assert_eq!(only(farm.udp("10.0.0.1:5060", &call)).address(), "connection 7");
    }
}
