//! Whole messages through the router: which messages come in, which go out, and to whom.

use std::collections::HashMap;

use super::farm::*;
use crate::counters::Counter;
use crate::outbox::Event;
use crate::settings::*;
use base::Duration;

#[test]
fn a_request_gets_via_record_route_and_one_hop_less() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite =
        only(farm.udp("192.0.2.1:6000", &request("INVITE", "c1", "z9hG4bK1", "Via: SIP/2.0/UDP far\r\n")));
    let vias = invite.fields("Via");
    assert!(vias[0].starts_with("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK"), "{}", invite.text);
    assert_eq!(&vias[1..], ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", "SIP/2.0/UDP far"]);
    assert!(invite.field("Record-Route").unwrap().starts_with("<sip:198.51.100.1:5060;lr;farmtag="));
    assert_eq!(invite.field("Max-Forwards"), Some("69"));
    assert_eq!(invite.field("Max-Breadth"), Some("60"));
    assert!(invite.address().starts_with("udp 10.0.0."));
}

#[test]
fn a_response_goes_back_by_our_via_alone() {
    for affinity in [Affinity::Tag, Affinity::Session, Affinity::Hash] {
        let selection = if affinity == Affinity::Hash { Selection::Hash } else { Selection::RoundRobin };
        let mut farm = Farm::of(affinity, selection);
        let (_, answer) = establish(&mut farm, "c1");
        assert_eq!(answer.address(), "udp 192.0.2.1:5060");
        assert_eq!(answer.fields("Via"), ["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-c1"]);
    }
}

#[test]
fn another_load_manager_with_the_same_keys_forwards_the_response_and_the_dialog() {
    let mut one = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let mut other = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for call in 0..16 {
        let call = format!("c{call}");
        let invite = only(one.udp(CLIENT, &request("INVITE", &call, "z9hG4bK1", "")));
        let answer = only(other.udp("10.0.0.1:5060", &response(&invite, "200 OK")));
        assert_eq!(answer.address(), "udp 192.0.2.1:5060");
        let bye = only(other.udp(CLIENT, &from_client("BYE", &call, "z9hG4bK2", "bob", &routes(&answer))));
        assert_eq!(bye.address(), invite.address());
    }
}

#[test]
fn requests_of_a_dialog_reach_its_server_in_every_affinity() {
    for (affinity, selection) in [
        (Affinity::Tag, Selection::RoundRobin),
        (Affinity::Session, Selection::Tlwl),
        (Affinity::Hash, Selection::Hash),
    ] {
        let mut farm = Farm::of(affinity, selection);
        let mut servers = HashMap::new();
        for call in 0..64 {
            let call = format!("c{call}");
            let (invite, answer) = establish(&mut farm, &call);
            for (method, branch) in [("ACK", "z9hG4bK-a"), ("INFO", "z9hG4bK-i"), ("BYE", "z9hG4bK-b")] {
                let text = from_client(method, &call, branch, "bob", &routes(&answer));
                let sent = only(farm.udp(CLIENT, &text));
                assert_eq!(sent.address(), invite.address(), "{method} in {affinity:?}");
                assert!(sent.field("Route").is_none(), "our own Route is taken out: {}", sent.text);
            }
            *servers.entry(invite.address()).or_insert(0) += 1;
        }
        assert_eq!(servers.len(), 4, "{servers:?}");
    }
}

#[test]
fn tag_affinity_remembers_nothing_after_32_seconds() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let calls: Vec<_> = (0..100).map(|call| format!("c{call}")).collect();
    let established: Vec<_> = calls.iter().map(|call| establish(&mut farm, call)).collect();
    assert_eq!(farm.shared.calls.known_calls().len(), 100);
    for _ in 0..80 {
        farm.wait(1);
    }
    assert_eq!(farm.shared.calls.known_calls().len(), 0);
    for (call, (invite, answer)) in calls.iter().zip(&established) {
        let bye = only(farm.udp(CLIENT, &from_client("BYE", call, "z9hG4bK-b", "bob", &routes(answer))));
        assert_eq!(bye.address(), invite.address());
    }
}

