//! Where a server's request to a client goes: along the flow that the client opened, whatever its Contact says.

use sip::{ConnectionId, Target};

use super::farm::*;
use crate::counters::Counter;
use crate::register::settings::InsertPath;
use crate::settings::*;
use base::Duration;

const PHONE: &str = "192.0.2.1:40000";
const SERVER: &str = "10.0.0.1:5060";

/// Slot of the connection, and whether another may be opened instead.
fn flow(left: &Left) -> Option<(u16, bool)> {
    match left.to {
        Target::Connection { id: ConnectionId { slot, .. }, or_connect, .. } => Some((slot, or_connect)),
        Target::Datagram { .. } | Target::Stream { .. } => None,
    }
}

fn invite(contact: &str) -> String {
    request("INVITE", "c1", "z9hG4bK1", "").replace("<sip:alice@192.0.2.1>", &format!("<{contact}>"))
}

/// A request of the server to this contact, in the call that `sent` began.
fn of_server(sent: &Left, method: &str, contact: &str) -> String {
    let server = sent.address().split(' ').nth(1).unwrap().to_owned();
    let routes: String =
        sent.fields("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bK{method}\r\n{routes}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\n\
         Call-ID: c1\r\nCSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The server of the call sends this text.
fn sends(farm: &mut Farm, sent: &Left, text: &str) -> Left {
    only(farm.udp(sent.address().split(' ').nth(1).unwrap(), text))
}

const CONTACTS: [(&str, bool); 16] = [
    ("sip:alice@192.0.2.1:5062", false),
    ("sip:alice@192.0.2.1:5062;transport=tcp", true),
    ("sip:alice@192.0.2.1:5062;transport=udp", false),
    ("sip:alice@192.0.2.1:5062;transport=tls", false),
    ("sip:alice@192.0.2.1;transport=sctp", false),
    ("sip:alice@192.0.2.1;transport=ws", false),
    ("sips:alice@192.0.2.1", false),
    ("sips:alice@192.0.2.1;transport=udp", false),
    ("sip:alice@phone.example.com", false),
    ("sip:alice@phone.example.com;transport=tcp", false),
    ("sip:alice@x.invalid;transport=ws", false),
    ("sip:alice@192.168.1.5:5062", false),
    ("sip:alice@[2001:db8::7]", false),
    ("sip:alice@[2001:db8::7]:5062;transport=tcp", true),
    ("sip:alice@192.0.2.1;transport=tcp;ob", false),
    ("tel:+49-30-123", false),
];

#[test]
fn every_request_goes_down_the_connection_of_the_dialog_whatever_the_contact_says() {
    for (contact, may_connect) in CONTACTS {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let sent = only(farm.tcp(PHONE, 1, &invite("sip:alice@192.0.2.1")));
        for method in
            ["BYE", "INVITE", "UPDATE", "INFO", "NOTIFY", "REFER", "PRACK", "ACK", "MESSAGE", "SUBSCRIBE"]
        {
            let left = sends(&mut farm, &sent, &of_server(&sent, method, contact));
            assert_eq!(flow(&left), Some((1, may_connect)), "{method} {contact}: {}", left.text);
            assert!(left.start_line().starts_with(method));
            // If the connection turns out to be gone, the server gets an answer; an ACK is never answered.
            let server = sent.address().trim_start_matches("udp ").parse().unwrap();
            let told = (method != "ACK").then_some(Target::Datagram { listener: 0, to: server });
            assert_eq!(left.fallback, told, "{method} {contact}");
        }
    }
}

#[test]
fn a_connection_that_is_gone_is_replaced_only_where_the_client_says_that_it_is_there() {
    for (given, contact, expected) in [
        ("sip:alice@192.0.2.1", "sip:alice@192.0.2.1:5062", "udp 192.0.2.1:5062"),
        ("sip:alice@192.0.2.1", "sip:alice@192.0.2.1:5062;transport=tcp", "connect"),
        ("sip:alice@192.0.2.1", "sip:alice@192.0.2.1:5062;ob", "430"),
        ("sip:alice@192.0.2.1", "sips:alice@192.0.2.1:5062", "430"),
        ("sip:alice@192.0.2.1", "sip:alice@phone.example.com", "430"),
        // Behind a NAT.
        ("sip:alice@192.168.1.5", "sip:alice@192.168.1.5", "430"),
        ("sip:alice@192.168.1.5;transport=tcp", "sip:alice@192.168.1.5;transport=tcp", "430"),
        ("sip:alice@x.invalid", "sip:alice@x.invalid;transport=tcp", "430"),
    ] {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let sent = only(farm.tcp(PHONE, 1, &invite(given)));
        farm.closed_slot(1);
        let left = sends(&mut farm, &sent, &of_server(&sent, "BYE", contact));
        match expected {
            "430" => {
                assert_eq!((flow(&left), left.fallback.is_some()), (Some((1, false)), true), "{contact}")
            }
            "connect" => {
                assert_eq!((flow(&left), left.fallback.is_some()), (Some((1, true)), true), "{contact}");
            }
            _ => assert_eq!(left.address(), expected, "{contact}"),
        }
    }
}

#[test]
fn an_ack_to_a_flow_that_is_gone_is_counted() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let sent = only(farm.tcp(PHONE, 1, &invite("sip:alice@x.invalid")));
    farm.closed_slot(1);
    let left = sends(&mut farm, &sent, &of_server(&sent, "ACK", "sip:alice@x.invalid"));
    assert_eq!((flow(&left), left.fallback), (Some((1, false)), None));
    farm.send_failed(left.to);
    assert_eq!(farm.count(Counter::FlowFailed), 1);
}

/// A proxy before us that leaves the path is not the next hop of requests that come back.
#[test]
fn the_connection_of_a_proxy_counts_only_where_the_proxy_stays_in_the_path() {
    let far = "Via: SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKfar\r\n";
    for (record_route, connection) in [
        ("", false),
        ("Record-Route: <sip:192.0.2.1;lr>\r\n", true),
        ("Record-Route: <sip:proxy.example.com;lr>\r\n", true),
        ("Record-Route: <sip:10.9.9.9;lr>\r\n", true),
        ("Record-Route: <sip:192.0.2.99;lr>\r\n", false),
    ] {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        // The proxy's name for itself need not be the address that it sends from.
        let via = if record_route.contains("10.9.9.9") { "10.9.9.9" } else { "192.0.2.1" };
        let text = request("INVITE", "c1", "z9hG4bK1", &format!("{far}{record_route}"))
            .replace("UDP 192.0.2.1;", &format!("TCP {via};"));
        let sent = only(farm.tcp(PHONE, 1, &text));
        let left = sends(&mut farm, &sent, &of_server(&sent, "BYE", "sip:alice@192.0.2.200"));
        assert_eq!(flow(&left).is_some(), connection, "{record_route} {}", left.address());
    }
}

#[test]
fn a_client_over_udp_whose_contact_is_a_name_is_reached_where_it_sends_from() {
    for via in ["192.0.2.1:5070;rport", "x.invalid;rport", "192.168.1.5;rport"] {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let text = invite("sip:alice@x.invalid").replace("192.0.2.1;", &format!("{via};"));
        let sent = only(farm.udp(PHONE, &text));
        let left = sends(&mut farm, &sent, &of_server(&sent, "BYE", "sip:alice@x.invalid"));
        assert_eq!(left.address(), format!("udp {PHONE}"), "{via}");
        // The client has moved, and says where to.
        let left = sends(&mut farm, &sent, &of_server(&sent, "INFO", "sip:alice@192.0.2.50"));
        assert_eq!(left.address(), "udp 192.0.2.50:5060");
    }
    // Answers go to the port of the client's Via if it does not ask for another.
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let sent = only(farm.udp(PHONE, &invite("sip:alice@x.invalid")));
    let left = sends(&mut farm, &sent, &of_server(&sent, "BYE", "sip:alice@x.invalid"));
    assert_eq!(left.address(), "udp 192.0.2.1:5060");
}

#[test]
fn with_ipv6_a_client_is_reached_where_it_sends_from_too() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    let address = "[2001:db8::1]:5060".parse().unwrap();
    for listener in &mut settings.listeners {
        (listener.bind, listener.advertise) = (address, address);
    }
    for (server, last) in settings.servers.iter_mut().zip(11..) {
        server.address = format!("[2001:db8::{last}]:5060").parse().unwrap();
    }
    let phone = "[2001:db8::77]:40000";
    for (via, contact) in [
        ("[fd00::5]:5070;rport", "sip:alice@[fd00::5]:5070"),
        ("[2001:db8::77];rport", "sip:alice@x.invalid"),
    ] {
        let mut farm = Farm::new(settings.clone());
        let text = invite(contact).replace("192.0.2.1;", &format!("{via};"));
        let sent = only(farm.udp(phone, &text));
        let left = sends(&mut farm, &sent, &of_server(&sent, "BYE", contact));
        assert_eq!(left.address(), format!("udp {phone}"), "{contact}");
        let sent = only(farm.tcp(phone, 1, &text.replace("c1", "c2").replace("UDP", "TCP")));
        let bye = of_server(&sent, "BYE", contact).replace("c1", "c2");
        assert_eq!(flow(&sends(&mut farm, &sent, &bye)), Some((1, false)));
    }
}

