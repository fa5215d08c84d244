//! Servers of one state tier go on with each other's calls: which messages go to which of them, and what is not done for the one
//! that failed.

use base::Duration;
use heartbeat::{Heartbeat, ServerState};
use sip::Target;

use super::farm::*;
use crate::counters::Counter;
use crate::farm::server::ServerId;
use crate::settings::*;

/// A To tag that names a record of the state tier.
const RECORD: &str = "sabcdefghijklmnopqrstuvwxyz234567aa";

/// The servers 1 to 3 have one state tier; 4 has none.
fn tier_with(settings: Settings) -> Farm {
    let mut farm = Farm::new(settings);
    for last in 1..=3 {
        beat(&mut farm, last, ServerState::Started);
    }
    farm
}

fn tier() -> Farm {
    tier_with(Settings { hold_setup: HoldSetup::All, ..settings(Affinity::Tag, Selection::RoundRobin) })
}

fn beat(farm: &mut Farm, last: u8, state: ServerState) {
    let plain = Heartbeat::plain(last.into(), 5060, state);
    let heartbeat = Heartbeat { state_tier: Some(9), period_ms: Some(30_000), ..plain };
    farm.table.heartbeat(farm.now, [10, 0, 0, last].into(), &heartbeat).unwrap();
    farm.publish();
}

fn fail(farm: &mut Farm, server: &str) {
    farm.now = farm.now + Duration::from_millis(1);
    beat(farm, last_of(server), ServerState::Stopped);
}

fn last_of(server: &str) -> u8 {
    server.strip_prefix("10.0.0.").unwrap().strip_suffix(":5060").unwrap().parse().unwrap()
}

/// The server's address alone.
fn place(left: &Left) -> String {
    left.address().split(' ').nth(1).unwrap().to_owned()
}

/// The answer of an engine: its To tag names the record.
fn of_record(request: &Left, status: &str) -> String {
    response(request, status).replace("tag=bob", &format!("tag={RECORD}"))
}

fn invite(farm: &mut Farm, call: &str) -> Left {
    only(farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), "")))
}

/// An INVITE at an engine, which rings.
fn ringing(farm: &mut Farm, call: &str) -> Left {
    let invite = invite(farm, call);
    if place(&invite) != "10.0.0.4:5060" {
        only(farm.udp(&place(&invite), &of_record(&invite, "180 Ringing")));
        return invite;
    }
    // The turn was that of the server without a tier.
    only(farm.udp(&place(&invite), &response(&invite, "486 Busy Here")));
    ringing(farm, &format!("{call}x"))
}

/// The same, and the engine has failed: the INVITE as it went to the next.
fn moved(farm: &mut Farm, call: &str) -> (Left, Left) {
    let first = ringing(farm, call);
    fail(farm, &place(&first));
    let next = only(farm.timers());
    assert!(next.start_line().starts_with("INVITE") && place(&next) != place(&first), "{next:?}");
    (first, next)
}

/// How often this server is said to have answered.
fn answered(farm: &Farm, server: &str) -> u64 {
    let snapshot = farm.shared.snapshot();
    let server = snapshot.by_address(server.parse().unwrap()).unwrap();
    farm.shared.tables.evidence.totals(server.seat.slot).answered
}

#[test]
fn a_held_set_up_goes_on_in_the_tier_and_the_former_holder_is_not_cancelled() {
    let mut farm = tier();
    for number in 0..30 {
        let (first, next) = moved(&mut farm, &format!("c{number}"));
        assert_ne!(place(&next), "10.0.0.4:5060", "it knows nothing of the call");
        // It was not dead: its late provisional answer is one of the same call.
        let late = only(farm.udp(&place(&first), &of_record(&first, "180 Ringing")));
        assert_eq!(
            (late.address().as_str(), late.start_line()),
            ("udp 192.0.2.1:5060", "SIP/2.0 180 Ringing")
        );
        let answer = only(farm.udp(&place(&first), &of_record(&first, "200 OK")));
        assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
        farm.now = farm.now + Duration::from_millis(1);
        assert!(farm.timers().is_empty(), "nobody is cancelled");
        beat(&mut farm, last_of(&place(&first)), ServerState::Started);
    }
    assert_eq!(farm.shared.held.counts().cancelled, 0);
}

