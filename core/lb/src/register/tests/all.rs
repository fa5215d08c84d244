//! A REGISTER to all servers: their answers, and the telephone's, on a clock moved by hand.

use base::Duration;

use super::register;
use crate::counters::Counter;
use crate::register::settings::*;
use crate::settings::*;
use crate::way::tests::farm::*;

const USER: &str = "sip:bob@example.com";

fn farm_of(change: impl FnOnce(&mut RegisterSettings)) -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.to = RegisterTo::All;
    change(&mut settings.register);
    Farm::new(settings)
}

fn farm() -> Farm {
    farm_of(|_| {})
}

/// The request to the server with this last number.
fn at(left: &[Left], server: u8) -> Left {
    let address = format!("udp 10.0.0.{server}:5060");
    left.iter()
        .find(|left| left.address() == address)
        .unwrap_or_else(|| panic!("{address}: {left:#?}"))
        .clone()
}

/// The last number of the server that this message goes to.
fn number(left: &Left) -> u8 {
    left.address()["udp 10.0.0.".len()..].split(':').next().unwrap().parse().unwrap()
}

/// That server answers `status`, followed by fields with a `|` before each.
fn says(farm: &mut Farm, asked: &[Left], server: u8, answer: &str) -> Vec<Left> {
    let (status, fields) = answer.split_once('|').unwrap_or((answer, ""));
    let fields: String =
        fields.split('|').filter(|field| !field.is_empty()).map(|field| format!("{field}\r\n")).collect();
    let text =
        response(&at(asked, server), status).replace("Content-Length", &format!("{fields}Content-Length"));
    let left = farm.udp(&format!("10.0.0.{server}:5060"), &text);
    assert!(left.is_empty(), "answers wait for each other: {left:#?}");
    farm.timers()
}

/// All servers answer, in the order in which they were asked. Returns what the telephone gets after the last answer.
fn all_say(farm: &mut Farm, text: &str, answers: &[&str]) -> Left {
    let asked = farm.udp(CLIENT, text);
    assert_eq!(asked.len(), answers.len(), "{asked:#?}");
    let mut left = Vec::new();
    for (left_for, answer) in asked.iter().zip(answers) {
        assert!(left.is_empty(), "answered before the last: {left:#?}");
        left = says(farm, &asked, number(left_for), answer);
    }
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0].address(), format!("udp {CLIENT}"));
    assert_eq!(left[0].fields("Via").len(), 1, "{}", left[0].text);
    left.remove(0)
}

/// Checks that this is an answer to this request and to no other, whichever attempt the servers' answers are from.
fn answers_to(answer: &Left, text: &str) {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    assert_eq!(answer.fields("Via"), [field("Via").unwrap()]);
    for name in ["From", "Call-ID", "CSeq"] {
        assert_eq!(answer.fields(name), [field(name).unwrap()], "{}", answer.text);
    }
    assert_eq!(answer.fields("To").len(), 1);
    assert_eq!(answer.fields("Content-Length").len(), 1);
}

fn challenge(realm: &str, nonce: &str) -> String {
    format!("401 Unauthorized|WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\"")
}

fn credentials(realm: &str, nonce: &str) -> String {
    format!(
        "Authorization: Digest username=\"bob\", realm=\"{realm}\", nonce=\"{nonce}\", response=\"0\"\r\n"
    )
}

const OK: &str = "200 OK|Contact: <sip:bob@192.0.2.1>;expires=60";