/// The Path of a telephone over UDP that is at the address of its contact.
fn path_of(farm: &mut Farm) -> String {
    let registered = only(farm.udp("192.0.2.1:5060", &request("REGISTER", "r1", "z9hG4bKr", "")));
    registered.field("Path").unwrap().to_owned()
}

fn farm_with_path(servers: sip::Transport) -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.path = InsertPath::Always;
    settings.servers.iter_mut().for_each(|server| server.transport = servers);
    Farm::new(settings)
}

#[test]
fn a_large_request_keeps_to_the_flow_of_a_telephone_over_udp() {
    let mut farm = farm_with_path(sip::Transport::Udp);
    let path = path_of(&mut farm);
    let call = |bytes: usize| {
        request("INVITE", "c1", "z9hG4bK1", &format!("Route: {path}\r\nX-Filler: {}\r\n", "x".repeat(bytes)))
            .replace("sip:bob@198.51.100.1 ", "sip:alice@192.0.2.1 ")
    };
    let sent = only(farm.udp(SERVER, &call(1600)));
    assert_eq!((sent.address(), sent.fallback), ("udp 192.0.2.1:5060".to_owned(), None));
    // So do requests within the dialog, until the telephone says that it is elsewhere.
    let answer = only(farm.udp("192.0.2.1:5060", &response(&sent, "200 OK")));
    let info = |to: &str| {
        let more = format!("{}X-Filler: {}\r\n", routes(&answer), "x".repeat(1600));
        from_client("INFO", "c1", "z9hG4bK2", "bob", &more).replace("sip:bob@198.51.100.1 ", to)
    };
    let left = only(farm.udp(SERVER, &info("sip:alice@192.0.2.1 ")));
    assert_eq!((left.address(), left.fallback), ("udp 192.0.2.1:5060".to_owned(), None));
    assert_eq!(only(farm.udp(SERVER, &info("sip:alice@192.0.2.9 "))).address(), "tcp 192.0.2.9:5060");
    // A request too large for any datagram is refused.
    let left = only(farm.udp(SERVER, &call(65_500 - call(0).len())));
    assert!(left.start_line().starts_with("SIP/2.0 513"), "{}", left.start_line());
}

