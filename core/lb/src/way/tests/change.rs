//! Changes between two messages while calls are in progress: keys, policy, the end of the load manager, a full server.

use super::farm::*;
use crate::counters::Counter;
use crate::farm::condition::Condition;
use crate::settings::*;
use crate::shared::Terms;

impl Farm {
    /// Makes the change as the control thread does.
    pub(crate) fn change(&mut self, change: impl FnOnce(&Terms) -> Terms) {
        let terms = change(&self.shared.terms());
        let snapshot = self.table.set_terms(self.now, &terms.settings, terms.tables.clone());
        self.shared.change(terms, snapshot);
    }

    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        self.change(|terms| {
            let mut settings = Settings::clone(&terms.settings);
            change(&mut settings);
            terms.with(settings)
        });
    }
}

const OLD: (u8, [u8; 16]) = (1, *b"0123456789abcdef");
const NEW: (u8, [u8; 16]) = (2, *b"fedcba9876543210");

#[test]
fn a_key_is_rotated_without_moving_a_call_that_rings_or_is_up() {
    for affinity in [Affinity::Tag, Affinity::Session] {
        let mut farm = Farm::new(Settings { count_calls: true, ..settings(affinity, Selection::RoundRobin) });
        let up = |farm: &mut Farm, call: &str| (call.to_owned(), establish(farm, call));
        let mut calls = vec![up(&mut farm, "before")];
        farm.set(|settings| settings.keys.tag = [NEW, OLD].map(|(id, key)| (id, key.into())).to_vec());
        calls.push(up(&mut farm, "between"));
        farm.wait(60);
        let ringing = only(farm.udp(CLIENT, &request("INVITE", "rings", "z9hG4bKr", "")));
        farm.set(|settings| settings.keys.tag = vec![(NEW.0, NEW.1.into())]);
        // The same branch to the same server, although both depend on the key that is gone.
        for method in ["INVITE", "CANCEL"] {
            let again = only(farm.udp(CLIENT, &request(method, "rings", "z9hG4bKr", "")));
            assert_eq!(again.address(), ringing.address());
            let branch = |left: &Left| left.field("Via").unwrap().split(";hop").next().unwrap().to_owned();
            assert_eq!(branch(&again), branch(&ringing));
        }
        calls.push(up(&mut farm, "after"));
        // The tags under the old key are gone with it; this call has a tag under the new key. Counts end by the hash that
        // they began with.
        for (call, (invite, answer)) in &calls[1..] {
            let bye = from_client("BYE", call, "z9hG4bK9", "bob", &routes(answer));
            let bye = only(farm.udp(CLIENT, &bye));
            assert_eq!(bye.address(), invite.address(), "{affinity:?} {call}");
            farm.udp(&bye.address()[4..], &response(&bye, "200 OK"));
        }
        let counted: u32 = farm.table.rows(farm.now).iter().filter_map(|row| row.in_progress).sum();
        assert_eq!(counted, 200, "{affinity:?}: the first call and the one that rings");
        assert_eq!(farm.count(Counter::ForgedTag), 0);
    }
}

#[test]
fn a_policy_that_counts_begins_with_what_was_counted_before() {
    let mut farm =
        Farm::new(Settings { count_calls: true, ..settings(Affinity::Tag, Selection::RoundRobin) });
    let first = establish(&mut farm, "c0").0.address();
    farm.set(|settings| settings.selection = Selection::Cjsq);
    for call in 1..4 {
        assert_ne!(establish(&mut farm, &format!("c{call}")).0.address(), first, "it has a call already");
    }
    farm.set(|settings| settings.selection = Selection::Tlwl);
    let counted: u32 = farm.table.rows(farm.now).iter().filter_map(|row| row.in_progress).sum();
    assert_eq!(counted, 400, "the calls are counted on");
    farm.set(|settings| settings.selection = Selection::Score);
    establish(&mut farm, "c9");
}

