//! Servers that open connections and ask to get their requests over them (RFC 5923), proven and unproven.

use std::net::SocketAddr;

use sip::Transport::{self, Tcp, Tls};

use super::farm::{CLIENT, Farm, request, settings};
use crate::counters::Counter;
use crate::settings::*;

const SERVER: &str = "10.0.0.1:40000";

/// A farm of one server on this transport, at 10.0.0.1:5060 (5061 with TLS).
fn farm_of(transport: Transport, tcp_alias: bool) -> Farm {
    let port = if transport == Tls { 5061 } else { 5060 };
    let listener = |transport, port: u16| {
        let address = SocketAddr::from(([198, 51, 100, 1], port));
        Listener { transport, bind: address, advertise: address, name: None }
    };
    let servers = vec![ServerEntry::at(([10, 0, 0, 1], port).into(), transport)];
    let listeners = vec![listener(Transport::Udp, 5060), listener(Tcp, 5060), listener(Tls, 5061)];
    let before = settings(Affinity::Tag, Selection::RoundRobin);
    Farm::new(Settings { listeners, servers, tcp_alias, ..before })
}

/// A request of the server on a connection that it opened, with this sent-by and parameters in its Via.
fn asks(farm: &mut Farm, transport: Transport, slot: u16, sent_by: &str) {
    let listener = if transport == Tls { 2 } else { 1 };
    let text = request("OPTIONS", "options", "z9hG4bKo", "")
        .replace("UDP 192.0.2.1;", &format!("{} {sent_by};", transport.via_token()));
    farm.stream(listener, transport, SERVER, slot, &text);
}

/// Where a new call goes.
fn next(farm: &mut Farm, call: &str) -> String {
    farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), "")).remove(0).address()
}

#[test]
fn over_tls_a_proven_connection_is_used_and_another_is_not() {
    let mut farm = farm_of(Tls, false);
    asks(&mut farm, Tls, 3, "10.0.0.1:5061;alias");
    assert_eq!(next(&mut farm, "waits"), "tcp 10.0.0.1:5061");
    let claim = farm.claims.remove(0);
    assert_eq!((claim.id.slot, claim.address, &claim.name), (3, "10.0.0.1:5061".parse().unwrap(), &None));
    farm.judged(&claim, false);
    assert_eq!(next(&mut farm, "refused"), "tcp 10.0.0.1:5061");
    assert_eq!((farm.count(Counter::AliasRefused), farm.count(Counter::AliasTaken)), (1, 0));
    // The connection is not examined again; another connection is.
    asks(&mut farm, Tls, 3, "10.0.0.1:5061;alias");
    assert!(farm.claims.is_empty());
    asks(&mut farm, Tls, 4, "s1.example.com;alias");
    let claim = farm.claims.remove(0);
    assert_eq!(claim.address, "10.0.0.1:5061".parse().unwrap(), "where it sends from, at the port of TLS");
    assert_eq!(claim.name.as_deref(), Some(&b"s1.example.com"[..]));
    farm.judged(&claim, true);
    assert_eq!(next(&mut farm, "taken"), "connection 4");
    assert_eq!(farm.count(Counter::AliasTaken), 1);
    farm.closed_slot(4);
    assert_eq!(next(&mut farm, "gone"), "tcp 10.0.0.1:5061");
}

#[test]
fn who_does_not_ask_or_names_another_address_gets_nothing() {
    let mut farm = farm_of(Tls, true);
    for (slot, sent_by) in [(1, "10.0.0.1:5061"), (2, "10.0.0.2:5061;alias"), (3, "10.0.0.1:40000;alias")] {
        asks(&mut farm, Tls, slot, sent_by);
        assert!(farm.claims.is_empty(), "{sent_by}");
    }
    assert_eq!(farm.count(Counter::AliasRefused), 1, "the other address");
}

#[test]
fn over_tcp_it_is_for_the_operator_to_say_and_for_servers_alone() {
    for (may, sent_by, to, refused) in [
        (false, "10.0.0.1:5060;alias", "tcp 10.0.0.1:5060", 1),
        (true, "10.0.0.1:5060;alias", "connection 3", 0),
        (true, "10.0.0.1;alias", "connection 3", 0),
        (true, "10.0.0.1", "tcp 10.0.0.1:5060", 0),
        (true, "10.0.0.1:5070;alias", "tcp 10.0.0.1:5060", 1),
        (true, "10.0.0.9:5060;alias", "tcp 10.0.0.1:5060", 1),
    ] {
        let mut farm = farm_of(Tcp, may);
        asks(&mut farm, Tcp, 3, sent_by);
        assert!(farm.claims.is_empty());
        assert_eq!(next(&mut farm, "call"), to, "{may} {sent_by}");
        assert_eq!(farm.count(Counter::AliasRefused), refused, "{may} {sent_by}");
    }
}

#[test]
fn we_ask_servers_on_tls_and_nobody_else() {
    for (transport, expected) in [(Tls, true), (Tcp, false), (Transport::Udp, false)] {
        let mut farm = farm_of(transport, false);
        let left = farm.udp(CLIENT, &request("INVITE", "call", "z9hG4bK1", "")).remove(0);
        let via = left.field("Via").unwrap();
        assert_eq!(via.ends_with(";alias"), expected, "{via}");
    }
}
