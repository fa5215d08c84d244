//! Connections that are lost with what was written to them, and requests that come by stream and leave by datagram: if
//! their sender does not repeat them, we do.

use super::farm::*;
use crate::counters::Counter;
use crate::outbox::Event;
use crate::settings::*;
use base::Duration;
use sip::Transport;

const OVER_TCP: &str = "192.0.2.1:40000";

fn tcp_farm(affinity: Affinity, selection: Selection) -> Farm {
    let mut given = settings(affinity, selection);
    given.servers.iter_mut().for_each(|server| server.transport = Transport::Tcp);
    Farm::new(given)
}

/// The server's address alone.
fn place(left: &Left) -> String {
    left.address().split(' ').nth(1).unwrap().to_owned()
}

/// INVITE and its 200: what the server got, and what the client got. The client is on connection 3, or at [`CLIENT`].
fn establish_over(farm: &mut Farm, client: &str, call: &str) -> (Left, Left) {
    let text = request("INVITE", call, &format!("z9hG4bK-{call}"), "");
    let invite = only(if client == CLIENT { farm.udp(client, &text) } else { farm.tcp(client, 3, &text) });
    let (server, ok) = (place(&invite), response(&invite, "200 OK"));
    let by_stream = invite.address().starts_with("tcp ");
    let answer = only(if by_stream { farm.tcp(&server, 9, &ok) } else { farm.udp(&server, &ok) });
    (invite, answer)
}

/// A call over TCP with its BYE on the way to the server.
fn hanging_up(farm: &mut Farm, call: &str) -> (Left, Left) {
    let (invite, answer) = establish_over(farm, OVER_TCP, call);
    farm.wait(60);
    let bye = from_client("BYE", call, &format!("z9hG4bKbye-{call}"), "bob", &routes(&answer));
    let bye = only(farm.tcp(OVER_TCP, 3, &bye));
    assert_eq!(bye.address(), invite.address());
    (bye, answer)
}

/// All messages except our own OPTIONS.
fn of_callers(left: Vec<Left>) -> Vec<Left> {
    left.into_iter().filter(|left| !left.start_line().starts_with("OPTIONS ")).collect()
}

#[test]
fn what_a_lost_connection_took_is_sent_again_byte_for_byte() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let (bye, _) = hanging_up(&mut farm, "c1");
    assert!(farm.timers().is_empty());
    assert_eq!(farm.closed(&place(&bye)).len(), 2, "and the server is asked whether it lives");
    let again = only(farm.timers());
    assert_eq!((again.address(), &again.text), (bye.address(), &bye.text));
    let answer = only(farm.tcp(&place(&bye), 9, &response(&again, "200 OK")));
    assert_eq!((answer.address(), answer.start_line()), ("connection 3".into(), "SIP/2.0 200 OK"));
    farm.wait(1);
    assert!(farm.closed(&place(&bye)).is_empty(), "nothing waits any more");
    assert!(farm.timers().is_empty() && farm.events.is_empty());
}

#[test]
fn a_bye_that_a_dead_server_took_is_given_to_the_one_that_takes_over() {
    for (affinity, selection) in [
        (Affinity::Tag, Selection::RoundRobin),
        (Affinity::Session, Selection::RoundRobin),
        (Affinity::Hash, Selection::Hash),
    ] {
        let mut farm = tcp_farm(affinity, selection);
        for call in 0..12 {
            let call = format!("c{call}");
            let (bye, answer) = hanging_up(&mut farm, &call);
            farm.closed(&place(&bye));
            farm.kill(&place(&bye));
            let moved = only(of_callers(farm.timers()));
            assert_ne!(moved.address(), bye.address());
            let Some(Event::TakenOver { why, .. }) = farm.events.pop() else { panic!("no record") };
            assert_eq!(why, "server failed before it answered");
            // A later request of the same call finds the same server.
            let info = from_client("INFO", &call, &format!("z9hG4bKinfo-{call}"), "bob", &routes(&answer));
            let info = only(farm.tcp(OVER_TCP, 3, &info));
            assert_eq!(info.address(), moved.address(), "{affinity:?}");
            farm.tcp(&place(&info), 9, &response(&info, "200 OK"));
            let ended = only(farm.tcp(&place(&moved), 9, &response(&moved, "200 OK")));
            assert_eq!(ended.address(), "connection 3");
            let address = place(&bye).parse().unwrap();
            farm.table.add(farm.now, &ServerEntry::at(address, Transport::Tcp)).unwrap();
            farm.publish();
            farm.events.clear();
        }
    }
}

