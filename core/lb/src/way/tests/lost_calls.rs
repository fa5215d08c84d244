//! Message flows in which a call was once lost or went to the wrong server.

use super::farm::*;
use crate::counters::Counter;
use crate::outbox::Event;
use crate::settings::*;
use base::Duration;

/// The server's address alone.
fn place(left: &Left) -> String {
    left.address().split(' ').nth(1).unwrap().to_owned()
}

/// A request of a server to the client's own address.
fn from_server(server: &str, method: &str, call: &str, branch: &str, more: &str) -> String {
    format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch={branch}\r\n{more}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=server\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: {call}\r\nCSeq: 1 {method}\r\nContact: <sip:{server}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn one_branch_of_a_forking_proxy_fails_and_the_other_can_still_be_cancelled() {
    for (affinity, selection) in
        [(Affinity::Tag, Selection::RoundRobin), (Affinity::Session, Selection::RoundRobin)]
    {
        let mut farm = Farm::of(affinity, selection);
        for call in 0..20 {
            let call = format!("c{call}");
            let rings = only(farm.udp(CLIENT, &request("INVITE", &call, "z9hG4bKone", "")));
            let busy = only(farm.udp(CLIENT, &request("INVITE", &call, "z9hG4bKtwo", "")));
            assert_eq!(rings.address(), busy.address());
            farm.udp(&place(&rings), &response(&rings, "180 Ringing"));
            farm.udp(&place(&busy), &response(&busy, "486 Busy Here"));
            farm.wait(60);
            let cancel = only(farm.udp(CLIENT, &request("CANCEL", &call, "z9hG4bKone", "")));
            assert_eq!(cancel.address(), rings.address(), "{affinity:?}");
        }
    }
}

#[test]
fn hash_affinity_keeps_a_call_that_a_draining_server_did_not_take() {
    let mut farm = Farm::of(Affinity::Hash, Selection::Hash);
    let drained = "10.0.0.1:5060".parse().unwrap();
    assert!(farm.table.drain(farm.now, drained, true));
    farm.publish();
    for call in 0..40 {
        let call = format!("c{call}");
        let (invite, answer) = establish(&mut farm, &call);
        assert_ne!(place(&invite), "10.0.0.1:5060");
        farm.wait(60);
        let bye = only(farm.udp(CLIENT, &from_client("BYE", &call, "z9hG4bK2", "bob", &routes(&answer))));
        assert_eq!(bye.address(), invite.address());
    }
}

#[test]
fn a_call_that_a_server_began_ends_at_that_server_in_every_affinity() {
    for (affinity, selection) in [
        (Affinity::Tag, Selection::RoundRobin),
        (Affinity::Session, Selection::RoundRobin),
        (Affinity::Hash, Selection::Hash),
    ] {
        let mut farm = Farm::of(affinity, selection);
        for call in 0..20 {
            let (call, server) = (format!("c{call}"), "10.0.0.2:5060");
            let invite = only(farm.udp(server, &from_server(server, "INVITE", &call, "z9hG4bKs", "")));
            assert_eq!(invite.address(), "udp 192.0.2.1:5060");
            let answer = only(farm.udp(CLIENT, &response(&invite, "200 OK")));
            assert_eq!(place(&answer), server);
            farm.wait(60);
            let route: String =
                invite.fields("Record-Route").iter().map(|entry| format!("Route: {entry}\r\n")).collect();
            let bye = from_client("BYE", &call, "z9hG4bKc", "server", &route).replace("tag=alice", "tag=bob");
            assert_eq!(place(&only(farm.udp(CLIENT, &bye))), server, "{affinity:?}");
        }
    }
}

#[test]
fn hash_affinity_keeps_a_set_up_that_a_silent_server_lost() {
    let mut farm =
        Farm::new(Settings { hold_setup: HoldSetup::All, ..settings(Affinity::Hash, Selection::Hash) });
    let silent = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    farm.now = farm.now + Duration::from_secs(9);
    let moved = only(farm.timers());
    assert_ne!(moved.address(), silent.address());
    let answer = only(farm.udp(&place(&moved), &response(&moved, "200 OK")));
    farm.wait(60);
    let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK2", "bob", &routes(&answer))));
    assert_eq!(bye.address(), moved.address());
}

#[test]
fn a_call_is_at_the_server_that_answered_it_though_its_set_up_had_moved_on() {
    for (affinity, selection) in [
        (Affinity::Tag, Selection::RoundRobin),
        (Affinity::Session, Selection::RoundRobin),
        (Affinity::Hash, Selection::Hash),
    ] {
        let mut farm = Farm::new(Settings { hold_setup: HoldSetup::All, ..settings(affinity, selection) });
        let silent = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
        farm.now = farm.now + Duration::from_secs(9);
        let moved = only(farm.timers());
        assert_ne!(moved.address(), silent.address());
        farm.udp(&place(&moved), &response(&moved, "180 Ringing"));
        let left = farm.udp(&place(&silent), &response(&silent, "200 OK"));
        let answer = left.iter().find(|left| left.start_line() == "SIP/2.0 200 OK").expect("the answer");
        for method in ["ACK", "BYE"] {
            let text = from_client(method, "c1", "z9hG4bK2", "bob", &routes(answer));
            assert_eq!(only(farm.udp(CLIENT, &text)).address(), silent.address(), "{affinity:?} {method}");
        }
    }
}

#[test]
fn a_call_whose_first_copy_was_not_held_is_not_given_to_another_once_its_server_was_heard() {
    for status in ["180 Ringing", "200 OK"] {
        let given = settings(Affinity::Tag, Selection::RoundRobin);
        let mut farm = Farm::new(Settings { hold_setup: HoldSetup::Off, ..given });
        let invite = request("INVITE", "c1", "z9hG4bK1", "");
        let unheld = only(farm.udp(CLIENT, &invite));
        farm.set(|settings| settings.hold_setup = HoldSetup::All);
        farm.udp(CLIENT, &invite);
        assert_eq!(farm.shared.held.counts().kept, 1, "the second copy is held");
        assert_eq!(farm.udp(&place(&unheld), &response(&unheld, status)).len(), 1);
        farm.now = farm.now + Duration::from_secs(9);
        let elsewhere = |left: &Left| left.address() != unheld.address();
        assert!(!farm.timers().iter().any(elsewhere), "{status}: nobody else rings");
    }
}

#[test]
fn a_copy_that_crossed_the_2xx_is_sent_again_but_goes_to_no_other_server() {
    for answers in [false, true] {
        let given = settings(Affinity::Tag, Selection::RoundRobin);
        let mut farm = Farm::new(Settings { hold_setup: HoldSetup::Off, ..given });
        let text = request("INVITE", "c1", "z9hG4bK1", "");
        let invite = only(farm.udp(CLIENT, &text));
        farm.set(|settings| settings.hold_setup = HoldSetup::All);
        if answers {
            only(farm.udp(&place(&invite), &response(&invite, "200 OK")));
        }
        // The client has come back on a stream, and repeats nothing itself.
        let copy = only(farm.tcp(CLIENT, 5, &text.replace("/UDP", "/TCP")));
        assert_eq!(copy.address(), invite.address());
        farm.now = farm.now + Duration::from_millis(500);
        assert_eq!(only(farm.timers()).address(), invite.address());
        farm.kill(&place(&invite));
        let elsewhere = farm.timers().iter().any(|left| left.address() != invite.address());
        assert_eq!(elsewhere, !answers);
    }
}

#[test]
fn a_call_made_while_two_keys_were_in_use_outlives_the_older_one() {
    let keys = |keys: &[(u8, u8)]| {
        let tag = keys.iter().map(|(id, byte)| (*id, [*byte; 16].into())).collect();
        let keys = Keys { tag, heartbeat: None };
        Farm::new(Settings { keys, ..settings(Affinity::Tag, Selection::RoundRobin) })
    };
    let (mut during, mut after) = (keys(&[(2, 2), (1, 1)]), keys(&[(2, 2)]));
    for call in 0..16 {
        let call = format!("c{call}");
        let (invite, answer) = establish(&mut during, &call);
        let bye = only(after.udp(CLIENT, &from_client("BYE", &call, "z9hG4bK2", "bob", &routes(&answer))));
        assert_eq!(bye.address(), invite.address());
    }
    assert_eq!(after.count(Counter::ForgedTag), 0);
}

#[test]
fn a_route_to_us_as_outbound_proxy_before_our_own_entry_hides_no_tag() {
    for before in ["Route: <sip:198.51.100.1;lr>\r\n", "Route: <sip:198.51.100.1:5060;transport=udp;lr>\r\n"]
    {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        for call in 0..16 {
            let call = format!("c{call}");
            let (invite, answer) = establish(&mut farm, &call);
            farm.wait(60);
            let route = format!("{before}{}", routes(&answer));
            let bye = only(farm.udp(CLIENT, &from_client("BYE", &call, "z9hG4bK2", "bob", &route)));
            assert_eq!(bye.address(), invite.address());
            assert_eq!(bye.field("Route"), None, "{}", bye.text);
        }
    }
}

#[test]
fn what_is_held_and_can_be_sent_no_more_is_answered_once() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let large =
        request("INVITE", "c1", "z9hG4bK1", "").replace("Length: 0", "Length: 65000") + &"x".repeat(65_000);
    let invite = only(farm.tcp("192.0.2.1:40000", 3, &large));
    assert!(invite.address().starts_with("tcp ") && invite.fallback.is_none(), "too large for a datagram");
    farm.send_failed(invite.to);
    farm.now = farm.now + Duration::from_millis(600);
    let answer = only(farm.timers());
    assert_eq!(
        (answer.address(), answer.start_line()),
        ("connection 3".into(), "SIP/2.0 513 Message Too Large")
    );
    assert!(farm.shared.held.is_empty());
    for _ in 0..40 {
        farm.wait(1);
        assert!(farm.timers().is_empty(), "nothing is left that could answer again");
    }
}

