//! Deaths, restarts and readiness.

use std::time::{Duration, Instant};

use heartbeat::ServerState;

use super::*;

#[test]
fn a_server_that_keeps_dying_is_restarted_with_growing_pauses_and_given_up() {
    let mut rig = Rig::new();
    rig.start("exit 3", &[("ready", "port"), ("restart_delay_ms", "40"), ("give_up", "3")]);
    assert_eq!(rig.agent_exit().code(), Some(1));
    rig.logged(4, "exited with code 3");
    rig.logged(1, "restart in 40 ms");
    rig.logged(1, "restart in 80 ms");
    rig.logged(1, "restart in 160 ms");
    rig.logged(1, "given up: 3 restarts within 60 s did not help");
    let heartbeats = rig.pending();
    assert!(heartbeats.len() >= 2);
    assert!(heartbeats.iter().all(|heartbeat| heartbeat.state == ServerState::Stopped));
}

#[test]
fn a_program_that_is_not_there_is_named_and_given_up() {
    let mut rig = Rig::new();
    rig.start("", &[("program", "/nonexistent/sip-server"), ("restart_delay_ms", "10"), ("give_up", "1")]);
    assert_eq!(rig.agent_exit().code(), Some(1));
    rig.logged(2, "could not be started: /nonexistent/sip-server: No such file or directory");
    rig.logged(1, "restart in 10 ms");
}

#[test]
fn the_signal_that_killed_a_server_is_named() {
    let mut rig = Rig::new();
    rig.start("kill -SEGV $$", &[("ready", "port"), ("give_up", "0")]);
    assert_eq!(rig.agent_exit().code(), Some(1));
    rig.logged(1, "server was killed by SIGSEGV");
}

#[test]
fn death_is_told_at_once_and_the_restart_too() {
    let mut rig = Rig::new();
    // The period is far longer than the allowed time, so the periodic heartbeat cannot be the one that tells.
    rig.start("exec sleep 60", &[("period_ms", "5000"), ("restart_delay_ms", "300")]);
    rig.until(ServerState::Started);
    let first = rig.server();
    let death = Instant::now();
    kill(first, libc::SIGKILL);
    assert_eq!(rig.heartbeat().state, ServerState::Stopped);
    let told = death.elapsed();
    assert!(told < Duration::from_millis(100), "told after {told:?}");
    assert_eq!(rig.heartbeat().state, ServerState::Started);
    assert!(death.elapsed() >= Duration::from_millis(300), "the pause was kept");
    assert_ne!(rig.server(), first);
    assert_eq!(rig.tell(control::Command::Status)["restarts"], "1");
    rig.logged(1, "server was killed by SIGKILL");
}

#[test]
fn what_a_dead_server_leaves_is_ended_before_the_next() {
    let mut rig = Rig::new();
    let left = rig.file("left");
    let command = format!("trap '' TERM; sleep 60 & echo $! >> '{}'; wait", left.display());
    rig.start(&command, &[("restart_delay_ms", "100")]);
    rig.until(ServerState::Started);
    let read = || std::fs::read_to_string(&left).unwrap_or_default();
    eventually("the child's pid is written", || read().lines().count() == 1);
    let orphan: i32 = read().trim().parse().unwrap();
    kill(rig.server(), libc::SIGKILL);
    rig.until(ServerState::Stopped);
    rig.until(ServerState::Started);
    assert!(!runs(orphan), "it ignores SIGTERM, so SIGKILL must have ended it");
}

#[test]
fn a_server_is_started_when_its_udp_port_is_bound() {
    let mut rig = Rig::new();
    let begin = Instant::now();
    rig.start(&server_at(&format!("udp:{}", rig.sip), 400), &[("ready", "port")]);
    let heartbeats = rig.until(ServerState::Started);
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert!(heartbeats.len() >= 3, "it says stopped until then");
    rig.logged(1, "server is ready");
}

#[test]
fn a_server_is_started_when_its_tcp_port_is_listened_on() {
    for ready in ["port", "options"] {
        let mut rig = Rig::new();
        let begin = Instant::now();
        rig.start(&server_at(&format!("tcp:{}", rig.sip), 300), &[("ready", ready), ("transport", "tcp")]);
        let heartbeats = rig.until(ServerState::Started);
        assert!(begin.elapsed() >= Duration::from_millis(300));
        assert_eq!(heartbeats[0].transport, Some(Transport::Tcp));
    }
}

#[test]
fn a_server_is_started_when_it_answers_options() {
    let mut rig = Rig::new();
    rig.start(&server_at(&format!("udp:{}", rig.sip), 100), &[("ready", "options")]);
    rig.until(ServerState::Started);
}

#[test]
fn a_server_that_hangs_is_killed_and_started_again() {
    let mut rig = Rig::new();
    rig.start(&server_at(&format!("udp:{}", rig.sip), 0), &[("ready", "options"), ("hung_ms", "2000")]);
    rig.until(ServerState::Started);
    let first = rig.server();
    // It answers for a while.
    rig.heartbeat();
    assert!(runs(first));
    kill(first, libc::SIGSTOP);
    rig.until(ServerState::Stopped);
    rig.until(ServerState::Started);
    assert_ne!(rig.server(), first);
    rig.logged(1, "server does not answer OPTIONS for 2000 ms; it is killed");
}

#[test]
fn a_port_of_another_transport_or_number_is_not_the_servers() {
    let mut rig = Rig::new();
    rig.start(&server_at(&format!("tcp:{}", rig.sip), 0), &[("ready", "port")]);
    for _ in 0..5 {
        assert_eq!(rig.heartbeat().state, ServerState::Stopped);
    }
    assert_eq!(rig.tell(control::Command::Status)["server"], "starting, not ready");
}

#[test]
fn the_servers_signals_are_passed_on() {
    let mut rig = Rig::new();
    let heard = rig.file("heard");
    let trap = |name: &str| format!("trap 'echo {name} >> \"{}\"' {name}; ", heard.display());
    let traps: String = ["HUP", "USR1", "USR2"].map(trap).concat();
    rig.start(
        &format!("{traps} echo ready >> '{}'; for i in $(seq 600); do sleep 0.1; done", heard.display()),
        &[],
    );
    let read = || std::fs::read_to_string(&heard).unwrap_or_default();
    eventually("the server has set its traps", || read().contains("ready"));
    for (signal, name) in [(libc::SIGHUP, "HUP"), (libc::SIGUSR1, "USR1"), (libc::SIGUSR2, "USR2")] {
        rig.signal_agent(signal);
        eventually(name, || read().lines().any(|line| line == name));
    }
    rig.until(ServerState::Started);
}
