//! Draining and the orderly end.

use std::time::{Duration, Instant};

use heartbeat::ServerState;

use super::*;

#[test]
fn draining_and_resuming_change_only_what_is_said() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    let server = rig.server();
    assert_eq!(rig.tell(control::Command::Drain)["state"], "draining");
    rig.until(ServerState::Draining);
    assert_eq!(rig.tell(control::Command::Resume)["state"], "started");
    rig.until(ServerState::Started);
    assert_eq!(rig.server(), server);
}

#[test]
fn sigterm_drains_then_stops_then_says_so() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[("drain_ms", "400")]);
    rig.until(ServerState::Started);
    let server = rig.server();
    let begin = Instant::now();
    rig.signal_agent(libc::SIGTERM);
    rig.until(ServerState::Draining);
    assert!(runs(server));
    rig.until(ServerState::Stopped);
    assert!(begin.elapsed() >= Duration::from_millis(400));
    assert_eq!(rig.agent_exit().code(), Some(0));
    assert!(!runs(server));
    rig.logged(1, "server was killed by SIGTERM; stopped");
    assert!(!rig.file("control").exists());
}

#[test]
fn a_second_sigterm_does_not_wait_for_the_draining() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[("drain_ms", "60000")]);
    rig.until(ServerState::Started);
    rig.signal_agent(libc::SIGTERM);
    rig.until(ServerState::Draining);
    // A second signal soon after the first counts as the same signal.
    eventually("a second one is heard", || {
        rig.signal_agent(libc::SIGTERM);
        rig.pending().iter().any(|heartbeat| heartbeat.state == ServerState::Stopped)
    });
    assert_eq!(rig.agent_exit().code(), Some(0));
}

#[test]
fn a_server_that_ignores_sigterm_is_killed_after_the_timeout() {
    let mut rig = Rig::new();
    let deaf = rig.file("deaf");
    rig.start(&format!("trap '' TERM; touch '{}'; sleep 60", deaf.display()), &[("stop_timeout_ms", "300")]);
    eventually("the server ignores SIGTERM", || deaf.exists());
    rig.until(ServerState::Started);
    let server = rig.server();
    let begin = Instant::now();
    rig.tell(control::Command::Stop);
    assert_eq!(rig.agent_exit().code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    rig.logged(1, "it gets SIGKILL");
    assert!(crate::proc::in_session(server).is_empty(), "nor does what it started live on");
}

#[test]
fn all_that_a_server_started_has_time_to_end() {
    let mut rig = Rig::new();
    let (saved, listens) = (rig.file("saved"), rig.file("listens"));
    // The first process ends at once on SIGTERM; the second process saves something first.
    let child = format!(
        "trap 'sleep 0.3; touch {}; exit' TERM; touch {}; for i in $(seq 600); do sleep 0.1; done",
        saved.display(),
        listens.display()
    );
    std::fs::write(rig.file("child"), child).unwrap();
    rig.start(&format!("sh {} & wait", rig.file("child").display()), &[("stop_timeout_ms", "5000")]);
    eventually("the second process waits for SIGTERM", || listens.exists());
    rig.until(ServerState::Started);
    rig.signal_agent(libc::SIGTERM);
    assert_eq!(rig.agent_exit().code(), Some(0));
    assert!(saved.exists(), "{}", rig.log());
}