#[test]
fn a_server_that_refuses_every_connection_is_given_up_without_any_judge() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let (bye, _) = hanging_up(&mut farm, "c1");
    farm.closed(&place(&bye));
    for pause_ms in [0, 500, 1000] {
        farm.now = farm.now + Duration::from_millis(pause_ms);
        let again = only(of_callers(farm.timers()));
        assert_eq!(again.address(), bye.address());
        assert!(farm.timers().is_empty());
        farm.send_failed(again.to);
    }
    assert_ne!(only(of_callers(farm.timers())).address(), bye.address());
}

#[test]
fn a_server_is_not_blamed_for_what_this_host_had_no_room_for() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let (bye, _) = hanging_up(&mut farm, "c1");
    let server = farm.shared.snapshot().by_address(place(&bye).parse().unwrap()).unwrap().seat.slot;
    farm.closed(&place(&bye));
    for pause_ms in [0, 500, 1000] {
        farm.now = farm.now + Duration::from_millis(pause_ms);
        let again = only(of_callers(farm.timers()));
        assert_eq!(again.address(), bye.address());
        farm.no_room(again.to);
    }
    assert_eq!(farm.count(Counter::NoRoom), 3);
    assert_eq!(farm.shared.tables.evidence.totals(server).unreachable, 0);
}

#[test]
fn an_ack_is_not_held() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish_over(&mut farm, OVER_TCP, "c1");
    let ack = from_client("ACK", "c1", "z9hG4bK2", "bob", &routes(&answer));
    assert_eq!(only(farm.tcp(OVER_TCP, 3, &ack)).address(), invite.address());
    assert!(farm.shared.held.is_empty());
    assert!(farm.closed(&place(&invite)).is_empty());
}

#[test]
fn a_client_over_udp_repeats_by_itself() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let sent = only(farm.udp(CLIENT, &request("MESSAGE", "c1", "z9hG4bK1", "")));
    assert!(sent.address().starts_with("tcp ") && farm.shared.held.is_empty());
}

#[test]
fn nothing_is_held_between_datagrams() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (_, answer) = establish_over(&mut farm, CLIENT, "c1");
    farm.udp(CLIENT, &from_client("BYE", "c1", "z9hG4bK2", "bob", &routes(&answer)));
    assert!(farm.shared.held.is_empty() && farm.shared.held.counts().kept == 0);
}