#[test]
fn all_accept_and_the_bindings_of_all_make_one_list() {
    let mut farm = farm();
    let answer = all_say(
        &mut farm,
        &register(USER, "c1", ""),
        &[
            "200 OK|Contact: <sip:bob@192.0.2.1>;expires=60;q=0.5|Date: Mon|Service-Route: <sip:a;lr>",
            "200 OK|Contact: <sip:%62ob@192.0.2.1>;expires=50, \"Bob\" <sip:bob@192.0.2.2;transport=tcp>;expires=9",
            "200 OK|Contact: <sip:bob@192.0.2.1>|Expires: 70|Date: Tue",
            "200 OK|Contact: <sip:bob@192.0.2.3>;expires=3600;+sip.instance=\"<urn:x>\"",
        ],
    );
    assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
    assert_eq!(
        answer.fields("Contact"),
        [
            "<sip:bob@192.0.2.1>;q=0.5;expires=50",
            "\"Bob\" <sip:bob@192.0.2.2;transport=tcp>;expires=9",
            "<sip:bob@192.0.2.3>;+sip.instance=\"<urn:x>\";expires=3600"
        ]
    );
    assert_eq!(answer.fields("Date"), ["Mon"]);
    assert_eq!(answer.fields("Service-Route"), ["<sip:a;lr>"]);
    assert_eq!(farm.count(Counter::RegisterAccepted), 1);
    assert_eq!(farm.count(Counter::RegisterPartial), 0);
}

#[test]
fn each_server_gets_a_branch_of_its_own() {
    let asked = farm().udp(CLIENT, &register(USER, "c1", ""));
    let mut branches: Vec<_> =
        asked.iter().map(|left| left.fields("Via")[0].split(";hop=").next().unwrap().to_owned()).collect();
    branches.sort();
    branches.dedup();
    assert_eq!(branches.len(), 4);
}

#[test]
fn a_dead_server_is_waited_for_and_then_those_that_answered_decide() {
    let mut farm = farm();
    let asked = farm.udp(CLIENT, &register(USER, "c1", ""));
    for server in 1..=3 {
        assert!(says(&mut farm, &asked, server, OK).is_empty());
    }
    let mut copies = 0;
    let answer = loop {
        farm.now = farm.now + Duration::from_millis(100);
        let left = farm.timers();
        copies += left.iter().filter(|left| left.address() == "udp 10.0.0.4:5060").count();
        if let Some(answer) = left.into_iter().find(|left| left.address() == format!("udp {CLIENT}")) {
            break answer;
        }
    };
    assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
    assert_eq!(copies, 2, "at 500 and 1500 ms, before 2 s are over");
    assert_eq!(farm.count(Counter::RegisterPartial), 1);
    // The silent server is still asked, so that it gets the registration if only a message was lost.
    farm.now = farm.now + Duration::from_secs(2);
    assert_eq!(farm.timers().len(), 1);
    assert!(says(&mut farm, &asked, 4, OK).is_empty());
    assert_eq!(farm.count(Counter::LateResponse), 1);
}

#[test]
fn copies_are_absorbed_and_get_the_same_answer() {
    let mut farm = farm();
    let text = register(USER, "c1", "");
    let asked = farm.udp(CLIENT, &text);
    assert!(farm.udp(CLIENT, &text).is_empty());
    for server in 1..=3 {
        says(&mut farm, &asked, server, OK);
    }
    let answer = says(&mut farm, &asked, 4, OK).remove(0);
    for _ in 0..3 {
        let again = farm.udp(CLIENT, &text);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].text, answer.text);
    }
    assert_eq!(farm.count(Counter::RegisterCopy), 4);
    farm.wait(33);
    farm.timers();
    assert!(farm.shared.registrations.is_empty(), "forgotten after timer J");
    assert_eq!(farm.shared.registrations.bytes(), 0);
}

