//! Whom a request may be for: a callee without an address passes too, and a call for help goes before all.

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;
use crate::shared::Terms;

fn calling(callee: &str, call: &str) -> String {
    request("INVITE", call, &format!("z9hG4bK{call}"), "").replace("sip:bob@198.51.100.1", callee)
}

#[test]
fn telephone_numbers_and_services_pass_as_they_are() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for (call, callee) in ["tel:+49-30-123;phone-context=a", "urn:service:sos.fire"].iter().enumerate() {
        let sent = only(farm.udp(CLIENT, &calling(callee, &format!("c{call}"))));
        assert_eq!(sent.start_line(), format!("INVITE {callee} SIP/2.0"));
        assert!(sent.address().starts_with("udp 10.0.0."), "{}", sent.address());
        // From a server, such requests go along its Route, and without a Route nowhere.
        let route = format!("Route: <sip:192.0.2.77;lr>\r\nVia: SIP/2.0/UDP far{call}\r\n");
        let text = calling(callee, &format!("d{call}"));
        let routed = text.replace("Max-Forwards", &format!("{route}Max-Forwards"));
        assert_eq!(only(farm.udp("10.0.0.1:5060", &routed)).address(), "udp 192.0.2.77:5060");
        let answer = only(farm.udp("10.0.0.1:5060", &text));
        assert!(answer.start_line().starts_with("SIP/2.0 404"), "{}", answer.text);
    }
    let answer = only(farm.udp(CLIENT, &calling("soap.beep://192.0.2.1", "c9")));
    assert!(answer.start_line().starts_with("SIP/2.0 416"), "{}", answer.text);
}

#[test]
fn a_call_for_help_is_not_turned_away_while_a_server_lives() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);

    farm.change(Terms::closing);
    let refused = only(farm.udp(CLIENT, &calling("urn:service:counseling", "c1")));
    assert!(refused.start_line().starts_with("SIP/2.0 503"), "{}", refused.text);
    for server in 1..=4 {
        farm.table.drain(farm.now, std::net::SocketAddr::from(([10, 0, 0, server], 5060)), true);
    }
    farm.publish();
    let help = calling("urn:service:sos", "c2");
    let sent = only(farm.udp(CLIENT, &help));
    assert_eq!(sent.start_line(), "INVITE urn:service:sos SIP/2.0");
    assert_eq!(only(farm.udp(CLIENT, &help)).address(), sent.address(), "repeated");
    let cancel = only(farm.udp(CLIENT, &help.replace("INVITE", "CANCEL")));
    assert_eq!(cancel.address(), sent.address());
    assert_eq!(farm.count(Counter::NoServer), 0);
    for server in 1..=4 {
        farm.kill(&format!("10.0.0.{server}:5060"));
    }
    let refused = only(farm.udp(CLIENT, &calling("urn:service:sos", "c3")));
    assert!(refused.start_line().starts_with("SIP/2.0 503"), "{}", refused.text);
}
