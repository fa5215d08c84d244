//! A server outlives its agent, and the next agent finds it.

use heartbeat::ServerState;

use super::*;

#[test]
fn a_server_outlives_a_killed_agent_and_is_adopted() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    let server = rig.server();
    let before = procfs::process::Process::new(server).unwrap().stat().unwrap();
    rig.agent().kill().unwrap();
    rig.agent().wait().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(runs(server), "it has a session of its own and no death signal");
    rig.pending();

    rig.start("exec sleep 60", &[]);
    let first = rig.heartbeat();
    assert_eq!(first.state, ServerState::Started, "no stopped in between: its calls go on");
    assert!(first.load.unwrap().server_memory_kib.is_some_and(|kib| kib > 0));
    assert_eq!(rig.server(), server);
    let after = procfs::process::Process::new(server).unwrap().stat().unwrap();
    assert_eq!(after.starttime, before.starttime);
    rig.logged(1, "adopts it");
    rig.logged(1, "server started");

    // The new agent watches the server as if it had started the server itself.
    kill(server, libc::SIGKILL);
    rig.until(ServerState::Stopped);
    rig.until(ServerState::Started);
    assert_ne!(rig.server(), server);
    rig.logged(1, "exit status unknown");
}

#[test]
fn an_adopted_server_can_be_stopped() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    let server = rig.server();
    rig.agent().kill().unwrap();
    rig.agent().wait().unwrap();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    eventually("the new agent has adopted", || rig.log().contains("adopts it"));
    rig.tell(control::Command::Stop);
    assert_eq!(rig.agent_exit().code(), Some(0));
    assert!(!runs(server));
}

#[test]
fn a_server_that_died_without_an_agent_is_started_anew() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    let server = rig.server();
    rig.agent().kill().unwrap();
    rig.agent().wait().unwrap();
    kill(server, libc::SIGKILL);
    eventually("the server ends", || !runs(server));
    rig.start("exec sleep 60", &[]);
    eventually("another is started", || rig.log().matches("server started").count() == 2);
    rig.logged(1, "of the earlier agent has ended");
}

#[test]
fn a_process_that_only_has_the_pid_is_not_adopted() {
    let mut rig = Rig::new();
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    let state = format!(
        "strowger agent state 1\npid {}\nstart_time 1\nboot_id {}\nready true\ndraining false\n",
        other.id(),
        crate::proc::boot_id()
    );
    fs::write(rig.file("state"), state).unwrap();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    assert_ne!(rig.server(), other.id() as i32);
    assert!(other.try_wait().unwrap().is_none(), "and it is left alone");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_second_agent_for_the_same_server_is_refused() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    let first = rig.agent.take();
    rig.start("exec sleep 60", &[]);
    assert_eq!(rig.agent_exit().code(), Some(2));
    rig.logged(1, "another agent uses it");
    rig.agent = first;
    rig.pending();
    assert_eq!(rig.heartbeat().state, ServerState::Started);
}

#[test]
fn a_detached_server_runs_on_and_draining_is_remembered() {
    let mut rig = Rig::new();
    rig.start("exec sleep 60", &[]);
    rig.until(ServerState::Started);
    let server = rig.server();
    rig.tell(control::Command::Drain);
    rig.until(ServerState::Draining);
    rig.tell(control::Command::Detach);
    assert_eq!(rig.agent_exit().code(), Some(0));
    assert!(runs(server));
    let last = rig.pending();
    assert!(
        last.iter().all(|heartbeat| heartbeat.state == ServerState::Draining),
        "stopped would end its calls"
    );
    rig.start("exec sleep 60", &[]);
    assert_eq!(rig.heartbeat().state, ServerState::Draining);
    assert_eq!(rig.server(), server);
}

#[test]
fn counts_go_on_above_those_of_an_earlier_life_though_the_clock_was_set_back() {
    let mut rig = Rig::new().with_key();
    // The file of an agent whose clock was years ahead.
    let earlier = 9_000_000_000_000_000_u64;
    let left = "pid 0\nstart_time 0\nboot_id x\nready false\ndraining false";
    fs::write(rig.file("state"), format!("strowger agent state 1\n{left}\ncount_below {earlier}\n")).unwrap();
    rig.start("exec sleep 60", &[]);
    let first = rig.until(ServerState::Started);
    assert!(first.iter().all(|heartbeat| heartbeat.count > Some(earlier)), "{first:?}");
    // The counts of the next agent are above all counts of this one, however this agent ends.
    let server = rig.server();
    rig.signal_agent(libc::SIGKILL);
    rig.agent_exit();
    let last = rig.pending().into_iter().chain(first).filter_map(|heartbeat| heartbeat.count).max();
    rig.start("exec sleep 60", &[]);
    let second = rig.until(ServerState::Started);
    assert!(second.iter().all(|heartbeat| heartbeat.count > last), "{last:?} {second:?}");
    assert_eq!(rig.server(), server);
}