#[test]
fn the_failure_of_a_survivor_passes_with_the_via_of_whatever_copy() {
    for known in [false, true] {
        let mut farm = tier();
        let first = ringing(&mut farm, "c1");
        let survivor =
            ["10.0.0.1:5060", "10.0.0.2:5060"].into_iter().find(|at| *at != place(&first)).unwrap();
        if known {
            fail(&mut farm, &place(&first));
            assert_eq!(farm.timers().len(), 1);
        }
        // It has found the record, which has the INVITE as the first got it.
        let rings = only(farm.udp(survivor, &of_record(&first, "180 Ringing")));
        assert_eq!(rings.start_line(), "SIP/2.0 180 Ringing");
        let busy = only(farm.udp(survivor, &of_record(&first, "486 Busy Here")));
        assert_eq!(
            (busy.address().as_str(), busy.start_line()),
            ("udp 192.0.2.1:5060", "SIP/2.0 486 Busy Here")
        );
        let call = first.field("Call-ID").unwrap().to_owned();
        let ack = only(farm.udp(CLIENT, &from_client("ACK", &call, &format!("z9hG4bK{call}"), RECORD, "")));
        assert_eq!(place(&ack), survivor, "known: {known}");
        assert_eq!(farm.shared.held.counts().acknowledged, 0);
    }
}

#[test]
fn an_answer_counts_for_the_server_that_gave_it() {
    for hold_setup in [HoldSetup::Off, HoldSetup::All] {
        let settings = Settings { hold_setup, ..settings(Affinity::Tag, Selection::RoundRobin) };
        let mut farm = tier_with(settings);
        let first = ringing(&mut farm, "c1");
        let other = ["10.0.0.1:5060", "10.0.0.2:5060"].into_iter().find(|at| *at != place(&first)).unwrap();
        let before = (answered(&farm, &place(&first)), answered(&farm, other));
        only(farm.udp(other, &of_record(&first, "180 Ringing")));
        let after = (answered(&farm, &place(&first)), answered(&farm, other));
        assert_eq!(after, (before.0, before.1 + 1), "{hold_setup:?}");
        // The same of a response that is not parsed: our Via is its second line, and another follows.
        let asked = loop {
            let asked = only(
                farm.udp(CLIENT, &request("OPTIONS", &format!("o{}", farm.now.as_millis()), "z9hG4bKo", "")),
            );
            farm.now = farm.now + Duration::from_millis(1);
            if place(&asked) == place(&first) {
                break asked;
            }
        };
        let before = (answered(&farm, &place(&first)), answered(&farm, other));
        only(farm.udp(other, &response(&asked, "200 OK")));
        let after = (answered(&farm, &place(&first)), answered(&farm, other));
        assert_eq!(after, (before.0, before.1 + 1), "{hold_setup:?}");
        // Nobody else speaks for a server of the tier.
        only(farm.udp("10.0.0.4:5060", &of_record(&first, "180 Ringing")));
        assert_eq!(answered(&farm, &place(&first)), before.0 + 1);
    }
}

