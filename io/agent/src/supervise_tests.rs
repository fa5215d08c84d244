//! The supervisor over all phases and events as a table, and its times.

use std::fmt::Write;

use super::*;

const TABLE: &str = "\
Waiting + Started -> Starting:
Waiting + Adopted -> Running: say started
Waiting + Ready -> Waiting: ignored
Waiting + Exited -> Waiting: log, terminate
Waiting + Tick -> Waiting: spawn
Waiting + Drain -> Waiting:
Waiting + Resume -> Waiting:
Waiting + Pass -> Waiting: ignored
Waiting + Stop -> Finished: kill, finish(stopped)
Waiting + Detach -> Finished: finish(detached)
Starting + Started -> Starting: ignored
Starting + Adopted -> Starting: ignored
Starting + Ready -> Running: say started
Starting + Exited -> Waiting: log, terminate
Starting + Tick -> Starting:
Starting + Drain -> Starting:
Starting + Resume -> Starting:
Starting + Pass -> Starting: signal(1)
Starting + Stop -> Stopping: log, terminate
Starting + Detach -> Finished: finish(detached)
Running + Started -> Running: ignored
Running + Adopted -> Running: ignored
Running + Ready -> Running: ignored
Running + Exited -> Waiting: say stopped, log, terminate
Running + Tick -> Running:
Running + Drain -> Running: say draining
Running + Resume -> Running:
Running + Pass -> Running: signal(1)
Running + Stop -> Leaving: say draining, log
Running + Detach -> Finished: finish(detached)
Leaving + Started -> Leaving: ignored
Leaving + Adopted -> Leaving: ignored
Leaving + Ready -> Leaving: ignored
Leaving + Exited -> Finished: log, say stopped, kill, finish(stopped)
Leaving + Tick -> Stopping: say stopped, log, terminate
Leaving + Drain -> Leaving: ignored
Leaving + Resume -> Leaving: ignored
Leaving + Pass -> Leaving: signal(1)
Leaving + Stop -> Stopping: say stopped, log, terminate
Leaving + Detach -> Finished: finish(detached)
Stopping + Started -> Stopping: ignored
Stopping + Adopted -> Stopping: ignored
Stopping + Ready -> Stopping: ignored
Stopping + Exited -> Finished: log, kill, finish(stopped)
Stopping + Tick -> Killing: log, kill
Stopping + Drain -> Stopping: ignored
Stopping + Resume -> Stopping: ignored
Stopping + Pass -> Stopping: signal(1)
Stopping + Stop -> Killing: log, kill
Stopping + Detach -> Stopping: ignored
Killing + Started -> Killing: ignored
Killing + Adopted -> Killing: ignored
Killing + Ready -> Killing: ignored
Killing + Exited -> Finished: log, kill, finish(stopped)
Killing + Tick -> Killing:
Killing + Drain -> Killing: ignored
Killing + Resume -> Killing: ignored
Killing + Pass -> Killing: ignored
Killing + Stop -> Killing: ignored
Killing + Detach -> Killing: ignored
Finished + Started -> Finished: kill
Finished + Adopted -> Finished: ignored
Finished + Ready -> Finished: ignored
Finished + Exited -> Finished: ignored
Finished + Tick -> Finished:
Finished + Drain -> Finished: ignored
Finished + Resume -> Finished: ignored
Finished + Pass -> Finished: ignored
Finished + Stop -> Finished: ignored
Finished + Detach -> Finished: ignored
";

fn policy() -> Policy {
    Policy {
        restart_delay: Duration::from_millis(200),
        restart_delay_max: Duration::from_millis(700),
        ran_well: Duration::from_secs(10),
        give_up: Some(GiveUp { restarts: 5, window: Duration::from_secs(60) }),
        drain: Duration::from_secs(5),
        stop_timeout: Duration::from_secs(10),
    }
}

/// A supervisor that came into `phase` in the usual way, one event a second.
fn in_phase(phase: Phase) -> Supervisor {
    let mut supervisor = Supervisor::new(policy(), false, Time::ZERO);
    let mut steps = match phase {
        Phase::Waiting => vec![],
        Phase::Starting => vec![Event::Started(7)],
        Phase::Running => vec![Event::Started(7), Event::Ready],
        Phase::Leaving => vec![Event::Started(7), Event::Ready, Event::Stop],
        Phase::Stopping => vec![Event::Started(7), Event::Stop],
        Phase::Killing => vec![Event::Started(7), Event::Stop, Event::Stop],
        Phase::Finished => vec![Event::Stop],
    };
    for (second, event) in steps.drain(..).enumerate() {
        supervisor.on(event, Time::from_secs(second as u64), &mut Vec::new());
    }
    assert_eq!(supervisor.phase(), phase);
    supervisor
}

fn words(actions: &[Action]) -> String {
    let words: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Log(what) if what.starts_with("ignored") => "ignored".to_owned(),
            Action::Log(_) => "log".to_owned(),
            Action::Report(state) => format!("say {state}"),
            action => format!("{action:?}").to_lowercase(),
        })
        .collect();
    words.join(", ")
}