#[test]
fn one_of_four_challenges_and_one_is_dead_and_the_telephone_is_registered() {
    let mut farm = farm_of(|register| register.wait = Duration::from_millis(400));
    let asked = farm.udp(CLIENT, &register(USER, "c1", ""));
    for (server, answer) in [(1, OK), (2, &challenge("farm", "n2")), (3, OK)] {
        says(&mut farm, &asked, server, answer);
    }
    farm.now = farm.now + Duration::from_millis(400);
    let answer = farm.timers().remove(0);
    assert_eq!(answer.start_line(), "SIP/2.0 401 Unauthorized");
    assert_eq!(answer.fields("WWW-Authenticate"), ["Digest realm=\"farm\", nonce=\"n2\""]);
    // The next attempt: servers that accepted are not asked again, the silent one is.
    let text = register(USER, "c1", &credentials("farm", "n2")).replace("z9hG4bK-c1", "z9hG4bK-c2");
    let asked = farm.udp(CLIENT, &text);
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert!(at(&asked, 2).field("Authorization").is_some());
    at(&asked, 4);
    says(&mut farm, &asked, 2, "200 OK|Contact: <sip:bob@192.0.2.1>;expires=45|Service-Route: <sip:b;lr>");
    farm.now = farm.now + Duration::from_millis(400);
    let answer = farm.timers().remove(0);
    assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
    assert_eq!(answer.fields("Contact"), ["<sip:bob@192.0.2.1>;expires=45"]);
}

#[test]
fn another_load_manager_goes_on_between_any_two_messages() {
    let given = || {
        let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
        settings.register.to = RegisterTo::All;
        settings.register.wait = Duration::from_millis(400);
        settings
    };
    let next = |farm: Farm| farm.handed_over(given());
    let mut farm = Farm::new(given());
    let first = register(USER, "c1", "");
    let asked = farm.udp(CLIENT, &first);
    for (server, answer) in [(1, OK), (2, &challenge("farm", "n2")), (3, OK)] {
        farm = next(farm);
        says(&mut farm, &asked, server, answer);
    }
    farm = next(farm);
    assert!(farm.udp(CLIENT, &first).is_empty(), "a copy");
    farm.now = farm.now + Duration::from_millis(400);
    let answer = farm.timers().remove(0);
    assert_eq!(answer.start_line(), "SIP/2.0 401 Unauthorized");
    farm = next(farm);
    assert_eq!(only(farm.udp(CLIENT, &first)).text, answer.text);
    let text = register(USER, "c1", &credentials("farm", "n2")).replace("z9hG4bK-c1", "z9hG4bK-c2");
    let asked = farm.udp(CLIENT, &text);
    assert_eq!(asked.len(), 2, "servers that accepted are not asked again");
    farm = next(farm);
    says(&mut farm, &asked, 2, OK);
    farm.now = farm.now + Duration::from_millis(100);
    farm = next(farm);
    let again: Vec<String> = farm.timers().iter().map(Left::address).collect();
    assert!(again.is_empty(), "{again:?}");
    farm.now = farm.now + Duration::from_millis(300);
    assert_eq!(farm.timers().remove(0).start_line(), "SIP/2.0 200 OK");
}

/// A telephone that answers the first challenge of each realm, as long as there are new nonces. Servers accept their own nonce.
fn attempts(farm: &mut Farm, realm_of: impl Fn(u8) -> String, shared_secret: bool) -> (usize, Left) {
    let mut given: Vec<(String, String)> = Vec::new();
    for attempt in 1.. {
        let fields: String = given.iter().map(|(realm, nonce)| credentials(realm, nonce)).collect();
        let text = register(USER, "c1", &fields)
            .replace("z9hG4bK-c1", &format!("z9hG4bK-{attempt}"))
            .replace("CSeq: 1", &format!("CSeq: {attempt}"));
        let asked = farm.udp(CLIENT, &text);
        let mut answered = Vec::new();
        for left in &asked {
            let server = number(left);
            let realm = realm_of(server);
            let knows = left.fields("Authorization").iter().any(|field| {
                let issuer = if shared_secret { "n".into() } else { format!("n{server}") };
                field.contains(&format!("realm=\"{realm}\", nonce=\"{issuer}"))
            });
            let answer = if knows { OK.to_owned() } else { challenge(&realm, &format!("n{server}")) };
            answered = says(farm, &asked, server, &answer);
        }
        let answer = answered.pop().expect("the last of them ends it");
        answers_to(&answer, &text);
        if attempt > 9 || answer.start_line() != "SIP/2.0 401 Unauthorized" {
            return (attempt, answer);
        }
        for field in answer.fields("WWW-Authenticate") {
            let part = |name: &str| {
                field.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
            };
            let known = given.iter_mut().find(|(realm, _)| *realm == part("realm"));
            match known {
                Some((_, nonce)) => {
                    assert!(
                        field.contains("stale=true"),
                        "or the telephone takes its password for wrong: {field}"
                    );
                    *nonce = part("nonce");
                }
                None => given.push((part("realm"), part("nonce"))),
            }
        }
    }
    unreachable!("attempts are counted")
}

