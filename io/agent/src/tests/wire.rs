//! The agent on the network: heartbeats by unicast, multicast and broadcast, and answers to queries.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use heartbeat::death::Death;
use heartbeat::{Ignored, Query, Replay, ServerState, Transport};

use super::*;

/// For the query socket.
const QUERY_PORT: u16 = 5070;

#[test]
fn a_heartbeat_says_who_where_how_and_how_loaded() {
    let mut rig = Rig::new().with_key();
    rig.start("while :; do :; done & sleep 3; kill $!", &[("period_ms", "250")]);
    rig.until(ServerState::Started);
    let mut replay = Replay::default();
    // CPU use is known from the second collection on.
    let heartbeats: Vec<_> = (0..4).map(|_| rig.heartbeat()).collect();
    for heartbeat in &heartbeats {
        assert_eq!(heartbeat.server_id, 42);
        assert_eq!(heartbeat.sip_port, rig.sip.port());
        assert_eq!(heartbeat.sip_address, Some(rig.sip.ip()));
        assert_eq!(heartbeat.transport, Some(Transport::Udp));
        assert_eq!(heartbeat.period_ms, Some(250));
        assert_eq!(heartbeat.nonce, None);
        assert_eq!(replay.admit(heartbeat), Ok(()), "counts rise");
    }
    let load = heartbeats[3].load.unwrap();
    let (host, server) = (load.cpu_permille.unwrap(), load.server_cpu_permille.unwrap());
    assert!(server > 0, "its busy child counts");
    assert!(host > 0 && host <= 1000);
    assert!(load.memory_available_kib.unwrap() > 1024);
    assert!(load.server_memory_kib.unwrap() > 100);
    assert_eq!(load.calls, None);
}

#[test]
fn the_state_tier_is_told_as_set_or_as_the_file_of_figures_says() {
    let mut rig = Rig::new().with_key();
    let file = rig.file("figures").display().to_string();
    rig.start(
        "exec sleep 60",
        &[("period_ms", "100"), ("collect_ms", "50"), ("state_tier", "17"), ("figures_from", &file)],
    );
    rig.until(ServerState::Started);
    assert_eq!(rig.heartbeat().state_tier, Some(17), "there is no file");
    std::fs::write(&file, "state_tier 18446744073709551615\n").unwrap();
    let told = |rig: &Rig| (0..50).find(|_| rig.heartbeat().state_tier == Some(u64::MAX));
    assert!(told(&rig).is_some());
    assert_eq!(rig.tell(control::Command::Status)["state_tier"], u64::MAX.to_string());
}

#[test]
fn query_and_heartbeat_give_the_same_figures() {
    let mut rig = Rig::new().with_key();
    let query = SocketAddr::from((rig.sip.ip(), QUERY_PORT));
    rig.start("exec sleep 60", &[("period_ms", "1000"), ("query", &query.to_string())]);
    rig.until(ServerState::Started);
    rig.heartbeat();
    let heartbeat = rig.heartbeat();
    let answer = crate::get_data::ask(query, Some(KEY.as_bytes()), PATIENCE).unwrap();
    assert!(heartbeat.load.unwrap().cpu_permille.is_some());
    assert_eq!(Heartbeat { count: None, nonce: None, ..answer }, Heartbeat { count: None, ..heartbeat });
    assert!(answer.count > heartbeat.count);
    let status = rig.tell(control::Command::Status);
    let load = answer.load.unwrap();
    assert_eq!(status["state"], "started");
    assert_eq!(status["cpu_permille"], load.cpu_permille.unwrap().to_string());
    assert_eq!(status["memory_available_kib"], load.memory_available_kib.unwrap().to_string());
    assert_eq!(status["server_memory_kib"], load.server_memory_kib.unwrap().to_string());
    assert_eq!(status["queries_answered"], "1");
}

#[test]
fn only_signed_queries_are_answered_and_the_others_counted() {
    let mut rig = Rig::new().with_key();
    let query = SocketAddr::from((rig.sip.ip(), QUERY_PORT));
    rig.start("exec sleep 60", &[("query", &query.to_string())]);
    rig.until(ServerState::Started);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let unsigned = Query { nonce: 1 }.encode(None);
    let forged = Query { nonce: 2 }.encode(Some(b"another key than the agent's"));
    for datagram in [&unsigned[..], &forged[..], &unsigned[..16], b"OPTIONS sip:a SIP/2.0\r\n\r\n"] {
        socket.send_to(datagram, query).unwrap();
    }
    let mut buffer = [0; 600];
    assert!(socket.recv(&mut buffer).is_err(), "none is answered");
    socket.send_to(&Query { nonce: 3 }.encode(Some(KEY.as_bytes())), query).unwrap();
    let length = socket.recv(&mut buffer).unwrap();
    assert!(length <= heartbeat::query::QUERY_BYTES, "no more bytes out than in");
    assert_eq!(Heartbeat::decode(&buffer[..length], Some(KEY.as_bytes())).unwrap().nonce, Some(3));
    let status = rig.tell(control::Command::Status);
    for reason in
        [Ignored::NoAuthenticator, Ignored::BadAuthenticator, Ignored::Short, Ignored::WrongProtocol]
    {
        assert_eq!(status[&format!("queries_ignored_{}", reason.name())], "1");
    }
}