/// A request within a dialog of a server over TCP, to a client that is reached over UDP.
fn of_server(server: &str, method: &str, answer: &Left, number: u32) -> String {
    let route: String = routes(answer);
    format!(
        "{method} sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP {server};branch=z9hG4bKs{number}\r\n{route}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\n\
         Call-ID: c1\r\nCSeq: {number} {method}\r\nContact: <sip:{server};transport=tcp>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn what_a_server_sends_by_stream_is_repeated_to_a_client_over_udp() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish_over(&mut farm, CLIENT, "c1");
    let server = place(&invite);
    let bye = only(farm.tcp(&server, 9, &of_server(&server, "BYE", &answer, 1)));
    assert_eq!(bye.address(), "udp 192.0.2.1:5060");
    for pause_ms in [500, 1000, 2000, 4000, 4000] {
        farm.now = farm.now + Duration::from_millis(pause_ms - 1);
        assert!(farm.timers().is_empty());
        farm.now = farm.now + Duration::from_millis(1);
        let again = only(farm.timers());
        assert_eq!((again.address(), &again.text), (bye.address(), &bye.text), "after {pause_ms} ms");
    }
    farm.kill(&server);
    assert!(farm.timers().is_empty() && farm.events.is_empty(), "no server takes over what goes to a client");
    let answered = only(farm.udp(CLIENT, &response(&bye, "200 OK")));
    assert_eq!(answered.address(), "connection 9");
    farm.now = farm.now + Duration::from_secs(4);
    assert!(farm.udp(CLIENT, &response(&bye, "200 OK")).is_empty(), "a copy");
    farm.now = farm.now + Duration::from_secs(2);
    assert!(farm.timers().is_empty() && farm.shared.held.is_empty());
}

#[test]
fn a_set_up_of_a_server_by_stream_is_repeated_cancelled_and_acknowledged_to_a_client_over_udp() {
    let mut farm = tcp_farm(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish_over(&mut farm, CLIENT, "c1");
    let server = place(&invite);
    let text = of_server(&server, "INVITE", &answer, 7);
    let sent = only(farm.tcp(&server, 9, &text));
    assert_eq!(sent.address(), "udp 192.0.2.1:5060");
    farm.now = farm.now + Duration::from_millis(500);
    assert_eq!(only(farm.timers()).text, sent.text);
    farm.udp(CLIENT, &response(&sent, "180 Ringing"));
    let cancel = text.replace("INVITE", "CANCEL");
    let accepted = only(farm.tcp(&server, 9, &cancel));
    assert_eq!((accepted.address(), accepted.start_line()), ("connection 9".into(), "SIP/2.0 200 OK"));
    let passed = only(farm.timers());
    assert_eq!(
        (passed.address(), passed.start_line()),
        (sent.address(), "CANCEL sip:alice@192.0.2.1 SIP/2.0")
    );
    assert!(farm.udp(CLIENT, &response(&passed, "200 OK")).is_empty(), "the server has its answer");
    let ended = only(farm.udp(CLIENT, &response(&sent, "487 Request Terminated")));
    assert_eq!(
        (ended.address(), ended.start_line()),
        ("connection 9".into(), "SIP/2.0 487 Request Terminated")
    );
    let copy = only(farm.udp(CLIENT, &response(&sent, "487 Request Terminated")));
    assert_eq!((copy.address(), copy.start_line()), (sent.address(), "ACK sip:alice@192.0.2.1 SIP/2.0"));
}

/// The client does not repeat an INVITE that rang, and a server over TCP does not repeat a failure: the load manager between
/// them must.
#[test]
fn a_failure_that_came_by_stream_is_repeated_to_a_client_over_udp_until_its_ack() {
    for hold_setup in [HoldSetup::Off, HoldSetup::Stream, HoldSetup::All] {
        let mut given = settings(Affinity::Tag, Selection::RoundRobin);
        given.servers.iter_mut().for_each(|server| server.transport = Transport::Tcp);
        given.hold_setup = hold_setup;
        let mut farm = Farm::new(given);
        let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK-c1", "")));
        let server = place(&invite);
        only(farm.tcp(&server, 9, &response(&invite, "180 Ringing")));
        let busy = only(farm.tcp(&server, 9, &response(&invite, "486 Busy Here")));
        let mut copies = 0;
        for _ in 0..4 {
            farm.now = farm.now + Duration::from_millis(500);
            copies += farm
                .timers()
                .iter()
                .filter(|left| (left.address(), &left.text) == (busy.address(), &busy.text))
                .count();
        }
        assert_eq!(copies, 2, "after 0.5 and 1.5 s, {hold_setup:?}");
        let ack = from_client("ACK", "c1", "z9hG4bK-c1", "bob", "");
        assert_eq!(only(farm.udp(CLIENT, &ack)).address(), invite.address());
        farm.wait(40);
        assert!(farm.timers().is_empty(), "{hold_setup:?}");
        assert!(farm.shared.held.is_empty(), "{hold_setup:?}");
    }
}