#[test]
fn retransmission_cancel_and_failed_ack_find_the_server_and_the_branch_while_servers_come_and_go() {
    for (affinity, selection, hash) in [
        (Affinity::Tag, Selection::RoundRobin, HashKind::Consistent),
        (Affinity::Session, Selection::RoundRobin, HashKind::Consistent),
        (Affinity::Hash, Selection::Hash, HashKind::Modulo),
        (Affinity::Hash, Selection::Hash, HashKind::Cascade),
        (Affinity::Hash, Selection::Hash, HashKind::Consistent),
    ] {
        let mut farm = Farm::new(Settings { hash, ..settings(affinity, selection) });
        let calls: Vec<_> = (0..40).map(|call| format!("c{call}")).collect();
        let send = |farm: &mut Farm, method: &str, call: &str, to_tag: &str| {
            only(farm.udp(CLIENT, &from_client(method, call, &format!("z9hG4bK{call}"), to_tag, "")))
        };
        let first: Vec<_> = calls.iter().map(|call| send(&mut farm, "INVITE", call, "")).collect();
        let idle = "10.0.0.1:5060";
        let address = std::net::SocketAddr::from(([10, 0, 0, 5], 5060));
        let transport = sip::Transport::Udp;
        farm.table.add(farm.now, &ServerEntry::at(address, transport)).unwrap();
        farm.publish();
        farm.kill(idle);
        farm.wait(20);
        for (call, invite) in calls.iter().zip(&first) {
            if invite.address().contains(idle) {
                continue;
            }
            let branch = |left: &Left| left.fields("Via")[0].split(";hop=").next().unwrap().to_owned();
            for (method, to_tag) in [("INVITE", ""), ("CANCEL", ""), ("ACK", "bob")] {
                let again = send(&mut farm, method, call, to_tag);
                assert_eq!(again.address(), invite.address(), "{method} in {affinity:?} {hash:?}");
                assert_eq!(branch(&again), branch(invite));
            }
        }
    }
}

#[test]
fn a_call_that_rings_for_three_minutes_can_be_cancelled() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invites: Vec<_> = (0..20)
        .map(|call| {
            let call = format!("c{call}");
            let invite = only(farm.udp(CLIENT, &request("INVITE", &call, "z9hG4bK1", "")));
            farm.udp("10.0.0.1:5060", &response(&invite, "180 Ringing"));
            (call, invite)
        })
        .collect();
    farm.wait(180);
    for (call, invite) in invites {
        let cancel = only(farm.udp(CLIENT, &request("CANCEL", &call, "z9hG4bK1", "")));
        assert_eq!(cancel.address(), invite.address());
    }
}

#[test]
fn a_dead_servers_calls_go_to_one_other_server_with_a_record() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    farm.kill(&invite.address());
    let ack = only(farm.udp(CLIENT, &from_client("ACK", "c1", "z9hG4bK2", "bob", &routes(&answer))));
    let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK3", "bob", &routes(&answer))));
    assert_ne!(bye.address(), invite.address());
    assert_eq!(bye.address(), ack.address());
    assert_eq!(farm.count(Counter::TakenOver), 2);
    let Event::TakenOver { call_id, method, .. } = &farm.events[1] else { panic!() };
    assert_eq!((&call_id[..], &method[..]), (&b"c1"[..], &b"BYE"[..]));
}

#[test]
fn a_server_reaches_the_client_and_nobody_else_does() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let bye = format!(
        "BYE sip:alice@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKs\r\n{}Max-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: c1\r\n\
         CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        routes(&answer)
    );
    let sent = only(farm.udp(&server, &bye));
    assert_eq!(sent.address(), "udp 192.0.2.1:5070");
    let ok = only(farm.udp("192.0.2.1:5070", &response(&sent, "200 OK")));
    assert_eq!(ok.address(), format!("udp {server}"));
    // The same from outside: the tag of one's own call does not allow one to have us send anywhere.
    let reflected = only(farm.udp("203.0.113.9:5060", &bye));
    assert_eq!(reflected.address(), invite.address(), "it goes to the server of the call");
    assert_eq!(farm.count(Counter::NotAServer), 1);
}

