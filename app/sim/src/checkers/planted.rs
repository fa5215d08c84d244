//! Each checker can fail: the test plants a fault that no real network has, and the checker finds it.

use base::{Duration, Time};
use lb::settings::{Affinity, Selection};
use sip::Transport;

use crate::callers::Plan;
use crate::farm::{Farm, Plant};
use crate::fate::Manners;
use crate::link::{Packet, Weather};
use crate::phones;
use crate::scenario::{Kind, Scenario, address};

/// Two calls by UDP through one load manager, and a phone; the server hangs up one of the calls.
fn scenario(kind: Kind) -> Scenario {
    let mut scenario = Scenario::drawn(0, kind);
    scenario.weather = Weather::FAIR;
    scenario.server_transport = Transport::Udp;
    scenario.managers.truncate(1);
    scenario.faults.clear();
    scenario.clocks = Default::default();
    scenario.agents = false;
    scenario.manners =
        Manners { refuses_permille: 0, hangs_up_permille: 1000, rings: Duration::from_secs(2) };
    scenario.servers = vec![address(2, 1), address(2, 2)];
    let settings = &mut scenario.managers[0];
    settings.servers.truncate(2);
    settings.servers.iter_mut().for_each(|server| server.transport = Transport::Udp);
    (settings.affinity, settings.selection) = (Affinity::Tag, Selection::RoundRobin);
    let manager = settings.listeners[0].advertise;
    let call = |talks| Plan {
        transport: Transport::Udp,
        manager,
        starts: Time::from_secs(1),
        talks: Duration::from_secs(talks),
        patience: None,
    };
    scenario.calls = vec![call(1), call(60)];
    scenario.phones = vec![phones::Plan {
        transport: Transport::Udp,
        manager,
        starts: Time::from_secs(1),
        pause: Duration::from_secs(1),
        registrations: 1,
    }];
    scenario
}

/// Runs the scenario with this fault: the checkers of these names find it, and no others do.
fn finds(kind: Kind, plant: Plant, names: &[&str]) {
    let mut farm = Farm::new(scenario(kind));
    farm.plant = Some(plant);
    let farm = farm.run();
    let wrong = super::all(&farm);
    let found = |name: &str| wrong.iter().any(|line| line.starts_with(&format!("{name}: ")));
    for (name, _) in super::ALL {
        assert_eq!(found(name), names.contains(&name), "{name}: {wrong:#?}");
    }
}

fn has(packet: &Packet, start: &str, sequence: &str) -> bool {
    let text = String::from_utf8_lossy(&packet.bytes);
    text.starts_with(start) && text.contains(&format!("CSeq: {sequence}\r\n"))
}

fn changed(mut packet: Packet, from: &str, to: &str) -> Packet {
    packet.bytes = String::from_utf8_lossy(&packet.bytes).replacen(from, to, 1).into_bytes();
    packet
}

fn is_for(packet: &Packet, network: u8) -> bool {
    packet.to.to_string().starts_with(&format!("10.0.{network}."))
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    finds(Kind::Calm, |packet| vec![packet], &[]);
    finds(Kind::Forged, |packet| vec![packet], &[]);
}

#[test]
fn a_refused_bye_of_a_caller_is_found() {
    let plant: Plant = |packet| match has(&packet, "SIP/2.0 200", "2 BYE") && is_for(&packet, 3) {
        true => vec![changed(packet, "200 OK", "500 Sorry")],
        false => vec![packet],
    };
    finds(Kind::Calm, plant, &["every call ends"]);
}

#[test]
fn a_refused_bye_of_a_server_is_found() {
    let plant: Plant = |packet| match has(&packet, "SIP/2.0 200", "1 BYE") && is_for(&packet, 2) {
        true => vec![changed(packet, "200 OK", "481 Sorry")],
        false => vec![packet],
    };
    finds(Kind::Calm, plant, &["hung up from both sides"]);
}

