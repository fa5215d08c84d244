//! A server that fails its calls: how soon it is set aside, what happens to its calls, and who cannot bring that about.

use base::Duration;

use super::farm::*;
use crate::counters::Counter;
use crate::farm::condition::{Cause, Condition};
use crate::settings::*;

fn judged(hold_setup: HoldSetup) -> Settings {
    let settings = settings(Affinity::Tag, Selection::RoundRobin);
    Settings { probe: Probe::Traffic, hold_setup, retry_refused: true, ..settings }
}

fn server(left: &Left) -> String {
    left.address()[4..].to_owned()
}

/// Sets up one call; `status_of` gives a server's answer by the last digit of the server. Returns the final answer that the
/// caller gets. A tenth of a second passes.
fn call(farm: &mut Farm, name: &str, mut status_of: impl FnMut(u8) -> &'static str) -> String {
    let mut sent = only(farm.udp(CLIENT, &request("INVITE", name, &format!("z9hG4bK{name}"), "")));
    let answer = loop {
        let at = server(&sent);
        let last = at.as_bytes()[7] - b'0';
        let said = only(farm.udp(&at, &response(&sent, status_of(last))));
        if !said.start_line().starts_with("ACK") {
            break said.start_line()["SIP/2.0 ".len()..].to_owned();
        }
        sent = only(farm.timers());
    };
    farm.now = farm.now + Duration::from_millis(100);
    farm.shared.calls.sweep(farm.now);
    farm.publish();
    answer
}

fn cause(farm: &Farm, last: usize) -> (Condition, Cause) {
    let rows = farm.table.rows(farm.now);
    (rows[last - 1].condition, rows[last - 1].cause)
}

fn set_aside(farm: &Farm) -> Vec<usize> {
    (1..=4).filter(|last| matches!(cause(farm, *last).1, Cause::Failing(_))).collect()
}

#[test]
fn with_one_of_four_failing_everything_99_of_100_calls_are_answered_once_ten_have_failed() {
    for refusal in ["500 Broken", "503 Service Unavailable", "504 Server Time-out", "408 Request Timeout"] {
        let mut farm = Farm::new(judged(HoldSetup::Off));
        let mut failed = 0;
        let mut since = Vec::new();
        // 60 s: the first time aside ends meanwhile.
        for number in 0..600 {
            let status = |last| if last == 1 { refusal } else { "200 OK" };
            let good = call(&mut farm, &format!("c{number}"), status) == "200 OK";
            if failed >= 10 || set_aside(&farm) == [1] {
                since.push(good);
            }
            failed += u32::from(!good);
        }
        assert!(failed <= 10, "{refusal}: {failed}");
        let worst = since.windows(100).map(|calls| calls.iter().filter(|good| **good).count()).min();
        assert!(worst >= Some(97) && since.iter().filter(|good| **good).count() * 100 >= since.len() * 99);
    }
}

#[test]
fn where_set_ups_are_held_not_one_call_fails_and_the_setting_says_so() {
    let mut farm = Farm::new(judged(HoldSetup::All));
    for number in 0..100 {
        let status = |last| if last == 1 { "500 Broken" } else { "200 OK" };
        assert_eq!(call(&mut farm, &format!("c{number}"), status), "200 OK");
    }
    assert_eq!(set_aside(&farm), [1]);
    assert_eq!(cause(&farm, 1).0, Condition::KnownCallsOnly);
    assert!(farm.count(Counter::SetupMoved) >= 5);
    assert!(farm.events.is_empty(), "nobody's call was lost");
    let mut off = Farm::new(Settings { retry_refused: false, ..judged(HoldSetup::All) });
    assert_eq!(call(&mut off, "c", |_| "500 Broken"), "500 Broken");
}