#[test]
fn a_forged_tag_steers_nothing() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    let stolen = routes(&answer);
    let mut hit = 0;
    for call in 0..40 {
        // The tag of another call: bound to its Call-ID, so it says nothing here.
        let text = from_client("BYE", &format!("other{call}"), "z9hG4bKx", "bob", &stolen);
        hit += u32::from(only(farm.udp(CLIENT, &text)).address() == invite.address());
    }
    assert_eq!(farm.count(Counter::ForgedTag), 40);
    assert!(hit < 25, "a quarter of them by hash, not all: {hit}");
}

#[test]
fn responses_with_forged_vias_are_dropped() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    let good = response(&invite, "200 OK");
    let hop = good.split(";hop=").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
    let forged = good.replace(&hop, &hop.replace(&hop[4..6], "AA"));
    for text in [
        forged,
        good.replace(";hop=", ";hip="),
        good.replace("branch=z9hG4bK", "branch=z9hG4bL"),
        good.replacen("Via: ", "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKx\r\nVia: ", 1),
    ] {
        assert!(farm.udp("10.0.0.1:5060", &text).is_empty(), "{text}");
    }
    assert_eq!(farm.count(Counter::ForeignResponse), 4);
}

#[test]
fn without_servers_503_with_retry_after() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for last in 1..=4 {
        farm.kill(&format!("10.0.0.{last}:5060"));
    }
    let answer = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    assert_eq!(answer.start_line(), "SIP/2.0 503 No Server Available");
    assert_eq!(answer.field("Retry-After"), Some("5"));
    assert!(farm.udp(CLIENT, &request("ACK", "c1", "z9hG4bK1", "")).is_empty(), "an ACK is never answered");
    assert_eq!(farm.count(Counter::NoServer), 2);
}

