//! An HTTP request finds the server where SIP has the call, and never a place that is no server.

use super::*;
use crate::farm::condition::Condition;
use crate::settings::{HashKind, Selection, Settings};
use crate::signed::tag::{Direction, Tag};
use crate::way::tests::farm::{CLIENT, Farm, request, settings};
use crate::way::tests::nat::{OUTSIDE, hidden};
use proptest::prelude::*;

/// A farm of four with HTTP at port 8080, and requests to it.
struct Front {
    farm: Farm,
    places: Places,
    chooser: Chooser,
    chance: Chance,
}

fn names() -> Names {
    Names { cookie: "strowger".into(), header: "strowger-session".into(), parameter: "strowger".into() }
}

impl Front {
    fn of(affinity: Affinity) -> Front {
        let selection = if affinity == Affinity::Hash { Selection::Hash } else { Selection::RoundRobin };
        Front::with(Settings { tag_header: true, ..settings(affinity, selection) })
    }

    fn with(settings: Settings) -> Front {
        let places = Places { port: Some(8080), ..Places::default() };
        let chance = Chance::seeded(7);
        Front { farm: Farm::new(settings), places, chooser: Chooser::default(), chance }
    }

    fn asked(&self, target: &str, cookie: &str) -> Asked {
        let head = Head { target, header: &[], cookies: &[cookie.as_bytes()] };
        Asked::read(&self.farm.shared.keys, &names(), head)
    }

    fn get(&mut self, target: &str, cookie: &str) -> Option<Choice> {
        self.get_not(target, cookie, &[])
    }

    fn get_not(&mut self, target: &str, cookie: &str, not: &[ServerId]) -> Option<Choice> {
        let asked = self.asked(target, cookie);
        let snapshot = self.farm.shared.snapshot();
        let view =
            View { now: self.farm.now, shared: &self.farm.shared, snapshot: &snapshot, places: &self.places };
        self.chooser.choose(view, &asked, not, &mut self.chance)
    }

    /// A call through SIP: its server, and the tag that the server got.
    fn call(&mut self, call: &str) -> (SocketAddr, String) {
        let sent = self.farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), ""));
        let server = sent[0].address().trim_start_matches("udp ").parse().unwrap();
        (server, sent[0].field("Strowger-Tag").unwrap().to_owned())
    }
}

fn http_of(server: SocketAddr) -> SocketAddr {
    SocketAddr::new(server.ip(), 8080)
}

#[test]
fn the_tag_of_a_call_leads_to_its_server_in_every_affinity() {
    for affinity in [Affinity::Tag, Affinity::Session, Affinity::Hash] {
        let mut front = Front::of(affinity);
        for number in 0..20 {
            let call = format!("call-{number}@client");
            let (server, tag) = front.call(&call);
            front.farm.wait(100);
            let choice = front.get(&format!("/page?strowger={tag}${call}"), "").unwrap();
            assert_eq!(choice.place, http_of(server), "{affinity:?} {call}");
            let cookie =
                format!("strowger={}", choice.cookie.expect("what the page asks for goes there, too"));
            let next = front.get("/picture", &cookie).unwrap();
            assert_eq!((next.place, next.found, next.cookie), (http_of(server), Found::Tag, None));
        }
    }
}

#[test]
fn the_tag_of_a_call_from_behind_a_nat_leads_to_its_server_too() {
    let mut front = Front::of(Affinity::Tag);
    for number in 0..20 {
        let call = format!("call-{number}@client");
        let sent = front.farm.udp(OUTSIDE, &hidden("INVITE", &call));
        let server = sent[0].address().trim_start_matches("udp ").parse().unwrap();
        let tag = sent[0].field("Strowger-Tag").unwrap().to_owned();
        front.farm.wait(60_000);
        let choice = front.get(&format!("/page?strowger={tag}${call}"), "").unwrap();
        assert_eq!((choice.place, choice.found), (http_of(server), Found::Tag), "{call}");
    }
}

#[test]
fn a_call_id_alone_leads_there_by_memory_or_by_the_same_hash() {
    let mut front = Front::of(Affinity::Hash);
    for number in 0..20 {
        let call = format!("call-{number}@client");
        let (server, _) = front.call(&call);
        front.farm.wait(1000);
        let choice = front.get(&format!("/?strowger={call}"), "a=b").unwrap();
        assert_eq!((choice.place, choice.found), (http_of(server), Found::Hash));
    }
    let mut front = Front::of(Affinity::Session);
    let found: Vec<Found> = (0..20)
        .map(|number| {
            let call = format!("call-{number}@client");
            let (server, _) = front.call(&call);
            let choice = front.get(&format!("/;strowger={call}/x"), "").unwrap();
            assert_eq!(choice.place, http_of(server));
            choice.found
        })
        .collect();
    assert_eq!(found, [Found::Memory; 20], "round robin chose, and only memory can know it");
}

#[test]
fn a_session_stays_and_new_ones_are_dealt_out() {
    let mut front = Front::of(Affinity::Tag);
    let begun: Vec<Choice> = (0..8).map(|_| front.get("/", "").unwrap()).collect();
    for (at, choice) in begun.iter().enumerate() {
        assert_eq!(choice.found, Found::Selected);
        assert_eq!(choice.place, begun[at % 4].place, "each server in turn");
        let cookie = format!("x=1; strowger={}", choice.cookie.as_ref().unwrap());
        for _ in 0..5 {
            let next = front.get("/next", &cookie).unwrap();
            assert_eq!((next.place, next.found, next.cookie), (choice.place, Found::Tag, None));
        }
    }
}