#[test]
fn only_a_refusal_without_a_record_is_tried_at_another_engine() {
    let held = Settings {
        hold_setup: HoldSetup::All,
        retry_refused: true,
        ..settings(Affinity::Tag, Selection::RoundRobin)
    };
    let retry = |text: String| text.replace("Content-Length", "Retry-After: 5\r\nContent-Length");
    for status in ["500 Broken", "503 Service Unavailable", "504 Server Time-out"] {
        for full in [false, true] {
            let mut farm = tier_with(held.clone());
            let first = ringing(&mut farm, "c1");
            let said = of_record(&first, status);
            let said = if full { retry(said) } else { said };
            let passed = only(farm.udp(&place(&first), &said));
            assert!(passed.start_line().ends_with(status), "{passed:?}");
            // A callee's words, not the engine's.
            assert_eq!(passed.field("Retry-After").is_some(), full);
            assert!(farm.shared.probes.take_results().is_empty());
            assert!(farm.timers().is_empty());
        }
    }
    for (status, full, elsewhere) in [
        ("503 Service Unavailable", true, true),
        ("503 Service Unavailable", false, true),
        ("500 Broken", false, false),
        ("504 Server Time-out", false, false),
    ] {
        let mut farm = tier_with(held.clone());
        let first = ringing(&mut farm, "c1");
        let said = response(&first, status);
        let said = if full { retry(said) } else { said };
        let left = only(farm.udp(&place(&first), &said));
        assert_eq!(left.start_line().starts_with("ACK"), elsewhere, "{status}: {left:?}");
        assert_eq!(farm.timers().len(), usize::from(elsewhere), "{status}");
    }
}

#[test]
fn a_late_refusal_without_a_record_does_not_end_the_call_that_rings_at_another() {
    let mut farm = tier();
    let first = invite(&mut farm, "c1");
    assert_ne!(place(&first), "10.0.0.4:5060");
    farm.now = farm.now + Duration::from_secs(9);
    let next = farm.timers().into_iter().find(|left| place(left) != place(&first)).expect("silent for 9 s");
    only(farm.udp(&place(&next), &of_record(&next, "180 Ringing")));
    let ack = only(farm.udp(&place(&first), &response(&first, "503 Service Unavailable")));
    assert!(ack.start_line().starts_with("ACK") && place(&ack) == place(&first), "{ack:?}");
    let answer = only(farm.udp(&place(&next), &of_record(&next, "200 OK")));
    assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
}

#[test]
fn a_cancel_follows_its_invite() {
    for heard in [false, true] {
        let mut farm = tier();
        let first = ringing(&mut farm, "c1");
        let call = first.field("Call-ID").unwrap().to_owned();
        let sent = farm.udp(CLIENT, &request("CANCEL", &call, &format!("z9hG4bK{call}"), ""));
        assert_eq!(sent[0].start_line(), "SIP/2.0 200 OK");
        let cancel = only(farm.timers());
        assert!(cancel.start_line().starts_with("CANCEL") && place(&cancel) == place(&first));
        if heard {
            // It has told the tier, and dies.
            farm.udp(&place(&first), &response(&cancel, "200 OK"));
        }
        fail(&mut farm, &place(&first));
        let next = only(farm.timers());
        assert!(next.start_line().starts_with("INVITE") && place(&next) != place(&first), "{next:?}");
        only(farm.udp(&place(&next), &of_record(&next, "180 Ringing")));
        let again = farm.timers();
        match heard {
            true => assert!(again.is_empty(), "{again:?}"),
            false => {
                let again = only(again);
                assert!(
                    again.start_line().starts_with("CANCEL") && place(&again) == place(&next),
                    "{again:?}"
                );
            }
        }
        let ended = only(farm.udp(&place(&next), &of_record(&next, "487 Request Terminated")));
        assert_eq!(ended.start_line(), "SIP/2.0 487 Request Terminated");
    }
}