#[test]
fn a_set_up_moves_to_a_server_that_a_listener_reaches() {
    let mut given = settings(Affinity::Tag, Selection::RoundRobin);
    given.servers.truncate(1);
    let mut farm = Farm::new(given);
    let invite = only(farm.tcp("192.0.2.1:40000", 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    for address in ["[2001:db8::1]:5060", "[2001:db8::2]:5060", "10.0.0.9:5060"] {
        let (address, transport) = (address.parse().unwrap(), sip::Transport::Udp);
        farm.table.add(farm.now, &ServerEntry::at(address, transport)).unwrap();
    }
    farm.publish();
    farm.kill(&invite.address());
    let moved = only(farm.timers());
    assert_eq!(moved.address(), "udp 10.0.0.9:5060", "{}", moved.text);
}

#[test]
fn the_record_of_a_take_over_says_what_was_taken_over() {
    for (method, said) in
        [("INVITE", "server failed during call set-up"), ("MESSAGE", "server failed before it answered")]
    {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let sent = only(farm.tcp("192.0.2.1:40000", 3, &request(method, "c1", "z9hG4bK1", "")));
        farm.kill(&sent.address());
        farm.timers();
        let Some(Event::TakenOver { why, .. }) = farm.events.pop() else { panic!("no record of {method}") };
        assert_eq!(why, said);
    }
}

#[test]
fn the_callee_of_a_proxy_that_leaves_the_path_can_hang_up() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for call in 0..16 {
        let call = format!("c{call}");
        let (invite, _) = establish(&mut farm, &call);
        farm.wait(60);
        // The server has sent the INVITE straight to the callee, whose route set is our entry alone.
        let route: String =
            invite.fields("Record-Route").iter().map(|entry| format!("Route: {entry}\r\n")).collect();
        let bye = from_server("203.0.113.9:5060", "BYE", &call, "z9hG4bKc", &route);
        let sent = only(farm.udp("203.0.113.9:5060", &bye));
        assert_eq!(sent.address(), invite.address(), "the proxy sends it on by its Request-URI");
        assert_eq!(sent.start_line(), "BYE sip:alice@192.0.2.1 SIP/2.0");
        assert_eq!(sent.field("Route"), None);
        let answer = only(farm.udp(&place(&sent), &response(&sent, "200 OK")));
        assert_eq!(answer.address(), "udp 203.0.113.9:5060");
    }
}

#[test]
fn a_call_that_one_branch_answered_counts_though_the_other_was_cancelled() {
    let mut farm = Farm::of(Affinity::Tag, Selection::Cjsq);
    let one = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bKone", "")));
    let two = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bKtwo", "")));
    let counted = |farm: &Farm| {
        let rows = farm.table.rows(farm.now);
        rows.iter().map(|row| row.in_progress.unwrap_or(0)).sum::<u32>()
    };
    farm.udp(&place(&one), &response(&one, "200 OK"));
    farm.udp(&place(&two), &response(&two, "487 Request Terminated"));
    assert_eq!(counted(&farm), 100, "hundredths");
    let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bKbye", "bob", "")));
    farm.udp(&place(&bye), &response(&bye, "200 OK"));
    assert_eq!(counted(&farm), 0);
}

#[test]
fn our_name_in_a_route_is_ours() {
    let names = vec!["sip.example.com".into()];
    let mut farm = Farm::new(Settings { names, ..settings(Affinity::Tag, Selection::RoundRobin) });
    for route in ["<sip:SIP.example.com;lr>", "<sip:sip.example.com:5060;transport=tcp;lr>"] {
        let text = request("INVITE", route, "z9hG4bK1", &format!("Route: {route}\r\n"));
        let invite = only(farm.udp(CLIENT, &text));
        assert!(invite.field("Route").is_none(), "{}", invite.text);
    }
    let other = request("INVITE", "c2", "z9hG4bK1", "Route: <sip:sip.example.net;lr>\r\n");
    assert_eq!(only(farm.udp(CLIENT, &other)).field("Route"), Some("<sip:sip.example.net;lr>"));
}

#[test]
fn a_call_of_another_load_manager_behind_the_same_one_is_found_by_its_tag() {
    let named = |names: &[&str]| Settings {
        names: names.iter().map(|name| (*name).into()).collect(),
        ..settings(Affinity::Tag, Selection::RoundRobin)
    };
    for known in [true, false] {
        // The load manager that is gone wrote this Route; its address is not ours.
        let mut farm = Farm::new(named(if known { &["192.0.2.77:5060"] } else { &[] }));
        let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
        let server = invite.address();
        let ours = invite.field("Record-Route").unwrap().to_owned();
        let own_address = ours.split(['<', ';']).nth(1).unwrap();
        let route = format!("Route: {}\r\n", ours.replace(own_address, "sip:192.0.2.77:5060"));
        let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK2", "bob", &route)));
        assert_eq!(bye.field("Route").is_none(), known, "{}", bye.text);
        if known {
            assert_eq!(bye.address(), server);
        }
    }
}

#[test]
fn a_client_with_a_contact_that_only_it_can_resolve_is_reached_on_its_connection() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = only(farm.tcp("192.0.2.1:40000", 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let forward: String =
        invite.fields("Record-Route").iter().map(|ours| format!("Route: {ours}\r\n")).collect();
    let bye = |target: &str| {
        format!(
            "BYE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKs\r\n{forward}Max-Forwards: 70\r\n\
             From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: c1\r\n\
             CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for transport in [";transport=tcp", ""] {
        let sent = only(farm.udp(&server, &bye(&format!("sip:alice@laptop.invalid{transport}"))));
        assert_eq!(sent.address(), "connection 3");
    }
}