#[test]
fn tcp_to_udp_writes_two_record_routes_and_comes_back_on_the_connection() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = only(farm.tcp("192.0.2.1:40000", 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    assert!(invite.address().starts_with("udp 10.0.0."));
    let routes_in = invite.fields("Record-Route");
    assert_eq!(routes_in.len(), 2);
    assert!(routes_in[0].starts_with("<sip:198.51.100.1:5060;lr;"), "{routes_in:?}");
    assert!(routes_in[1].starts_with("<sip:198.51.100.1:5060;transport=tcp;lr;"), "{routes_in:?}");
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let answer = only(farm.udp(&server, &response(&invite, "200 OK")));
    assert_eq!(answer.address(), "connection 3");
    let ack =
        only(farm.tcp("192.0.2.1:40000", 3, &from_client("ACK", "c1", "z9hG4bK2", "bob", &routes(&answer))));
    assert_eq!(ack.address(), invite.address());
    assert!(ack.field("Route").is_none(), "both of ours are taken out");
    // The server hangs up: its request finds the client's connection, though the client listens nowhere.
    let forward: String = routes_in.iter().map(|route| format!("Route: {route}\r\n")).collect();
    let bye = format!(
        "BYE sip:alice@192.0.2.1:5070;transport=tcp SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKs\r\n{forward}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\n\
         Call-ID: c1\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(only(farm.udp(&server, &bye)).address(), "connection 3");
}

#[test]
fn a_large_request_leaves_by_tcp_with_udp_as_fall_back() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let filler = format!("X-Filler: {}\r\n", "x".repeat(1300));
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", &filler)));
    assert!(invite.address().starts_with("tcp 10.0.0."));
    assert!(matches!(invite.fallback, Some(sip::Target::Datagram { .. })));
    assert!(invite.field("Via").unwrap().starts_with("SIP/2.0/TCP "));
    let ours = invite.fields("Record-Route");
    assert!(ours[0].contains(";transport=tcp;lr") && !ours[1].contains("transport"), "{ours:?}");
}

#[test]
fn a_request_that_came_by_tcp_is_repeated_to_a_server_of_udp() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let first = only(farm.tcp("192.0.2.1:40000", 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    farm.now = farm.now + Duration::from_millis(500);
    let second = only(farm.timers());
    assert_eq!((second.address(), &second.text), (first.address(), &first.text), "the same bytes");
    let server = first.address().trim_start_matches("udp ").to_owned();
    assert_eq!(only(farm.udp(&server, &response(&first, "180 Ringing"))).address(), "connection 3");
    farm.wait(10);
    assert!(farm.timers().is_empty(), "no repetition after a provisional answer");
}

#[test]
fn a_ringing_call_moves_to_another_server_when_its_own_dies() {
    let mut farm =
        Farm::new(Settings { hold_setup: HoldSetup::All, ..settings(Affinity::Tag, Selection::RoundRobin) });
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    let server = invite.address().trim_start_matches("udp ").to_owned();
    farm.udp(&server, &response(&invite, "180 Ringing"));
    farm.kill(&server);
    let moved = only(farm.timers());
    assert_ne!(moved.address(), invite.address());
    assert_eq!(moved.start_line(), invite.start_line());
    let other = moved.address().trim_start_matches("udp ").to_owned();
    let answer = only(farm.udp(&other, &response(&moved, "200 OK")));
    assert_eq!(answer.address(), "udp 192.0.2.1:5060");
    let bye = only(farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK2", "bob", &routes(&answer))));
    assert_eq!(bye.address(), moved.address());
    assert_eq!(farm.count(Counter::SetupMoved), 1);
    assert_eq!(farm.events.len(), 1);
}

#[test]
fn a_server_that_ends_a_connection_while_set_ups_wait_is_asked_whether_it_lives() {
    let mut given = settings(Affinity::Tag, Selection::RoundRobin);
    given.servers.iter_mut().for_each(|server| server.transport = sip::Transport::Tcp);
    let mut farm = Farm::new(given);
    assert!(farm.closed("10.0.0.1:5060").is_empty(), "nothing waits anywhere");
    let invite = only(farm.tcp("192.0.2.1:40000", 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    let server = invite.address().trim_start_matches("tcp ").to_owned();
    farm.tcp(&server, 9, &response(&invite, "180 Ringing"));
    assert!(farm.closed("192.0.2.77:40000").is_empty(), "no server");
    let asked = farm.closed(&server);
    assert_eq!(asked.len(), 2, "one refusal may be a leftover of a restart");
    for options in asked {
        assert_eq!(options.address(), invite.address());
        assert!(options.start_line().starts_with("OPTIONS "), "{}", options.start_line());
    }
}

#[test]
fn a_strict_router_before_us_is_undone() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    let ours = answer.field("Record-Route").unwrap();
    let uri = ours.trim_start_matches('<').trim_end_matches('>');
    let text = from_client("BYE", "c1", "z9hG4bK2", "bob", "Route: <sip:bob@10.0.0.9:5080>\r\n");
    let bye =
        only(farm.udp(CLIENT, &text.replace("sip:bob@198.51.100.1 SIP/2.0", &format!("{uri} SIP/2.0"))));
    assert_eq!(bye.start_line(), "BYE sip:bob@10.0.0.9:5080 SIP/2.0");
    assert_eq!(bye.address(), invite.address());
    assert!(bye.field("Route").is_none());
}

#[test]
fn a_spiral_through_us_keeps_its_two_passages_apart() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let first = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    // The server, a proxy that does not record-route, sends it on to the farm's own address.
    let proxy = first.address().trim_start_matches("udp ").to_owned();
    let via = format!("Via: SIP/2.0/UDP {proxy};branch=z9hG4bKp\r\n");
    let again = first.text.replacen("Via: ", &format!("{via}Via: "), 1);
    let second = only(farm.udp(&proxy, &again));
    let vias = second.fields("Via");
    assert_ne!(
        vias[0].split(";hop").next(),
        vias[2].split(";hop").next(),
        "each passage has a branch of its own"
    );
    assert_eq!(second.address(), first.address(), "one Call-ID, one server");
    assert_eq!(second.field("Max-Forwards"), Some("68"));
}

#[test]
fn bad_requests_are_answered_and_bad_acks_are_not() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let answer =
        only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "").replace("CSeq: 1 ", "CSeq: 1x ")));
    assert!(answer.start_line().starts_with("SIP/2.0 400 "), "{}", answer.text);
    let answer = only(farm.udp(
        CLIENT,
        &request("INVITE", "c1", "z9hG4bK1", "").replace("Max-Forwards: 70", "Max-Forwards: 0"),
    ));
    assert!(answer.start_line().starts_with("SIP/2.0 483 "));
    assert!(
        farm.udp(CLIENT, &request("ACK", "c1", "z9hG4bK1", "").replace("CSeq: 1 ", "CSeq: x ")).is_empty()
    );
    assert!(farm.udp(CLIENT, "\0\0garbage").is_empty());
    assert_eq!(farm.count(Counter::Malformed), 1);
    assert_eq!(farm.count(Counter::BadAck), 1);
}