#[test]
fn heartbeats_go_to_several_load_managers() {
    let mut rig = Rig::new();
    let second = UdpSocket::bind("127.0.0.1:0").unwrap();
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = format!("{} {}", rig.ear().local_addr().unwrap(), second.local_addr().unwrap());
    rig.start("exec sleep 60", &[("to", &to)]);
    let first = rig.until(ServerState::Started);
    let mut buffer = [0; 600];
    for expected in first {
        let length = second.recv(&mut buffer).unwrap();
        assert_eq!(Heartbeat::decode(&buffer[..length], None), Ok(expected));
    }
}

#[test]
fn heartbeats_go_out_by_multicast() {
    let mut rig = Rig::listening_at("0.0.0.0:0");
    let group = Ipv4Addr::new(239, 255, 72, 1);
    rig.ear().join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    let to = format!("{group}:{}", rig.ear().local_addr().unwrap().port());
    rig.start("exec sleep 60", &[("to", &to), ("interface", "127.0.0.1")]);
    rig.until(ServerState::Started);
}

#[test]
fn heartbeats_go_out_by_broadcast() {
    // The loopback interface also has a broadcast address.
    let mut rig = Rig::listening_at("0.0.0.0:0");
    let to = format!("127.255.255.255:{}", rig.ear().local_addr().unwrap().port());
    rig.start("exec sleep 60", &[("to", &to)]);
    rig.until(ServerState::Started);
}

#[test]
fn an_address_that_cannot_be_sent_to_is_logged_once_and_hinders_no_other() {
    let mut rig = Rig::new();
    // An IPv4 address mapped into IPv6 cannot be reached from a socket that is IPv6 only.
    let to = format!("[::ffff:192.0.2.1]:5070 {}", rig.ear().local_addr().unwrap());
    rig.start("exec sleep 60", &[("to", &to)]);
    rig.until(ServerState::Started);
    for _ in 0..3 {
        rig.heartbeat();
    }
    rig.logged(1, "heartbeat to [::ffff:192.0.2.1]:5070 was not sent");
}

#[test]
fn a_crossed_threshold_is_told_at_once_and_in_each_round_while_it_lasts() {
    let mut rig = Rig::new();
    // Any use of the CPU is too much; the next periodic heartbeat is far away.
    rig.start("exec sleep 60", &[("period_ms", "60000"), ("cpu_high_permille", "0"), ("collect_ms", "100")]);
    rig.until(ServerState::Started);
    // CPU use is known from the second collection on.
    for _ in 0..4 {
        assert!(rig.heartbeat().load.unwrap().cpu_permille.is_some());
    }
}

#[test]
fn below_the_thresholds_nothing_is_told_between_heartbeats() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[("period_ms", "60000"), ("collect_ms", "50")]);
    rig.until(ServerState::Started);
    // CPU use is known from the second round on. A round sends its notifications before its figures are visible here.
    eventually("a second round", || rig.tell(control::Command::Status)["cpu_permille"] != "unknown");
    assert_eq!(rig.pending(), []);
}

#[test]
fn a_load_manager_that_is_not_there_is_named_in_log_and_status_with_the_remedy() {
    let mut rig = Rig::new();
    let gone = SocketAddr::from((rig.sip.ip(), QUERY_PORT));
    let ear = rig.ear().local_addr().unwrap();
    rig.start("exec sleep 60", &[("to", &format!("{gone} {ear}")), ("period_ms", "50")]);
    rig.until(ServerState::Started);
    eventually("the refusal is logged", || rig.log().contains(&format!("heartbeats to {gone} reach nobody")));
    for _ in 0..5 {
        rig.heartbeat();
    }
    rig.logged(1, "reach nobody");
    rig.logged(1, "check that a load manager runs there with heartbeat.listen at this port");
    rig.logged(0, "was not sent");
    let status = control::tell(&rig.file("control"), control::Command::Status).unwrap();
    assert!(
        status.contains(&format!("heartbeats_to {gone} refused\nheartbeats_to {ear} sent\n")),
        "{status}"
    );
}

#[test]
fn a_good_notice_that_a_server_is_gone_is_passed_on_to_the_server_once() {
    let mut rig = Rig::new().with_key();
    let server = UdpSocket::bind(rig.sip).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    rig.start("exec sleep 60", &[("period_ms", "60000"), ("state_tier", "17")]);
    let from = rig.heartbeat_from();
    let now = os::since_1970().as_micros() as u64;
    let notice = |state_tier, count, key: &str| {
        let death = Death { state_tier, server_id: 3, sip: ([192, 0, 2, 3], 5060).into() };
        death.encode(9, count, Some(key.as_bytes()))
    };
    let (good, next) = (notice(17, now, KEY), notice(17, now + 1, KEY));
    let forged = notice(17, now + 2, "another key than the agent's");
    for datagram in [&forged[..], &notice(18, now - 1, KEY), &good, &good, &good[..59], &next] {
        rig.ear().send_to(datagram, from).unwrap();
    }
    let mut buffer = [0; 600];
    for expected in [good, next] {
        let length = server.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], expected);
    }
    let status = rig.tell(control::Command::Status);
    assert_eq!((&*status["notices_passed"], &*status["notices_ignored"]), ("2", "4"));
}