#[test]
fn servers_of_one_realm_with_nonces_of_their_own_are_satisfied_one_after_the_other() {
    let (count, answer) = attempts(&mut farm(), |_| "farm".into(), false);
    assert_eq!((count, answer.start_line()), (5, "SIP/2.0 200 OK"));
}

#[test]
fn servers_that_share_a_secret_are_satisfied_at_once() {
    let (count, answer) = attempts(&mut farm(), |_| "farm".into(), true);
    assert_eq!((count, answer.start_line()), (2, "SIP/2.0 200 OK"));
}

#[test]
fn servers_of_different_realms_are_satisfied_at_once() {
    let (count, answer) = attempts(&mut farm(), |server| format!("realm{server}"), false);
    assert_eq!((count, answer.start_line()), (2, "SIP/2.0 200 OK"));
}

#[test]
fn a_wrong_password_ends_at_the_first_server_that_says_so() {
    let mut farm = farm();
    let n: Vec<String> = (1..=4).map(|server| challenge("farm", &format!("n{server}"))).collect();
    let n: Vec<&str> = n.iter().map(String::as_str).collect();
    let first = all_say(&mut farm, &register(USER, "c1", ""), &n);
    assert_eq!(first.fields("WWW-Authenticate").len(), 1);
    let again = register(USER, "c1", &credentials("farm", "n1")).replace("z9hG4bK-c1", "z9hG4bK-2");
    let answer = all_say(&mut farm, &again, &n);
    assert_eq!(answer.start_line(), "SIP/2.0 401 Unauthorized");
    assert!(!answer.text.contains("stale"), "{}", answer.text);
}

#[test]
fn other_bindings_under_the_same_call_id_are_not_taken_for_the_same_attempt() {
    let mut farm = farm();
    let first = challenge("farm", "n2");
    all_say(&mut farm, &register(USER, "c1", ""), &[OK, &first, OK, OK]);
    let text = register(USER, "c1", &credentials("farm", "n2")).replace("z9hG4bK-c1", "z9hG4bK-2");
    let asked = farm.udp(CLIENT, &text.replace("<sip:bob@192.0.2.1>", "<sip:bob@192.0.2.9>"));
    assert_eq!(asked.len(), 4, "all are asked for what none has accepted");
}

#[test]
fn an_interval_too_brief_and_refusals() {
    let mut farm = farm();
    let text = register(USER, "c1", "Expires: 60\r\n");
    let brief =
        ["423 Interval Too Brief|Min-Expires: 100", "423 Interval Too Brief|Min-Expires: 300", OK, OK];
    let answer = all_say(&mut farm, &text, &brief);
    assert_eq!(answer.field("Min-Expires"), Some("300"));
    let answer = all_say(&mut farm, &register(USER, "c2", ""), &["500 A", "503 B", "404 C", "403 D"]);
    assert_eq!(answer.start_line(), "SIP/2.0 403 D");
    let answer = all_say(&mut farm, &register(USER, "c3", ""), &["500 A", "503 B", OK, "403 D"]);
    assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
    assert_eq!(farm.count(Counter::RegisterPartial), 1);
    let mut farm = farm_of(|register| register.accept = Accept::All);
    let answer = all_say(&mut farm, &register(USER, "c1", ""), &[OK, OK, "500 A", OK]);
    assert_eq!(answer.start_line(), "SIP/2.0 500 A");
}