#[test]
fn an_answer_to_another_caller_is_found() {
    let plant: Plant = |packet| match has(&packet, "SIP/2.0 200", "1 INVITE") && is_for(&packet, 3) {
        true => {
            let other = if packet.to == address(3, 1) { 2 } else { 1 };
            vec![Packet { to: address(3, other), ..packet.clone() }, packet]
        }
        false => vec![packet],
    };
    finds(Kind::Calm, plant, &["no stray"]);
}

#[test]
fn a_call_at_two_servers_is_found() {
    let plant: Plant = |packet| match has(&packet, "INVITE", "1 INVITE") && is_for(&packet, 2) {
        true => {
            let other = if packet.to == address(2, 1) { 2 } else { 1 };
            vec![Packet { to: address(2, other), ..packet.clone() }, packet]
        }
        false => vec![packet],
    };
    let mut farm = Farm::new(scenario(Kind::Calm));
    farm.plant = Some(plant);
    let wrong = super::all(&farm.run());
    assert!(wrong.iter().any(|line| line.starts_with("one server: ")), "{wrong:#?}");
}

#[test]
fn a_telephone_that_rings_twice_is_found() {
    let plant: Plant = |packet| match has(&packet, "INVITE", "1 INVITE") && is_for(&packet, 2) {
        true => vec![changed(packet.clone(), ";branch=z9hG4bK", ";branch=z9hG4bKx"), packet],
        false => vec![packet],
    };
    let mut farm = Farm::new(scenario(Kind::Calm));
    farm.plant = Some(plant);
    let wrong = super::all(&farm.run());
    assert!(wrong.iter().any(|line| line.starts_with("rings once: ")), "{wrong:#?}");
}

#[test]
fn a_bye_of_a_server_that_nobody_answers_is_found() {
    let plant: Plant = |packet| if has(&packet, "BYE", "1 BYE") { Vec::new() } else { vec![packet] };
    let mut farm = Farm::new(scenario(Kind::Calm));
    farm.plant = Some(plant);
    let wrong = super::all(&farm.run());
    assert!(wrong.iter().any(|line| line.starts_with("hung up from both sides: ")), "{wrong:#?}");
}

#[test]
fn a_server_that_talks_to_nobody_is_found() {
    let mut scenario = scenario(Kind::Calm);
    scenario.manners.hangs_up_permille = 0;
    scenario.calls.truncate(1);
    let mut farm = Farm::new(scenario);
    farm.plant = Some(|packet| if has(&packet, "BYE", "2 BYE") { Vec::new() } else { vec![packet] });
    let wrong = super::all(&farm.run());
    assert!(wrong.iter().any(|line| line.starts_with("nothing left: ")), "{wrong:#?}");
}

#[test]
fn a_refused_registration_is_found() {
    let plant: Plant = |packet| match has(&packet, "SIP/2.0 200", "1 REGISTER") && is_for(&packet, 4) {
        true => vec![changed(packet, "200", "500")],
        false => vec![packet],
    };
    finds(Kind::Calm, plant, &["registered"]);
}

#[test]
fn a_counter_that_is_not_what_callers_saw_is_found() {
    let plant: Plant = |packet| match (has(&packet, "SIP/2.0 ", "2 BYE"), is_for(&packet, 3)) {
        (true, false) => vec![changed(packet, "200 OK", "500 Sorry")],
        (true, true) => vec![changed(packet, "500 Sorry", "200 OK")],
        (false, _) => vec![packet],
    };
    finds(Kind::Calm, plant, &["counters agree"]);
}

#[test]
fn a_living_server_that_is_called_failed_is_found() {
    // A server that is never heard is called failed, but the scenario has no fault to explain that.
    let plant: Plant = |packet| if packet.from == address(2, 1) { Vec::new() } else { vec![packet] };
    let mut farm = Farm::new(scenario(Kind::Forged));
    farm.plant = Some(plant);
    let wrong = super::all(&farm.run());
    assert!(wrong.iter().any(|line| line.starts_with("strangers change nothing: ")), "{wrong:#?}");
}
