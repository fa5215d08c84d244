//! A load manager that others know by a name: the name stands in its Via and Record-Route, and is recognised when it comes back.

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

const NAME: &str = "sbc.example.net";

/// Known by a name alone, as behind an address that is not its own: the sockets are bound to all addresses.
fn farm(names: [&str; 2]) -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    for (listener, name) in settings.listeners.iter_mut().zip(names) {
        let any = "0.0.0.0:5060".parse().unwrap();
        (listener.bind, listener.advertise, listener.name) = (any, any, Some(name.to_owned()));
    }
    Farm::new(settings)
}

#[test]
fn the_name_stands_in_via_and_record_route_and_leads_back() {
    let mut farm = farm([NAME, NAME]);
    let (invite, answer) = establish(&mut farm, "c1");
    assert!(
        invite.field("Via").unwrap().starts_with("SIP/2.0/UDP sbc.example.net;branch=z9hG4bK"),
        "{}",
        invite.text
    );
    let entry = invite.field("Record-Route").unwrap();
    assert!(entry.starts_with("<sip:sbc.example.net;lr;farmtag="), "{entry}");
    assert!(
        answer.start_line().starts_with("SIP/2.0 200"),
        "the response has found its way: {}",
        answer.text
    );
    let server = invite.address();
    // As it was written, with the port, in other letters, with a transport.
    for route in [
        routes(&answer),
        routes(&answer).replace(NAME, "sbc.example.net:5060"),
        routes(&answer).replace(NAME, "SBC.Example.NET"),
        routes(&answer).replace(";lr", ";transport=udp;lr"),
    ] {
        let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK-bye", "bob", &route)));
        assert_eq!((bye.address(), bye.fields("Route").len()), (server.clone(), 0), "{route}");
    }
    // The other name is somebody else's, and the server of the call is no longer known by the Route.
    let foreign = routes(&answer).replace(NAME, "other.example.net");
    let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK-bye2", "bob", &foreign)));
    assert_eq!(bye.fields("Route").len(), 1);
    assert_eq!(farm.count(Counter::ForgedTag), 0);
}

#[test]
fn a_response_is_known_by_the_name_however_the_server_writes_it() {
    let mut farm = farm([NAME, NAME]);
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    let server = invite.address().trim_start_matches("udp ").to_owned();
    for written in ["sbc.example.net:5060", "Sbc.example.net"] {
        let ringing =
            response(&invite, "180 Ringing").replacen("UDP sbc.example.net", &format!("UDP {written}"), 1);
        let left = only(farm.udp(&server, &ringing));
        assert_eq!((left.address(), left.fields("Via").len()), (format!("udp {CLIENT}"), 1), "{written}");
    }
}

#[test]
fn a_name_is_written_with_its_port_and_listeners_are_told_apart() {
    let mut farm = farm(["a.example:5070", "b.example"]);
    let by_tcp = only(farm.tcp(CLIENT, 1, &request("OPTIONS", "c1", "z9hG4bK1", "").replace("/UDP", "/TCP")));
    assert!(
        by_tcp.field("Via").unwrap().starts_with("SIP/2.0/UDP a.example:5070;branch="),
        "{}",
        by_tcp.text
    );
    let invite = request("INVITE", "c2", "z9hG4bK2", "").replace("/UDP", "/TCP");
    let entries = only(farm.tcp(CLIENT, 1, &invite));
    let entries: Vec<&str> =
        entries.fields("Record-Route").iter().map(|e| e.split(";lr").next().unwrap()).collect();
    assert_eq!(entries, ["<sip:a.example:5070", "<sip:b.example;transport=tcp"]);
}