#[test]
fn what_every_server_refuses_reaches_the_caller_as_it_was_said_last() {
    let mut farm = Farm::new(judged(HoldSetup::All));
    let mut asked = 0;
    let answer = call(&mut farm, "c", |_| {
        asked += 1;
        "500 Broken"
    });
    assert_eq!((answer.as_str(), asked), ("500 Broken", 4));
    for status in ["502 Bad Gateway", "486 Busy Here", "603 Decline", "404 Not Found"] {
        let mut asked = 0;
        call(&mut farm, &status[..3], |_| {
            asked += 1;
            status
        });
        assert_eq!(asked, 1, "{status} is said of the call");
    }
}

#[test]
fn a_call_that_fails_everywhere_sets_nobody_aside() {
    for hold_setup in [HoldSetup::Off, HoldSetup::All] {
        let mut farm = Farm::new(judged(hold_setup));
        for number in 0..400 {
            // Four of eight calls go to a broken callee, one by each server.
            let name = format!("c{number}");
            call(&mut farm, &name, |_| if number / 4 % 2 == 0 { "500 Broken" } else { "200 OK" });
            assert!(set_aside(&farm).is_empty(), "{number}");
        }
    }
}

#[test]
fn one_call_repeated_without_end_speaks_for_no_more_than_one() {
    let mut farm = Farm::new(judged(HoldSetup::Off));
    for number in 0..40 {
        call(&mut farm, &format!("good{number}"), |_| "200 OK");
    }
    for branch in 0..100 {
        let invite = request("INVITE", "again", &format!("z9hG4bKagain{branch}"), "");
        let sent = only(farm.udp(CLIENT, &invite));
        farm.udp(&server(&sent), &response(&sent, "500 Broken"));
        farm.publish();
    }
    assert!(set_aside(&farm).is_empty());
}

#[test]
fn at_most_half_are_set_aside_and_they_come_back_when_no_other_is_left() {
    let mut farm = Farm::new(judged(HoldSetup::Off));
    for number in 0..60 {
        let status = |last| if last <= 2 { "500 Broken" } else { "200 OK" };
        call(&mut farm, &format!("c{number}"), status);
    }
    assert_eq!(set_aside(&farm), [1, 2]);
    for number in 0..60 {
        call(&mut farm, &format!("d{number}"), |last| if last == 3 { "500 Broken" } else { "200 OK" });
    }
    assert_eq!(set_aside(&farm), [1, 2], "half of the farm stays");
    farm.kill("10.0.0.3:5060");
    farm.kill("10.0.0.4:5060");
    farm.now = farm.now + Duration::from_millis(100);
    farm.publish();
    assert_eq!(call(&mut farm, "last", |_| "200 OK"), "200 OK");
}

#[test]
fn one_that_is_well_again_gets_three_calls_and_then_slowly_its_share() {
    let mut farm = Farm::new(judged(HoldSetup::Off));
    for number in 0..40 {
        call(&mut farm, &format!("c{number}"), |last| if last == 1 { "500 Broken" } else { "200 OK" });
    }
    assert_eq!(set_aside(&farm), [1]);
    farm.wait(31);
    farm.publish();
    assert!(matches!(cause(&farm, 1).1, Cause::FailingTrial(_)), "{:?}", cause(&farm, 1));
    let mut given = 0;
    for number in 0..40 {
        let name = format!("t{number}");
        let sent = only(farm.udp(CLIENT, &request("INVITE", &name, &format!("z9hG4bK{name}"), "")));
        given += u32::from(server(&sent) == "10.0.0.1:5060");
    }
    assert_eq!(given, 3, "nothing was said of them yet");
    farm.wait(33);
    farm.publish();
    let mut count = |from: usize| {
        let mut given = 0;
        for number in from..from + 40 {
            call(&mut farm, &format!("w{number}"), |last| {
                given += u32::from(last == 1);
                "200 OK"
            });
        }
        given
    };
    let early = count(0);
    assert!((2..=7).contains(&early), "{early}");
    count(40);
    count(80);
    assert_eq!(count(120), 10, "a quarter, as the others");
}