#[test]
fn the_only_server_of_a_tier_is_waited_for() {
    let only_one = settings(Affinity::Tag, Selection::RoundRobin);
    let servers = only_one.servers[..1].to_vec();
    let mut farm = Farm::new(Settings { hold_setup: HoldSetup::All, servers, ..only_one });
    beat(&mut farm, 1, ServerState::Started);
    let first = ringing(&mut farm, "c1");
    farm.wait(60);
    fail(&mut farm, &place(&first));
    assert!(farm.timers().is_empty(), "the caller is not told that the call is lost");
    farm.now = farm.now + Duration::from_millis(500);
    let copy = only(farm.timers());
    assert_eq!((&copy.text, place(&copy)), (&first.text, place(&first)));
    beat(&mut farm, 1, ServerState::Started);
    for status in ["180 Ringing", "200 OK"] {
        assert!(only(farm.udp(&place(&first), &of_record(&first, status))).start_line().ends_with(status));
    }
    // If it does not come back, the caller hears of it when timer B has ended.
    let mut farm = Farm::new(Settings {
        hold_setup: HoldSetup::All,
        servers: settings(Affinity::Tag, Selection::RoundRobin).servers[..1].to_vec(),
        ..settings(Affinity::Tag, Selection::RoundRobin)
    });
    beat(&mut farm, 1, ServerState::Started);
    let first = ringing(&mut farm, "c1");
    fail(&mut farm, &place(&first));
    farm.timers();
    let mut answers = Vec::new();
    for _ in 0..70 {
        farm.now = farm.now + Duration::from_millis(500);
        let left = farm.timers();
        answers.extend(left.into_iter().filter(|left| left.start_line().starts_with("SIP/2.0")));
    }
    assert_eq!(answers[0].start_line(), "SIP/2.0 408 Request Timeout");
}