#[test]
fn servers_known_to_have_failed_are_neither_asked_nor_waited_for() {
    let mut farm = farm();
    farm.kill("10.0.0.1:5060");
    let asked = farm.udp(CLIENT, &register(USER, "c1", ""));
    assert_eq!(asked.len(), 3);
    for server in [2, 3] {
        says(&mut farm, &asked, server, OK);
    }
    farm.kill("10.0.0.4:5060");
    let mut left = farm.udp(CLIENT, "\r\n");
    left.extend(farm.timers());
    assert_eq!(left.len(), 1, "the death ends the wait: {left:#?}");
    for server in ["10.0.0.2:5060", "10.0.0.3:5060"] {
        farm.kill(server);
    }
    let left = farm.udp(CLIENT, &register(USER, "c2", ""));
    assert_eq!(left[0].start_line(), "SIP/2.0 503 No Server Available");
}

#[test]
fn silence_everywhere_is_no_answer_and_leaves_nothing_behind() {
    let mut farm = farm();
    farm.udp(CLIENT, &register(USER, "c1", ""));
    let mut sent = 0;
    for _ in 0..400 {
        farm.now = farm.now + Duration::from_millis(100);
        let left = farm.timers();
        assert!(left.iter().all(|left| left.address() != format!("udp {CLIENT}")));
        sent += left.len();
    }
    assert_eq!(sent, 4 * 10, "timer E, ten copies to each");
    assert_eq!(farm.count(Counter::RegisterUnanswered), 1);
    assert!(farm.shared.registrations.is_empty());
    assert_eq!(farm.shared.registrations.bytes(), 0);
}

#[test]
fn a_full_table_refuses_and_counts() {
    let mut farm = farm_of(|register| register.in_progress_max = 2);
    for call in ["c1", "c2"] {
        assert_eq!(farm.udp(CLIENT, &register(USER, call, "")).len(), 4);
    }
    let left = farm.udp(CLIENT, &register(USER, "c3", ""));
    assert_eq!(left[0].start_line(), "SIP/2.0 503 No Server Available");
    assert_eq!(farm.count(Counter::RegisterFull), 1);
    let mut farm = farm_of(|register| register.bytes_max = 4000);
    let asked = farm.udp(CLIENT, &register(USER, "c1", ""));
    let long = format!("200 OK|X: {}", "x".repeat(3000));
    assert!(says(&mut farm, &asked, 1, &long).is_empty());
    assert!(farm.shared.registrations.bytes() <= 4000);
}

/// Every message may be lost; timers make up for it.
#[test]
fn loss_is_made_up_for() {
    let mut chance = base::Chance::seeded(7);
    let mut registered = 0;
    for call in 0..60 {
        let mut farm = farm();
        let text = register(USER, &format!("c{call}"), "");
        let mut on_the_way = farm.udp(CLIENT, &text);
        let mut answer = None;
        for tick in 1..320u32 {
            for left in std::mem::take(&mut on_the_way) {
                if chance.permille(300) {
                    continue;
                }
                if left.address() == format!("udp {CLIENT}") {
                    answer = Some(left);
                } else if !chance.permille(300) {
                    let text = response(&left, "200 OK")
                        .replace("Content-Length", "Contact: <sip:x@y>;expires=9\r\nContent-Length");
                    farm.udp(left.address().trim_start_matches("udp "), &text);
                }
            }
            if answer.is_some() {
                break;
            }
            farm.now = farm.now + Duration::from_millis(100);
            on_the_way = farm.timers();
            // The telephone's own timer E.
            if tick.is_multiple_of(40) {
                on_the_way.extend(farm.udp(CLIENT, &text));
            }
        }
        registered += u32::from(answer.is_some_and(|answer| answer.start_line() == "SIP/2.0 200 OK"));
    }
    assert_eq!(registered, 60);
}