#[test]
fn counts_of_calls_and_work_return_to_zero() {
    for selection in [Selection::Cjsq, Selection::Tjsq, Selection::Tlwl] {
        for affinity in [Affinity::Tag, Affinity::Session] {
            let mut farm = Farm::of(affinity, selection);
            let ledger = farm.shared.tables.ledger.clone().unwrap();
            let sum = |farm: &Farm| {
                let servers = farm.shared.snapshot();
                servers.servers().iter().map(|server| ledger.count(server.seat.slot)).sum::<u32>()
            };
            for call in 0..20 {
                let call = format!("c{call}");
                let (_, answer) = establish(&mut farm, &call);
                // Retransmissions, both ways, are not counted.
                farm.udp(CLIENT, &request("INVITE", &call, &format!("z9hG4bK-{call}"), ""));
                let bye =
                    only(farm.udp(CLIENT, &from_client("BYE", &call, "z9hG4bKb", "bob", &routes(&answer))));
                let server = bye.address().trim_start_matches("udp ").to_owned();
                for _ in 0..2 {
                    farm.udp(&server, &response(&bye, "200 OK"));
                }
            }
            assert_eq!(sum(&farm), 0, "{selection:?} {affinity:?}");
            // Calls that never end expire.
            for call in 0..20 {
                farm.udp(CLIENT, &request("INVITE", &format!("lost{call}"), "z9hG4bK1", ""));
            }
            assert!(sum(&farm) > 0);
            for _ in 0..300 {
                farm.wait(1);
            }
            assert_eq!(sum(&farm), 0, "{selection:?} {affinity:?} after expiry");
        }
    }
}

#[test]
fn transactions_of_known_calls_count_as_well_as_those_that_make_calls() {
    for (selection, invite) in [(Selection::Tjsq, 100), (Selection::Tlwl, 175)] {
        let mut farm = Farm::of(Affinity::Tag, selection);
        let ledger = farm.shared.tables.ledger.clone().unwrap();
        let counted = |farm: &Farm| {
            let servers = farm.shared.snapshot();
            servers.servers().iter().map(|server| ledger.count(server.seat.slot)).sum::<u32>()
        };
        let (_, answer) = establish(&mut farm, "c1");
        assert_eq!(counted(&farm), 0, "its INVITE was answered");
        let more = [("INFO", "z9hG4bKi"), ("INVITE", "z9hG4bKr"), ("BYE", "z9hG4bKb")];
        let mut sent = Vec::new();
        for (method, branch) in more {
            let text = from_client(method, "c1", branch, "bob", &routes(&answer));
            sent.push(only(farm.udp(CLIENT, &text)));
            farm.udp(CLIENT, &text);
        }
        assert_eq!(counted(&farm), 200 + invite, "{selection:?}: three in progress, each once");
        for request in &sent {
            let server = request.address().trim_start_matches("udp ").to_owned();
            farm.udp(&server, &response(request, "200 OK"));
        }
        assert_eq!(counted(&farm), 0, "{selection:?}");
    }
}

#[test]
fn new_calls_go_to_the_servers_in_the_order_in_which_they_are_named() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let went: Vec<_> = (0..8)
        .map(|n| {
            only(farm.udp(CLIENT, &request("INVITE", &format!("c{n}"), &format!("z9hG4bK{n}"), ""))).address()
        })
        .collect();
    let named: Vec<_> = (0..8).map(|n| format!("udp 10.0.0.{}:5060", n % 4 + 1)).collect();
    assert_eq!(went, named);
}
