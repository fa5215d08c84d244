//! A load manager takes the place of another while calls go on: what was known is known, and what was held goes on at its time.

use base::fields::other_build::{newer, older};
use base::fields::{Reader, Writer};
use base::{Duration, Time};
use sip::Transport;

use super::farm::*;
use crate::farm::condition::Condition;
use crate::hand_over;
use crate::settings::*;

const OVER_TCP: &str = "192.0.2.1:40000";

fn place(left: &Left) -> String {
    left.address().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_held_set_up_is_repeated_when_it_would_have_been_and_its_answer_arrives() {
    let given = || settings(Affinity::Tag, Selection::RoundRobin);
    let mut before = Farm::new(given());
    let invite = only(before.tcp(OVER_TCP, 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    assert!(invite.address().starts_with("udp "), "so it is repeated");
    before.now = before.now + Duration::from_millis(400);
    let mut after = before.handed_over(given());
    assert!(after.timers().is_empty(), "half a second is not over");
    after.now = after.now + Duration::from_millis(101);
    let again = only(after.timers());
    assert_eq!((again.address(), &again.text), (invite.address(), &invite.text));
    // Over a second hand-over.
    let mut last = after.handed_over(given());
    let busy = only(last.udp(&place(&invite), &response(&invite, "486 Busy Here")));
    assert_eq!((busy.address(), busy.start_line()), ("connection 3".into(), "SIP/2.0 486 Busy Here"));
    let ack = from_client("ACK", "c1", "z9hG4bK1", "bob", "");
    assert_eq!(only(last.tcp(OVER_TCP, 3, &ack)).address(), invite.address());
    last.wait(40);
    assert!(last.timers().is_empty() && last.shared.held.is_empty());
}

#[test]
fn a_caller_who_gives_up_after_the_hand_over_is_heard() {
    let given = || settings(Affinity::Tag, Selection::RoundRobin);
    let mut before = Farm::new(given());
    let invite = only(before.tcp(OVER_TCP, 3, &request("INVITE", "c1", "z9hG4bK1", "")));
    only(before.udp(&place(&invite), &response(&invite, "180 Ringing")));
    let mut after = before.handed_over(given());
    let cancel = after.tcp(OVER_TCP, 3, &request("CANCEL", "c1", "z9hG4bK1", ""));
    let all: Vec<Left> = cancel.into_iter().chain(after.timers()).collect();
    assert!(
        all.iter().any(|left| left.start_line().starts_with("CANCEL ") && left.address() == invite.address())
    );
    let ended = only(after.udp(&place(&invite), &response(&invite, "487 Request Terminated")));
    assert_eq!(ended.address(), "connection 3");
}

#[test]
fn a_repeated_invite_of_a_new_call_finds_its_server_in_every_affinity() {
    for (affinity, selection) in [
        (Affinity::Tag, Selection::RoundRobin),
        (Affinity::Session, Selection::Cjsq),
        (Affinity::Hash, Selection::Hash),
    ] {
        let given = || Settings { count_calls: true, ..settings(affinity, selection) };
        let mut before = Farm::new(given());
        let calls: Vec<(String, Left)> = (0..9)
            .map(|call| {
                let call = format!("c{call}");
                let invite = only(before.udp(CLIENT, &request("INVITE", &call, "z9hG4bK1", "")));
                (call, invite)
            })
            .collect();
        let counted = |farm: &Farm| {
            farm.table.rows(farm.now).into_iter().map(|row| row.in_progress).collect::<Vec<_>>()
        };
        let mut after = before.handed_over(given());
        assert_eq!(counted(&after), counted(&before), "{affinity:?}");
        for (call, invite) in &calls {
            let again = only(after.udp(CLIENT, &request("INVITE", call, "z9hG4bK1", "")));
            assert_eq!(again.address(), invite.address(), "{affinity:?}");
            only(after.udp(&place(invite), &response(invite, "486 Busy Here")));
        }
        assert!(counted(&after).into_iter().all(|count| count == Some(0)), "{affinity:?}: all have ended");
    }
}

#[test]
fn a_call_that_replaces_another_goes_to_the_server_of_that_one() {
    for (affinity, selection) in
        [(Affinity::Tag, Selection::RoundRobin), (Affinity::Session, Selection::Cjsq)]
    {
        let given = || Settings { count_calls: true, ..settings(affinity, selection) };
        let mut before = Farm::new(given());
        let servers: Vec<String> =
            (0..8).map(|call| establish(&mut before, &format!("c{call}")).0.address()).collect();
        // Only what counts calls still knows them.
        before.wait(60);
        let mut after = before.handed_over(given());
        for (call, server) in servers.iter().enumerate() {
            let replaces = format!("Replaces: c{call};to-tag=bob;from-tag=alice\r\n");
            let invite = request("INVITE", &format!("n{call}"), &format!("z9hG4bKn{call}"), &replaces);
            assert_eq!(only(after.udp(CLIENT, &invite)).address(), *server, "{affinity:?}");
        }
    }
}

#[test]
fn no_server_is_unknown_for_a_moment() {
    let given = || settings(Affinity::Tag, Selection::RoundRobin);
    let mut before = Farm::new(given());
    let [drained, stopped, new] = ["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.9:5060"];
    assert!(before.table.drain(before.now, drained.parse().unwrap(), true));
    before.stopped(stopped);
    let joins = heartbeat::Heartbeat::plain(9, 5060, heartbeat::ServerState::Started);
    before.table.heartbeat(before.now, "10.0.0.9".parse().unwrap(), &joins).unwrap();
    before.publish();
    // One server is no longer configured; it has no agent.
    let fewer = Settings { servers: given().servers[..3].to_vec(), ..given() };
    let after = before.handed_over(fewer);
    let snapshot = after.shared.snapshot();
    let condition = |server: &str| snapshot.by_address(server.parse().unwrap()).unwrap().condition;
    assert_eq!(condition(drained), Condition::KnownCallsOnly);
    assert_eq!(condition(stopped), Condition::Failed);
    assert_eq!(condition("10.0.0.3:5060"), Condition::Active);
    assert_eq!(condition("10.0.0.4:5060"), Condition::KnownCallsOnly, "it leaves when its calls are over");
    assert_eq!(condition(new), Condition::Active);
    let since = |farm: &Farm| farm.shared.snapshot().by_address(new.parse().unwrap()).unwrap().transport;
    assert_eq!(since(&after), Transport::Udp);
    // The agent that fell silent is missed when it would have been.
    let mut later = after;
    later.now = later.now + Duration::from_secs(4);
    later.publish();
    assert_eq!(
        later.shared.snapshot().by_address(new.parse().unwrap()).unwrap().condition,
        Condition::Failed
    );
}

#[test]
fn another_build_reads_it_and_no_bytes_do_harm() {
    let given = || settings(Affinity::Tag, Selection::RoundRobin);
    let mut before = Farm::new(given());
    for call in 0..3 {
        let (call, branch) = (format!("c{call}"), format!("z9hG4bK{call}"));
        only(before.tcp(OVER_TCP, 3, &request("INVITE", &call, &branch, "")));
    }
    let (bytes, amount) = hand_over::write(&before.shared, &before.table, before.now, 0);
    assert_eq!((amount.calls, amount.held), (3, 3));
    let mut part = Writer::default();
    part.group(200, |into| into.text(1, "a part that only a newer build knows"));
    let more = [part.into_bytes(), bytes.clone()].concat();
    assert_eq!(before.going_on_with(given(), &more).1, Some(amount));
    for length in (0..bytes.len()).step_by(7) {
        before.going_on_with(given(), &bytes[..length]);
    }
    for at in (0..bytes.len()).step_by(3) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 0xFF;
        let (mut farm, _) = before.going_on_with(given(), &wrong);
        farm.now = Time::from_secs(7200);
        farm.timers();
    }
    let other_keys = Settings { keys: Settings::small(vec![], vec![], [9; 16]).keys, ..given() };
    assert_eq!(before.going_on_with(other_keys, &bytes).1, None);
}

#[test]
fn one_value_more_costs_nothing_and_one_less_only_what_it_was_in() {
    let given = || Settings { count_calls: true, ..settings(Affinity::Session, Selection::Cjsq) };
    let mut before = Farm::new(given());
    for call in 0..3 {
        let (call, branch) = (format!("c{call}"), format!("z9hG4bK{call}"));
        only(before.tcp(OVER_TCP, 3, &request("INVITE", &call, &branch, "")));
    }
    let joins = heartbeat::Heartbeat::plain(9, 5060, heartbeat::ServerState::Started);
    before.table.heartbeat(before.now, "10.0.0.9".parse().unwrap(), &joins).unwrap();
    assert!(before.table.drain(before.now, "10.0.0.1:5060".parse().unwrap(), true));
    before.publish();
    let (bytes, amount) = hand_over::write(&before.shared, &before.table, before.now, 0);
    assert_eq!((amount.calls, amount.held), (3, 3));
    let known = |farm: &Farm| {
        let rows = farm.table.rows(farm.now).into_iter();
        let mut rows: Vec<_> =
            rows.map(|row| (row.address, row.condition, row.drained, row.in_progress)).collect();
        rows.sort_by_key(|row| row.0);
        rows
    };
    let (after, read) = before.going_on_with(given(), &newer(&bytes));
    assert_eq!((read, known(&after)), (Some(amount), known(&before)));
    let lacking = older(&bytes);
    assert!(lacking.len() > 100, "{}", lacking.len());
    for less in lacking {
        let (mut after, read) = before.going_on_with(given(), &less);
        let part = |name: u8| Reader::new(&less).get(name);
        let Some(read) = read else {
            assert!(part(1).is_none(), "only the calls must be there");
            continue;
        };
        assert!(read.calls == amount.calls && read.held + 1 >= amount.held && read.left_out <= 1, "{read:?}");
        let changed = known(&after).iter().filter(|row| !known(&before).contains(row)).count();
        // Servers are a part, and so are counts of calls.
        let whole = part(2).is_some() && part(3) == Reader::new(&bytes).get(3);
        assert!(changed <= 1 || !whole, "{changed} servers: {:?}", known(&after));
        let new = only(after.udp(CLIENT, &request("INVITE", "new", "z9hG4bKnew", "")));
        assert!(new.address().starts_with("udp "));
    }
}