/// A request of an engine to a client.
fn from_engine(server: &str, method: &str, call: &str, engine: u32) -> String {
    format!(
        "{method} sip:alice@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP {server};rport;e={engine};branch=z9hG4bK{call}{method}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag={RECORD}\r\nTo: <sip:alice@example.com>\r\n\
         Call-ID: {call}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

const PHONE: &str = "192.0.2.1:5070";

#[test]
fn a_clients_answer_to_an_engine_that_failed_goes_to_one_that_lives() {
    for method in ["INVITE", "OPTIONS", "MESSAGE"] {
        let mut takers = Vec::new();
        for number in 0..40 {
            let mut farm = tier();
            let sent = only(
                farm.udp("10.0.0.2:5060", &from_engine("10.0.0.2:5060", method, &format!("c{number}"), 2)),
            );
            assert_eq!(sent.address(), format!("udp {PHONE}"));
            let there = only(farm.udp(PHONE, &response(&sent, "180 Ringing")));
            assert_eq!(place(&there), "10.0.0.2:5060");
            // Longer than a stamp is believed elsewhere.
            farm.now = farm.now + Duration::from_secs(20 + 30 * (number % 10));
            for last in [1, 3] {
                beat(&mut farm, last, ServerState::Started);
            }
            fail(&mut farm, "10.0.0.2:5060");
            farm.now = farm.now + Duration::from_secs(1);
            let taken: Vec<String> = ["180 Ringing", "200 OK"]
                .map(|status| place(&only(farm.udp(PHONE, &response(&sent, status)))))
                .into();
            assert_eq!(taken[0], taken[1]);
            takers.push(taken[0].clone());
        }
        takers.sort();
        takers.dedup();
        assert_eq!(takers, ["10.0.0.1:5060", "10.0.0.3:5060"], "{method}");
    }
}

#[test]
fn with_nobody_left_in_the_tier_a_clients_answer_goes_to_the_engine_that_asked() {
    let mut farm = tier();
    let sent = only(farm.udp("10.0.0.2:5060", &from_engine("10.0.0.2:5060", "INVITE", "c", 2)));
    farm.now = farm.now + Duration::from_secs(1);
    for last in 1..=3 {
        fail(&mut farm, &format!("10.0.0.{last}:5060"));
    }
    // It may be back in a moment; a server without the tier would not know the call.
    assert_eq!(place(&only(farm.udp(PHONE, &response(&sent, "200 OK")))), "10.0.0.2:5060");
}

#[test]
fn a_request_within_a_dialog_goes_to_the_engine_that_gets_the_answers_of_the_call() {
    for affinity in [Affinity::Tag, Affinity::Session] {
        let mut takers = Vec::new();
        for number in 0..40 {
            let mut farm = tier_with(settings(affinity, Selection::RoundRobin));
            let call = format!("c{number}");
            farm.udp(CLIENT, &request("OPTIONS", "o", "z9hG4bKo", ""));
            let (invite, answer) = establish(&mut farm, &call);
            let bye = from_client("BYE", &call, "z9hG4bKbye", "bob", &routes(&answer));
            assert_eq!(only(farm.udp(CLIENT, &bye)).address(), invite.address());
            if place(&invite) == "10.0.0.4:5060" {
                continue;
            }
            // Another engine asks within the dialog, and fails.
            let other = if place(&invite) == "10.0.0.1:5060" { "10.0.0.3:5060" } else { "10.0.0.1:5060" };
            let routes_back: String =
                invite.fields("Record-Route").iter().map(|entry| format!("Route: {entry}\r\n")).collect();
            let info = from_engine(other, "INFO", &call, 1)
                .replace("Max-Forwards", &format!("{routes_back}Max-Forwards"))
                .replace("tag=sabcdefghijklmnopqrstuvwxyz234567aa", "tag=bob")
                .replace("<sip:alice@example.com>", "<sip:alice@example.com>;tag=alice");
            let asked = only(farm.udp(other, &info));
            assert_eq!(asked.address(), format!("udp {PHONE}"));
            assert_eq!(place(&only(farm.udp(PHONE, &response(&asked, "200 OK")))), other, "it asked");
            fail(&mut farm, &place(&invite));
            assert_eq!(place(&only(farm.udp(PHONE, &response(&asked, "200 OK")))), other, "and it lives");
            fail(&mut farm, other);
            let taken = only(farm.udp(CLIENT, &bye));
            let lives = (1..=3).map(|last| format!("10.0.0.{last}:5060"));
            let lives: Vec<_> = lives.filter(|at| *at != place(&invite) && at != other).collect();
            assert_eq!(lives, [place(&taken)], "{affinity:?}");
            assert_eq!(place(&only(farm.udp(PHONE, &response(&asked, "200 OK")))), lives[0]);
            takers.push(place(&taken));
        }
        assert!(takers.len() > 20);
    }
}

#[test]
fn a_request_that_two_engines_ask_a_client_is_of_the_one_that_asked_last() {
    let mut farm = tier();
    let over_tcp = |server, engine| {
        from_engine(server, "INVITE", "c1", engine).replace("SIP/2.0/UDP 10.0.0.1", "SIP/2.0/TCP farm")
    };
    // Both write the address of the farm: the same branch, and so one transaction at the client.
    let (one, two) = ("10.0.0.1:5060", "10.0.0.2:5060");
    let sent = only(farm.tcp(one, 1, &over_tcp(one, 1)));
    let again = only(farm.tcp(two, 2, &over_tcp(one, 2)));
    assert_eq!((sent.address(), again.address()), (format!("udp {PHONE}"), format!("udp {PHONE}")));
    let branch = |left: &Left| {
        left.fields("Via")[0].split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned()
    };
    assert_eq!(branch(&sent), branch(&again));
    // Our copies are those of the engine that asked last.
    farm.now = farm.now + Duration::from_millis(500);
    assert_eq!(only(farm.timers()).text, again.text);
    for status in ["180 Ringing", "200 OK"] {
        let back = only(farm.udp(PHONE, &response(&sent, status)));
        assert!(matches!(back.to, Target::Connection { id, .. } if id.slot == 2), "{back:?}");
        assert_eq!(back.start_line(), format!("SIP/2.0 {status}"));
        let vias = back.fields("Via");
        assert!(
            vias.len() == 1 && vias[0].contains(";e=2;") && vias[0].contains("received=10.0.0.2"),
            "{vias:?}"
        );
    }
    assert_eq!(farm.shared.held.counts().cancelled, 0);
    assert_eq!(farm.count(Counter::LateResponse), 0);
}

#[test]
fn servers_of_other_tiers_take_nothing_over_from_each_other() {
    let mut farm = tier();
    let plain = Heartbeat::plain(2, 5060, ServerState::Started);
    for (last, tier) in [(1, 1), (2, 2), (3, 3)] {
        let heartbeat = Heartbeat { state_tier: Some(tier), ..plain };
        farm.table.heartbeat(farm.now, [10, 0, 0, last].into(), &heartbeat).unwrap();
    }
    farm.publish();
    let first = ringing(&mut farm, "c1");
    fail(&mut farm, &place(&first));
    let next = only(farm.timers());
    let late = only(farm.udp(&place(&first), &of_record(&first, "180 Ringing")));
    assert!(late.start_line().starts_with("CANCEL") && place(&late) == place(&first), "{late:?}");
    let snapshot = farm.shared.snapshot();
    let id = |left: &Left| ServerId::of(place(left).parse().unwrap());
    assert!(!snapshot.are_of_one_tier(id(&first), id(&next)));
}

/// The server with this heartbeat id comes back at another address; its heartbeats are signed.
fn moves(farm: &mut Farm, id: u8, to: u8) {
    let count = farm.now.as_micros();
    let heartbeat = Heartbeat {
        state_tier: Some(9),
        period_ms: Some(30_000),
        count: Some(count),
        sip_address: Some([10, 0, 0, to].into()),
        ..Heartbeat::plain(id.into(), 5060, ServerState::Started)
    };
    let heard = farm.table.heartbeat(farm.now, [10, 0, 0, to].into(), &heartbeat).unwrap();
    assert_eq!(heard.moved_from, Some(([10, 0, 0, id], 5060).into()));
    farm.publish();
}

#[test]
fn the_calls_of_an_engine_that_came_back_at_another_address_go_on() {
    for departs in ["moves", "is taken out"] {
        let mut settings =
            Settings { hold_setup: HoldSetup::All, ..settings(Affinity::Tag, Selection::RoundRobin) };
        settings.keys.heartbeat = Some(b"0123456789abcdef".to_vec().into());
        let mut farm = Farm::new(settings);
        let said = |farm: &mut Farm, last: u8, state| {
            farm.now = farm.now + Duration::from_millis(1);
            let heartbeat = Heartbeat {
                state_tier: Some(9),
                period_ms: Some(30_000),
                count: Some(farm.now.as_micros()),
                sip_address: Some([10, 0, 0, last].into()),
                ..Heartbeat::plain(last.into(), 5060, state)
            };
            farm.table.heartbeat(farm.now, [10, 0, 0, last].into(), &heartbeat).unwrap();
            farm.publish();
        };
        for last in 1..=3 {
            said(&mut farm, last, ServerState::Started);
        }
        farm.udp(CLIENT, &request("OPTIONS", "o", "z9hG4bKo", ""));
        let (invite, answer) = establish(&mut farm, "c1");
        assert_eq!(place(&invite), "10.0.0.2:5060");
        let asked = only(farm.udp("10.0.0.2:5060", &from_engine("10.0.0.2:5060", "OPTIONS", "c9", 2)));
        said(&mut farm, 2, ServerState::Stopped);
        farm.now = farm.now + Duration::from_millis(1);
        match departs {
            "moves" => moves(&mut farm, 2, 77),
            _ => farm.kill("10.0.0.2:5060"),
        }
        let of_tier = ["10.0.0.1:5060", "10.0.0.3:5060", "10.0.0.77:5060"];
        for call in 0..20 {
            let bye = from_client("BYE", "c1", &format!("z9hG4bKbye{call}"), "bob", &routes(&answer));
            assert!(of_tier.contains(&place(&only(farm.udp(CLIENT, &bye))).as_str()), "{departs}");
        }
        let taken = only(farm.udp(PHONE, &response(&asked, "200 OK")));
        assert!(of_tier.contains(&place(&taken).as_str()), "{departs}: {}", place(&taken));
        // It is there again.
        if departs == "is taken out" {
            said(&mut farm, 2, ServerState::Started);
            assert_eq!(place(&only(farm.udp(PHONE, &response(&asked, "200 OK")))), "10.0.0.2:5060");
        }
    }
}
