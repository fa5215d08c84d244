//! What passes at engines that have no record, and what does not pass: deaths of a proxy's engine, strangers, requests outside
//! dialogs.

use base::Duration;

use super::proxy::{SECOND, answered, proxy, within};
use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_callee, of_caller, response};
use crate::Mode;

const STRANGER: &str = "10.6.6.6:5060";

fn outside(method: &str, uri: &str) -> String {
    INVITE
        .replace("INVITE sip:bob@farm.example", &format!("{method} {uri}"))
        .replace("7 INVITE", &format!("7 {method}"))
}

#[test]
fn a_call_that_is_up_survives_every_death() {
    let mut world = proxy(2);
    let invite = answered(&mut world, 0);
    world.kill(0);
    world.holds = true;
    world.deliver(1, CALLER, &within("ACK", 7, "ack", &invite, true));
    world.expect(CALLEE, "ACK");
    world.deliver(1, CALLEE, &within("BYE", 1, "bye", &invite, false));
    let bye = world.expect(CALLER, "BYE sip:alice@10.0.0.1:5060");
    world.deliver(1, CALLER, &response(&bye, "200 OK", "", ""));
    world.expect(CALLEE, "SIP/2.0 200");
    assert!(world.asks.is_empty());
}

#[test]
fn a_ringing_call_is_taken_over_and_rings_once() {
    let mut world = proxy(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    let ringing = world.expect(CALLER, "SIP/2.0 180");
    world.kill(0);
    let repeated = world.expect(CALLEE, "INVITE");
    assert_eq!(repeated.replace(";e=2", ";e=1"), invite, "the same request");
    world.deliver(1, CALLEE, &response(&repeated, "180 Ringing", "bob", CONTACT));
    assert_eq!(world.expect(CALLER, "SIP/2.0 180"), ringing);
    world.deliver(1, CALLER, &INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL"));
    world.expect(CALLER, "SIP/2.0 200");
    world.expect(CALLEE, "CANCEL");
    world.deliver(1, CALLEE, &response(&invite, "487 Request Terminated", "bob", ""));
    world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 487");
    world.deliver(1, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn an_answer_passes_at_an_engine_that_knows_nothing_of_the_call() {
    let mut world = proxy(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    // The owner is dead, and nobody knows it; the store does not answer.
    world.engines[0] = None;
    world.holds = true;
    world.deliver(1, CALLEE, &ok);
    world.expect(CALLER, "SIP/2.0 200");
    world.holds = false;
    world.carry_out();
    world.pass(Duration::from_secs(120));
    // What the owner was handed, and a copy that the callee's transaction takes.
    let branch = field(&invite, "Via").replace(";e=1", ";e=2");
    world.sent.retain(|(to, text)| to.to_string() != "10.1.0.1:5099" && !text.contains(&branch));
    world.expect_nothing();
    assert_eq!(world.records().0, 0);
}

#[test]
fn an_answer_waits_for_no_store_and_is_written_when_it_is_back() {
    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.away = true;
    world.deliver(0, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.records(), (1, 0));
    world.away = false;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.records(), (0, 1));
    world.expect_nothing();
}

#[test]
fn a_fork_whose_answer_the_store_did_not_take_is_written_later_and_rings_nobody() {
    let mut world = World::with(1, |settings| {
        settings.mode = Mode::Proxy;
        settings.to.push(format!("sip:{SECOND}").into_bytes().into());
    });
    world.deliver(0, CALLER, INVITE);
    let (first, other) = (world.expect(CALLEE, "INVITE"), world.expect(SECOND, "INVITE"));
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, SECOND, &response(&other, "180 Ringing", "carol", ""));
    world.expect(CALLER, "SIP/2.0 180");
    world.away = true;
    world.deliver(0, CALLEE, &response(&first, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
    let cancel = world.expect(SECOND, "CANCEL");
    world.deliver(0, SECOND, &response(&cancel, "200 OK", "carol", ""));
    world.pass(Duration::from_millis(4500));
    world.away = false;
    world.pass(Duration::from_secs(2));
    world.deliver(0, SECOND, &response(&other, "487 Request Terminated", "carol", ""));
    assert_eq!(world.records(), (0, 1));
    world.sent.retain(|(to, _)| to.to_string() != SECOND);
    world.pass(Duration::from_secs(60));
    world.expect_nothing();
}

#[test]
fn a_stranger_gets_nothing_passed_and_no_look_into_the_store() {
    let mut world = proxy(1);
    let invite = answered(&mut world, 0);
    world.holds = true;
    world.asks.clear();
    let bye = within("BYE", 8, "x", &invite, true);
    let route = format!("Route: {}\r\n", field(&invite, "Record-Route"));
    let last = &route[route.len() - 4..route.len() - 3];
    let other = if last == "a" { "b" } else { "a" };
    let changed = format!("{}{other}>\r\n", &route[..route.len() - 4]);
    for forged in [
        bye.replace(&route, ""),
        bye.replace(&route, &changed),
        bye.replace(&route, "Route: <sip:10.0.0.5:5060;lr>\r\n"),
        bye.replace(&route, "Route: <sip:10.0.0.7:5060;lr>\r\n"),
        bye.replace("call-1@a.example", "another"),
    ] {
        world.deliver(0, STRANGER, &forged);
        world.expect(STRANGER, "SIP/2.0 481");
        if forged.contains(&changed) || forged.contains("another") {
            world.deliver(0, STRANGER, &forged.replace("BYE", "ACK"));
        }
    }
    let elsewhere = "Route: <sip:10.0.0.7:5060;lr>\r\nSubject";
    for request in [INVITE.to_owned(), outside("MESSAGE", "sip:bob@farm.example")] {
        let request = request.replace("call-1", "call-2").replace("Subject", elsewhere);
        world.deliver(0, STRANGER, &request);
        let said = world.expect(STRANGER, "SIP/2.0 403");
        world.deliver(
            0,
            STRANGER,
            &of_caller("ACK", 7, "invite", field(&said, "To")).replace("call-1", "call-2"),
        );
    }
    world.expect_nothing();
    assert!(world.asks.is_empty(), "{:?}", world.asks);
    // Answers that nobody of the farm has asked for.
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    for forged in [
        ok.replace("branch=z9hG4bKinvite", "branch=z9hG4bKother"),
        ok.replace("SIP/2.0/UDP 10.0.0.1:5060", "SIP/2.0/UDP 10.0.0.7:5060"),
        ok.replace("7 INVITE", "8 INVITE"),
    ] {
        world.deliver(0, STRANGER, &forged);
    }
    world.deliver(0, CALLER, &within("INFO", 8, "info", &invite, true));
    let info = world.expect(CALLEE, "INFO");
    let ok = response(&info, "200 OK", "", "");
    world.deliver(0, STRANGER, &ok.replace("z9hG4bKinfo", "z9hG4bKother"));
    world.expect_nothing();
}

#[test]
fn requests_outside_dialogs_pass_to_the_first_target_and_their_answers_back() {
    for (mode, at) in [(Mode::B2bua, 0), (Mode::Proxy, 1)] {
        let mut world = World::with(2, |settings| settings.mode = mode);
        for method in ["MESSAGE", "INFO", "NOTIFY", "OPTIONS", "FETCH"] {
            world.deliver(0, CALLER, &outside(method, "sip:bob@farm.example"));
            let passed = world.expect(CALLEE, &format!("{method} sip:bob@10.0.0.9:5060 SIP/2.0"));
            assert_eq!(field(&passed, "From"), "\"Alice\" <sip:alice@a.example>;tag=alice");
            assert_eq!((field(&passed, "Max-Forwards"), field(&passed, "Max-Breadth")), ("69", "60"));
            world.deliver(at, CALLEE, &response(&passed, "404 Not Found", "bob", ""));
            let said = world.expect(CALLER, "SIP/2.0 404");
            assert_eq!(field(&said, "Via"), "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKinvite");
        }
        world.deliver(0, CALLER, &outside("OPTIONS", "sip:farm.example"));
        world.expect(CALLER, "SIP/2.0 200");
        for method in ["REGISTER", "PUBLISH", "SUBSCRIBE", "REFER"] {
            world.deliver(0, CALLER, &outside(method, "sip:bob@farm.example"));
            match mode {
                Mode::B2bua => drop(world.expect(CALLER, "SIP/2.0 405")),
                Mode::Proxy => {
                    let passed = world.expect(CALLEE, method);
                    let begins = matches!(method, "SUBSCRIBE" | "REFER");
                    assert_eq!(passed.contains("Record-Route: <sip:10.0.0.5:5060;lr;k="), begins, "{passed}");
                }
            }
        }
        world.expect_nothing();
        assert!(world.asks.is_empty());
    }
}

#[test]
fn the_load_manager_in_front_gets_what_leaves_and_we_are_an_outbound_proxy() {
    let lb = "10.0.0.2:5060";
    let mut world = World::with(1, |settings| {
        settings.mode = Mode::Proxy;
        settings.route = Some(format!("<sip:{lb};lr>").into_bytes().into());
    });
    let through_us = INVITE.replace("Subject", "Route: <sip:10.0.0.5:5060;lr>\r\nSubject");
    world.deliver(0, CALLER, &through_us);
    let invite = world.expect(lb, "INVITE sip:bob@10.0.0.9:5060");
    assert_eq!(invite.matches("Route: ").count(), 2, "{invite}");
    assert_eq!(field(&invite, "Route"), format!("<sip:{lb};lr>"));
    assert!(field(&invite, "Via").starts_with("SIP/2.0/UDP 10.0.0.5:5060;rport;e=1;"));
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, lb, &response(&invite, "180 Ringing", "bob", ""));
    world.expect(CALLER, "SIP/2.0 180");
    let cancel = through_us.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL");
    world.deliver(0, CALLER, &cancel);
    world.expect(CALLER, "SIP/2.0 200");
    let cancel = world.expect(lb, "CANCEL");
    assert_eq!(field(&cancel, "Route"), format!("<sip:{lb};lr>"));
}

#[test]
fn each_side_finds_us_where_it_can_reach_us() {
    let mut world = World::with(1, |settings| {
        settings.mode = Mode::Proxy;
        settings.to = vec![format!("sip:{CALLEE};transport=tcp").into_bytes().into()];
        settings.listeners.push(crate::Address {
            transport: sip::Transport::Tcp,
            sent_by: b"10.0.0.5:5061"[..].into(),
            is_ipv4: true,
        });
    });
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE sip:bob@10.0.0.9:5060;transport=tcp");
    let entries: Vec<&str> =
        invite.split("\r\n").filter_map(|line| line.strip_prefix("Record-Route: ")).collect();
    assert!(entries[0].starts_with("<sip:10.0.0.5:5061;transport=tcp;lr;k="), "{invite}");
    assert!(entries[1].starts_with("<sip:10.0.0.5:5060;lr;k="), "{invite}");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
    let both = format!("{},{}", entries[0], entries[1]);
    let bye = within("BYE", 1, "bye", &invite, false).replace(entries[0], &both);
    world.deliver(0, CALLEE, &bye);
    let passed = world.expect(CALLER, "BYE sip:alice@10.0.0.1:5060");
    assert!(!passed.contains("Route:"), "{passed}");
    assert!(field(&passed, "Via").starts_with("SIP/2.0/UDP 10.0.0.5:5060;"), "{passed}");
}

#[test]
fn a_failure_is_acknowledged_when_the_call_is_gone() {
    let mut world = proxy(2);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let busy = response(&invite, "486 Busy Here", "bob", "");
    world.deliver(0, CALLEE, &busy);
    let first = world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 486");
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (0, 1));
    world.deliver(0, CALLEE, &busy);
    assert_eq!(world.expect(CALLEE, "ACK"), first, "its ACK was lost");
    world.deliver(0, STRANGER, &busy.replace("branch=z9hG4bKinvite", "branch=z9hG4bKother"));
    world.expect_nothing();
}

#[test]
fn an_answer_goes_back_by_the_connection_of_the_request_at_the_engine_that_has_it() {
    let id = sip::ConnectionId { worker: 0, slot: 3, generation: 9 };
    let mut world = World::with(2, |settings| {
        settings.mode = Mode::Proxy;
        settings.listeners.push(crate::Address {
            transport: sip::Transport::Tcp,
            sent_by: b"10.0.0.5:5060"[..].into(),
            is_ipv4: true,
        });
    });
    let remote = "10.0.0.1:40000".parse().expect("an address");
    let flow = sip::Flow { listener: 1, transport: sip::Transport::Tcp, remote, connection: Some(id) };
    world.deliver_on(0, flow, &outside("MESSAGE", "sip:bob@farm.example").replace("/UDP", "/TCP"));
    let passed = world.expect(CALLEE, "MESSAGE");
    let to = "10.0.0.1:5060".parse().expect("an address");
    for at in 0..2 {
        world.deliver(at, CALLEE, &response(&passed, "202 Accepted", "bob", ""));
        world.expect(CALLER, "SIP/2.0 202");
        let expected = match at {
            0 => sip::Target::Connection { listener: 1, id, to, or_connect: true },
            _ => sip::Target::Stream { listener: 1, to },
        };
        assert_eq!(world.last, Some(expected));
    }
}

#[test]
fn strict_routers_before_and_behind_us_are_served() {
    let mut world = proxy(1);
    let invite = answered(&mut world, 0);
    let bye = within("BYE", 8, "bye", &invite, true);
    let own = field(&invite, "Record-Route").trim_matches(['<', '>']);
    let route = format!("Route: <{own}>");
    let strict = bye
        .replace("BYE sip:bob@10.0.0.9:5060", &format!("BYE {own}"))
        .replace(&route, "Route: <sip:10.0.0.3;lr>\r\nRoute: <sip:bob@10.0.0.9:5060>");
    world.deliver(0, CALLER, &strict);
    let passed = world.expect("10.0.0.3:5060", "BYE sip:bob@10.0.0.9:5060 SIP/2.0");
    assert_eq!(field(&passed, "Route"), "<sip:10.0.0.3;lr>");
    let behind = bye.replace(&route, &format!("{route}, <sip:10.0.0.3>,<sip:10.0.0.4;lr>"));
    world.deliver(0, CALLER, &behind);
    let passed = world.expect("10.0.0.3:5060", "BYE sip:10.0.0.3 SIP/2.0");
    assert!(passed.contains("Route: <sip:10.0.0.4;lr>\r\nRoute: <sip:bob@10.0.0.9:5060>\r\n"), "{passed}");
}

#[test]
fn an_invite_that_comes_on_two_ways_rings_once() {
    for mode in [Mode::B2bua, Mode::Proxy] {
        let mut world = World::with(1, |settings| settings.mode = mode);
        world.deliver(0, CALLER, INVITE);
        let invite = world.expect(CALLEE, "INVITE");
        world.expect(CALLER, "SIP/2.0 100");
        let other_way = INVITE.replace("z9hG4bKinvite", "z9hG4bKother");
        world.deliver(0, SECOND, &other_way);
        let said = world.expect(SECOND, "SIP/2.0 482");
        world.deliver(0, SECOND, &of_caller("ACK", 7, "other", field(&said, "To")));
        world.deliver(0, CALLER, INVITE);
        world.expect(CALLER, "SIP/2.0 100");
        world.expect_nothing();
        // Another target of one upstream fork is another call.
        world.deliver(
            0,
            SECOND,
            &other_way.replace("sip:bob@farm", "sip:carol@farm").replace("other", "third"),
        );
        world.expect(CALLEE, "INVITE sip:carol@");
        world.sent.clear();
        // A call that has failed may be tried again on another way.
        world.deliver(0, CALLEE, &response(&invite, "486 Busy Here", "bob", ""));
        world.expect(CALLEE, "ACK");
        let said = world.expect(CALLER, "SIP/2.0 486");
        world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
        world.deliver(0, SECOND, &other_way);
        world.expect(CALLEE, "INVITE sip:bob@");
    }
}

#[test]
fn requests_of_a_dialog_without_record_route_leave_by_the_load_manager() {
    let lb = "10.0.0.5:5060";
    let mut world =
        World::with(2, |settings| settings.route = Some(format!("<sip:{lb};lr>").into_bytes().into()));
    world.deliver(0, lb, INVITE);
    let invite = world.expect(lb, "INVITE sip:bob@10.0.0.9:5060");
    world.expect(lb, "SIP/2.0 100");
    world.deliver(0, lb, &response(&invite, "200 OK", "bob", CONTACT));
    let ok = world.expect(lb, "SIP/2.0 200");
    let to = field(&ok, "To").to_owned();
    world.deliver(0, lb, &of_caller("ACK", 7, "ack", &to));
    world.expect(lb, "ACK sip:bob@10.0.0.9:5060");
    // Of either side, from any engine.
    world.deliver(1, lb, &of_caller("INFO", 8, "info", &to));
    let info = world.expect(lb, "INFO sip:bob@10.0.0.9:5060");
    assert_eq!(field(&info, "Route"), format!("<sip:{lb};lr>"));
    world.deliver(1, lb, &of_callee("BYE", 1, "bye", &invite));
    world.expect(lb, "BYE sip:alice@10.0.0.1:5060");
}