#[test]
fn a_dead_server_loses_its_sessions_to_one_other_each_and_they_stay_there() {
    let mut front = Front::of(Affinity::Tag);
    for _ in 0..40 {
        let begun = front.get("/", "").unwrap();
        let cookie = format!("strowger={}", begun.cookie.unwrap());
        let dead = [begun.server];
        let moved = front.get_not("/", &cookie, &dead).unwrap();
        assert_eq!(moved.found, Found::TakenOver);
        assert_ne!(moved.place, begun.place);
        assert_eq!(
            front.get_not("/", &cookie, &dead).unwrap().place,
            moved.place,
            "so do requests beside it"
        );
        let renewed = format!("strowger={}", moved.cookie.unwrap());
        let stays = front.get("/", &renewed).unwrap();
        assert_eq!(
            (stays.place, stays.found),
            (moved.place, Found::Tag),
            "whether the first one is back or not"
        );
    }
}

#[test]
fn a_call_that_sip_gave_to_another_server_is_found_there() {
    for affinity in [Affinity::Tag, Affinity::Session, Affinity::Hash] {
        let mut front = Front::of(affinity);
        for number in 0..10 {
            let call = format!("call-{number}");
            let (server, tag) = front.call(&call);
            front.farm.table.remove(server);
            front.farm.publish();
            let moved = front.call(&call).0;
            assert_ne!(moved, server);
            let choice = front.get(&format!("/?strowger={tag}${call}"), "").unwrap();
            assert_eq!(choice.place, http_of(moved), "{affinity:?}");
            front.farm.table.reconfigure(front.farm.now, &settings(affinity, Selection::RoundRobin).servers);
            front.farm.publish();
        }
    }
}

#[test]
fn a_draining_server_keeps_its_sessions_and_gets_no_new_ones() {
    let mut front = Front::of(Affinity::Tag);
    let begun = front.get("/", "").unwrap();
    let snapshot = front.farm.shared.snapshot();
    let draining = snapshot.by_id(begun.server).unwrap().address;
    front.farm.table.drain(front.farm.now, draining, true);
    front.farm.publish();
    let now = front.farm.shared.snapshot();
    assert_eq!(now.by_id(begun.server).unwrap().condition, Condition::KnownCallsOnly);
    let cookie = format!("strowger={}", begun.cookie.unwrap());
    assert_eq!(front.get("/", &cookie).unwrap().place, begun.place);
    assert!((0..40).all(|_| front.get("/", "").unwrap().place != begun.place));
    // Sessions that are taken over do not go there either, as long as there is another.
    let others: Vec<Choice> = (0..30).map(|_| front.get("/", "").unwrap()).collect();
    for other in others {
        let cookie = format!("strowger={}", other.cookie.unwrap());
        assert_ne!(front.get_not("/", &cookie, &[other.server]).unwrap().place, begun.place);
    }
}

#[test]
fn only_servers_of_the_table_with_http_are_places() {
    let mut front = Front::of(Affinity::Tag);
    let keys = front.farm.shared.keys.clone();
    let named: SocketAddr = "10.0.0.2:5060".parse().unwrap();
    let place: SocketAddr = "10.9.9.9:80".parse().unwrap();
    front.places = Places { named: HashMap::from([(ServerId::of(named), place)]), port: None };
    // A tag that was signed for no server, or for one without HTTP, leads to a server with HTTP.
    for server in ["10.0.0.1:5060", "203.0.113.9:25"] {
        let tag = Tag::new(&keys, ServerId::of(server.parse().unwrap()), Direction::ToServer, b"", None);
        let mut text = b"/?strowger=".to_vec();
        tag.write(&keys, keys.call(b"call"), b"call", &mut text);
        text.extend_from_slice(b"$call");
        let choice = front.get(std::str::from_utf8(&text).unwrap(), "").unwrap();
        assert_eq!((choice.place, choice.found), (place, Found::TakenOver));
    }
    assert!((0..10).all(|_| front.get("/", "").unwrap().place == place));
    assert_eq!(front.get_not("/", "", &[ServerId::of(named)]), None);
    front.places = Places::default();
    assert_eq!(front.get("/?strowger=call", ""), None);
}

#[test]
fn one_that_is_about_to_end_begins_no_session() {
    let mut front = Front::of(Affinity::Tag);
    let cookie = format!("strowger={}", front.get("/", "").unwrap().cookie.unwrap());
    front.farm.shared.change(front.farm.shared.terms().closing(), front.farm.shared.snapshot());
    front.farm.shared = front.farm.shared.renewed().unwrap().into();
    assert_eq!(front.get("/", ""), None);
    assert_eq!(front.get("/", &cookie).map(|choice| choice.found), Some(Found::Tag));
}

proptest! {
    // Each case makes a farm.
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_is_asked_leads_to_a_server_that_lives(
        target in "[ -~]{0,60}", cookie in "[ -~]{0,60}", kind in 0usize..3, down in 0usize..4,
    ) {
        let hash = [HashKind::Consistent, HashKind::Modulo, HashKind::Cascade][kind];
        let mut front = Front::with(Settings { hash, ..settings(Affinity::Hash, Selection::Hash) });
        let gone = front.farm.shared.snapshot().servers()[down].address;
        front.farm.table.remove(gone);
        front.farm.publish();
        let choice = front.get(&format!("/?strowger={target}"), &format!("strowger={cookie}")).unwrap();
        let snapshot = front.farm.shared.snapshot();
        let server = snapshot.by_id(choice.server).expect("a server of the table");
        prop_assert_eq!(choice.place, http_of(server.address));
        prop_assert_ne!(server.address, gone);
    }
}