#[test]
fn all_phases_and_events() {
    let phases = [
        Phase::Waiting,
        Phase::Starting,
        Phase::Running,
        Phase::Leaving,
        Phase::Stopping,
        Phase::Killing,
        Phase::Finished,
    ];
    let events = [
        Event::Started(8),
        Event::Adopted { pid: 8, ready: true },
        Event::Ready,
        Event::Exited(Death::Exited(3)),
        Event::Tick,
        Event::Drain,
        Event::Resume,
        Event::Pass(1),
        Event::Stop,
        Event::Detach,
    ];
    let mut table = String::new();
    for phase in phases {
        for event in &events {
            let mut supervisor = in_phase(phase);
            let mut out = Vec::new();
            // All deadlines of the policy have passed by then.
            supervisor.on(event.clone(), Time::from_secs(15), &mut out);
            let name = format!("{event:?}");
            let name = name.split(['(', ' ']).next().unwrap_or_default();
            let row = format!("{phase:?} + {name} -> {:?}: {}", supervisor.phase(), words(&out));
            writeln!(table, "{}", row.trim_end()).expect("a string takes what is written");
        }
    }
    assert_eq!(table, TABLE, "\n{table}");
}

/// Lives of the server in milliseconds, and the pause before each restart; `None`: given up.
#[track_caller]
fn check_pauses(lives_ms: &[u64], expected: &[Option<u64>]) {
    let mut supervisor = Supervisor::new(policy(), false, Time::ZERO);
    let mut now = Time::ZERO;
    let mut pauses = Vec::new();
    for life in lives_ms {
        let mut out = Vec::new();
        supervisor.on(Event::Tick, now, &mut out);
        assert_eq!(out, [Action::Spawn]);
        supervisor.on(Event::Started(7), now, &mut out);
        supervisor.on(Event::Ready, now, &mut out);
        now = now + Duration::from_millis(*life);
        supervisor.on(Event::Exited(Death::Exited(1)), now, &mut out);
        assert_eq!(supervisor.state(), ServerState::Stopped);
        pauses.push(supervisor.wake().map(|at| at.since(now).as_millis() as u64));
        let Some(at) = supervisor.wake() else { break };
        now = at;
    }
    assert_eq!(pauses, expected);
}

#[test]
fn pauses_double_up_to_the_largest_and_begin_again_after_a_good_run() {
    check_pauses(&[0, 100, 9_999, 0], &[Some(200), Some(400), Some(700), Some(700)]);
    check_pauses(&[0, 0, 10_000, 0], &[Some(200), Some(400), Some(200), Some(400)]);
}

#[test]
fn gives_up_when_as_many_restarts_as_allowed_lie_within_the_window() {
    check_pauses(&[0; 6], &[Some(200), Some(400), Some(700), Some(700), Some(700), None]);
    // One death every 15 s: never more than four within 60 s.
    check_pauses(&[15_000; 9], &[Some(200); 9]);
}

#[test]
fn without_a_limit_it_never_gives_up() {
    let mut supervisor = Supervisor::new(Policy { give_up: None, ..policy() }, false, Time::ZERO);
    for n in 0..10_000 {
        supervisor.on(Event::Exited(Death::NotSpawned("gone".into())), Time::from_secs(n), &mut Vec::new());
        assert_eq!(supervisor.phase(), Phase::Waiting);
    }
    assert!(supervisor.restarts.is_empty(), "nothing grows");
}

#[test]
fn draining_outlives_a_restart_of_the_server() {
    let mut supervisor = in_phase(Phase::Running);
    let mut out = Vec::new();
    for event in [Event::Drain, Event::Exited(Death::Exited(1)), Event::Started(8), Event::Ready] {
        supervisor.on(event, Time::from_secs(1), &mut out);
    }
    let said: Vec<_> = out.iter().filter(|action| matches!(action, Action::Report(_))).collect();
    let expected = [ServerState::Draining, ServerState::Stopped, ServerState::Draining].map(Action::Report);
    assert_eq!(said, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_server_that_has_drained_long_enough_is_stopped_at_once() {
    let mut supervisor = in_phase(Phase::Running);
    supervisor.on(Event::Drain, Time::from_secs(1), &mut Vec::new());
    supervisor.on(Event::Stop, Time::from_secs(6), &mut Vec::new());
    assert_eq!(supervisor.phase(), Phase::Stopping);
}

#[test]
fn the_same_wish_to_stop_twice_is_one() {
    let mut supervisor = in_phase(Phase::Running);
    for (at_ms, phase) in [
        (5000, Phase::Leaving),
        (5001, Phase::Leaving),
        (5400, Phase::Stopping),
        (5401, Phase::Stopping),
        (5800, Phase::Killing),
    ] {
        supervisor.on(Event::Stop, Time::from_millis(at_ms), &mut Vec::new());
        assert_eq!(supervisor.phase(), phase, "at {at_ms} ms");
    }
}

#[test]
fn deaths_are_named() {
    let name = |death: Death| death.to_string();
    assert_eq!(name(Death::Exited(3)), "exited with code 3");
    assert_eq!(
        name(Death::Killed { signal: libc::SIGSEGV, core: true }),
        "was killed by SIGSEGV (core dumped)"
    );
    assert_eq!(name(Death::Killed { signal: 34, core: false }), "was killed by signal 34");
    assert_eq!(
        name(Death::NotSpawned("kamailio: not found".into())),
        "could not be started: kamailio: not found"
    );
}