#[test]
fn what_a_server_over_tcp_sends_is_repeated_along_the_same_flow() {
    let mut farm = farm_with_path(sip::Transport::Tcp);
    let path = path_of(&mut farm);
    let text = request("INVITE", "c1", "z9hG4bK1", &format!("Route: {path}\r\n"))
        .replace("sip:bob@198.51.100.1 ", "sip:alice@192.168.1.5 ");
    let first = only(farm.tcp(SERVER, 9, &text));
    assert_eq!(first.address(), "udp 192.0.2.1:5060");
    farm.now = farm.now + Duration::from_millis(500);
    let again = only(farm.timers());
    assert_eq!((again.address(), again.text), (first.address(), first.text));
}

#[test]
fn a_registered_client_whose_contact_is_a_name_is_found_without_a_route() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let register = request("REGISTER", "r1", "z9hG4bKr", "")
        .replace("To: <sip:bob@", "To: <sip:alice@")
        .replace("<sip:alice@192.0.2.1>", "<sip:alice@x.invalid>");
    let asked = only(farm.tcp(PHONE, 7, &register));
    let mut answers = farm.udp(asked.address().trim_start_matches("udp "), &response(&asked, "200 OK"));
    answers.extend(farm.timers());
    assert_eq!(answers[0].address(), "connection 7");
    let call = request("INVITE", "c1", "z9hG4bK1", "")
        .replace("sip:bob@198.51.100.1 ", "sip:alice@x.invalid ")
        .replace("To: <sip:bob@", "To: <sip:alice@")
        .replace("UDP 192.0.2.1;", "UDP 10.0.0.1;");
    assert_eq!(flow(&only(farm.udp(SERVER, &call))), Some((7, false)));
}
