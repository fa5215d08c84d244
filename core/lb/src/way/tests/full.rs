//! A server that refuses a call with 503 and Retry-After: what happens to the call, and what the caller gets.

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

const FULL: &str = "503 Service Unavailable\r\nRetry-After: 120";

fn server(left: &Left) -> String {
    left.address()[4..].to_owned()
}

/// An INVITE over TCP, which is held, and its server's refusal: the ACK, and the actions that follow at once.
fn refused_over_tcp(farm: &mut Farm, call: &str) -> (Left, Vec<Left>, Vec<Left>) {
    let invite = request("INVITE", call, &format!("z9hG4bK{call}"), "").replace("UDP", "TCP");
    let sent = only(farm.tcp("192.0.2.1:40000", 3, &invite));
    let said = farm.udp(&server(&sent), &response(&sent, FULL));
    (sent, said, farm.timers())
}

#[test]
fn a_held_call_goes_to_another_server_and_the_refusal_no_further() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (sent, said, again) = refused_over_tcp(&mut farm, "c1");
    let ack = only(said);
    assert!(ack.start_line().starts_with("ACK"), "{}", ack.text);
    assert_eq!(ack.address(), sent.address());
    let again = only(again);
    assert_ne!(again.address(), sent.address());
    let answer = only(farm.udp(&server(&again), &response(&again, "200 OK")));
    assert_eq!((answer.address().as_str(), answer.start_line()), ("connection 3", "SIP/2.0 200 OK"));
    // The copy of the refusal is acknowledged again, and the dialog is at the second server.
    assert!(only(farm.udp(&server(&sent), &response(&sent, FULL))).start_line().starts_with("ACK"));
    let bye = from_client("BYE", "c1", "z9hG4bKb", "bob", &routes(&answer));
    assert_eq!(only(farm.tcp("192.0.2.1:40000", 3, &bye)).address(), again.address());
    assert_eq!((farm.count(Counter::SetupMoved), farm.events.len()), (1, 0), "no fault of anybody");
}

#[test]
fn when_four_are_full_the_caller_is_told_but_not_to_keep_away_from_the_others() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let address = std::net::SocketAddr::from(([10, 0, 0, 5], 5060));
    farm.table.add(farm.now, &ServerEntry::at(address, sip::Transport::Udp)).unwrap();
    farm.publish();
    let (_, _, mut again) = refused_over_tcp(&mut farm, "c1");
    for attempt in 2..=4 {
        let sent = only(again);
        let said = only(farm.udp(&server(&sent), &response(&sent, FULL)));
        assert_eq!(said.start_line().starts_with("ACK"), attempt < 4, "{}", said.text);
        if attempt == 4 {
            assert_eq!(
                (said.start_line(), said.field("Retry-After")),
                ("SIP/2.0 503 Service Unavailable", None)
            );
        }
        again = farm.timers();
    }
    assert_eq!(again.len(), 0);
}

#[test]
fn a_caller_over_udp_is_not_told_to_keep_away_from_the_farm_while_another_has_room() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let refuse = |farm: &mut Farm, text: &str| {
        let sent = only(farm.udp(CLIENT, text));
        only(farm.udp(&server(&sent), &response(&sent, FULL)))
    };
    for method in ["INVITE", "MESSAGE"] {
        let seen = refuse(&mut farm, &request(method, "new", "z9hG4bKn", ""));
        assert_eq!(seen.start_line(), "SIP/2.0 503 Service Unavailable");
        assert_eq!(seen.field("Retry-After"), None);
    }
    // The last server: now the refusal is true of the whole farm.
    for last in 2..=4 {
        farm.kill(&format!("10.0.0.{last}:5060"));
    }
    let seen = refuse(&mut farm, &request("INVITE", "last", "z9hG4bKl", ""));
    assert_eq!(seen.field("Retry-After"), Some("120"));
}

#[test]
fn a_server_that_fails_at_once_what_it_is_given_is_not_the_one_with_the_least_to_do() {
    for selection in [Selection::Cjsq, Selection::Tjsq, Selection::Tlwl] {
        let mut farm = Farm::of(Affinity::Tag, selection);
        let mut given = [0; 5];
        for call in 0..80 {
            let call = format!("c{call}");
            let sent = only(farm.udp(CLIENT, &request("INVITE", &call, &format!("z9hG4bK{call}"), "")));
            let last: usize = server(&sent)[7..8].parse().unwrap();
            given[last] += 1;
            // The other servers ring.
            let status = if last == 1 { "500 Broken" } else { "180 Ringing" };
            farm.udp(&server(&sent), &response(&sent, status));
        }
        assert_eq!(given, [0, 20, 20, 20, 20], "{selection:?}");
        // The failed calls do not count for ever.
        for _ in 0..40 {
            farm.wait(1);
        }
        let rows = farm.table.rows(farm.now);
        let counted: Vec<bool> = rows.iter().map(|row| row.in_progress == Some(0)).collect();
        assert_eq!(counted, [true, false, false, false], "{selection:?}");
    }
}

#[test]
fn what_is_for_that_server_alone_is_given_to_no_other() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "known");
    let again = from_client("INVITE", "known", "z9hG4bKr", "bob", &routes(&answer)).replace("UDP", "TCP");
    let sent = only(farm.tcp("192.0.2.1:40000", 3, &again));
    assert_eq!(sent.address(), invite.address());
    let said = only(farm.udp(&server(&sent), &response(&sent, FULL)));
    assert!(said.start_line().starts_with("SIP/2.0 503"), "{}", said.text);
    assert!(farm.timers().is_empty());
    // Nor is a call moved that its caller has given up.
    let invite = request("INVITE", "c2", "z9hG4bKc2", "").replace("UDP", "TCP");
    let sent = only(farm.tcp("192.0.2.1:40000", 3, &invite));
    farm.udp(&server(&sent), &response(&sent, "180 Ringing"));
    farm.tcp("192.0.2.1:40000", 3, &invite.replace("INVITE", "CANCEL"));
    let said = farm.udp(&server(&sent), &response(&sent, FULL));
    assert!(said.iter().any(|left| left.start_line().starts_with("SIP/2.0 503")), "{said:#?}");
}