#[test]
fn one_that_is_about_to_end_refuses_new_calls_and_goes_on_with_the_known() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "known");
    farm.change(Terms::closing);
    let refused = only(farm.udp(CLIENT, &request("INVITE", "new", "z9hG4bKn", "")));
    assert!(refused.start_line().starts_with("SIP/2.0 503"), "{}", refused.text);
    assert_eq!(refused.field("Retry-After"), Some("5"));
    assert_eq!((farm.count(Counter::Closing), farm.count(Counter::NoServer)), (1, 0));
    let bye = only(farm.udp(CLIENT, &from_client("BYE", "known", "z9hG4bKb", "bob", &routes(&answer))));
    assert_eq!(bye.address(), invite.address());
}

#[test]
fn a_server_that_answers_503_with_retry_after_is_full_and_not_dead() {
    let settings = settings(Affinity::Tag, Selection::RoundRobin);
    let mut farm = Farm::new(Settings { probe: Probe::Traffic, ..settings });
    let refuse = |farm: &mut Farm, call: &str, more: &str| {
        let caller = format!("192.0.2.{}:5060", call.len());
        let invite = only(farm.udp(&caller, &request("INVITE", call, &format!("z9hG4bK{call}"), "")));
        let server = invite.address()[4..].to_owned();
        let text =
            response(&invite, "503 Service Unavailable").replace("\r\n\r\n", &format!("\r\n{more}\r\n"));
        farm.udp(&server, &text);
        farm.hear_refusals();
        server
    };
    let condition = |farm: &Farm, server: &str| {
        let rows = farm.table.rows(farm.now);
        rows.iter().find(|row| row.address.to_string() == server).map(|row| row.condition)
    };
    let plain = refuse(&mut farm, "c1", "");
    assert_eq!(condition(&farm, &plain), Some(Condition::Active));
    let busy = "retry-After: 10 (busy)\r\n";
    let full = refuse(&mut farm, "c2", busy);
    // A single caller may have called a single callee that says so. Two more refusals decide.
    assert_eq!(condition(&farm, &full), Some(Condition::Active));
    for call in 3..100 {
        if condition(&farm, &full) == Some(Condition::KnownCallsOnly) {
            break;
        }
        refuse(&mut farm, &"c".repeat(call), busy);
    }
    assert_eq!(condition(&farm, &full), Some(Condition::KnownCallsOnly));
    let kept_away: Vec<String> = (1..=4)
        .map(|last| format!("10.0.0.{last}:5060"))
        .filter(|server| condition(&farm, server) != Some(Condition::Active))
        .collect();
    assert!(kept_away.len() <= 2, "never more than half: {kept_away:?}");
    for call in 0..8 {
        let invite =
            only(farm.udp(CLIENT, &request("INVITE", &format!("d{call}"), &format!("z9hG4bKd{call}"), "")));
        assert!(!kept_away.contains(&invite.address()[4..].to_owned()));
    }
    farm.wait(11);
    farm.publish();
    assert_eq!(condition(&farm, &full), Some(Condition::Active));
}

/// A server repeats its last response as it wrote it: with the Via of the first INVITE.
#[test]
fn an_invite_that_is_held_from_its_second_copy_on_is_heard_by_the_via_of_its_first() {
    let given = settings(Affinity::Tag, Selection::RoundRobin);
    let mut farm = Farm::new(Settings { hold_setup: HoldSetup::Stream, ..given });
    let text = request("INVITE", "c1", "z9hG4bK-c1", "");
    let first = only(farm.udp(CLIENT, &text));
    farm.set(|settings| settings.hold_setup = HoldSetup::All);
    assert_eq!(only(farm.udp(CLIENT, &text)).address(), first.address());
    assert_eq!(farm.shared.held.len(), 1);
    let ringing = only(farm.udp(&first.address()[4..], &response(&first, "180 Ringing")));
    assert_eq!(ringing.start_line(), "SIP/2.0 180 Ringing");
    farm.wait(9);
    assert!(farm.timers().is_empty(), "it is not silent");
    only(farm.udp(&first.address()[4..], &response(&first, "486 Busy Here")));
    farm.wait(40);
    assert!(farm.timers().is_empty() && farm.shared.held.is_empty());
}
