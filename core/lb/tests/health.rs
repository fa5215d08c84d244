//! The health machine: all states against all events, and the stories that the rules were made for.

use base::{Duration, Time};
use strowger_lb::farm::evidence::{Evidence, Totals};
use strowger_lb::farm::health::{Event, Health, HealthSettings, Reason, State};
use strowger_lb::settings::Probe;

const SECOND: Duration = Duration::from_secs(1);
const OK: Event = Event::ProbeAnswered { status: 200, retry_after: None };
const START: Time = Time::from_secs(100);

fn health(probe: Probe) -> Health {
    Health::new(
        HealthSettings {
            probe,
            probe_interval: SECOND * 2,
            silence: SECOND * 4,
            fail_after: 2,
            stay_out: Duration::ZERO,
        },
        START,
    )
}

fn full(seconds: u64) -> Event {
    Event::ProbeAnswered { status: 503, retry_after: Some(Duration::from_secs(seconds)) }
}

/// A server that has answered traffic (`traffic`) or OPTIONS long ago, brought to the state.
fn brought_to(state: State, probe: Probe, traffic: bool) -> Health {
    let mut health = health(probe);
    health.handle(START, if traffic { Event::Answered } else { OK });
    let now = START + SECOND * 30;
    match state {
        State::Up => {}
        State::Suspect => _ = health.handle(now, Event::Silence),
        State::Failed => _ = health.handle(now, Event::Unreachable(2)),
        State::Trial => {
            health.handle(now, Event::Unreachable(2));
            health.try_now(now);
        }
    }
    assert_eq!(health.state(), state);
    health
}

#[test]
fn every_state_meets_every_event() {
    let events = [
        ("sent", Event::Sent(5)),
        ("answered", Event::Answered),
        ("unreachable once", Event::Unreachable(1)),
        ("unreachable twice", Event::Unreachable(2)),
        ("returned once", Event::Returned(1)),
        ("returned twice", Event::Returned(2)),
        ("silence", Event::Silence),
        ("pause over", Event::PauseOver),
        ("OPTIONS 200", OK),
        ("OPTIONS 503", full(5)),
        ("OPTIONS unanswered", Event::ProbeTimeout),
    ];
    let states = [State::Up, State::Suspect, State::Failed, State::Trial];
    let mut printed = String::new();
    for (title, probe, traffic) in [
        ("traffic, answered traffic", Probe::Traffic, true),
        ("options, answered OPTIONS", Probe::Options, false),
        ("options, answered traffic, never OPTIONS", Probe::Options, true),
    ] {
        printed += &format!("{title}\n");
        for (name, event) in events {
            let outcomes = states.map(|state| {
                let mut health = brought_to(state, probe, traffic);
                let changed = health.handle(START + SECOND * 60, event);
                assert_eq!(changed, health.state() != state);
                let room = if health.full_until().is_some() { " (full)" } else { "" };
                if changed { format!("{:?}{room}", health.state()) } else { format!("·{room}") }
            });
            let [up, suspect, failed, trial] = outcomes;
            let line = format!("  {name:<19} {up:<14} {suspect:<14} {failed:<14} {trial}");
            printed += &format!("{}\n", line.trim_end());
        }
    }
    println!("event                 Up             Suspect        Failed         Trial\n{printed}");
    let expected = "\
traffic, answered traffic
  sent                ·              ·              ·              ·
  answered            ·              Up             Trial          Up
  unreachable once    ·              Failed         ·              Failed
  unreachable twice   Failed         Failed         ·              Failed
  returned once       ·              ·              ·              ·
  returned twice      Suspect        ·              ·              ·
  silence             Suspect        Failed         ·              Failed
  pause over          ·              ·              Trial          ·
  OPTIONS 200         ·              Up             Trial          Up
  OPTIONS 503         · (full)       Up (full)      Trial (full)   Up (full)
  OPTIONS unanswered  ·              ·              ·              ·
options, answered OPTIONS
  sent                ·              ·              ·              ·
  answered            ·              Up             Trial          Up
  unreachable once    ·              Failed         ·              Failed
  unreachable twice   Failed         Failed         ·              Failed
  returned once       ·              ·              ·              ·
  returned twice      Suspect        ·              ·              ·
  silence             Suspect        Failed         ·              Failed
  pause over          ·              ·              ·              ·
  OPTIONS 200         ·              Up             Trial          Up
  OPTIONS 503         · (full)       Up (full)      Trial (full)   Up (full)
  OPTIONS unanswered  Suspect        Failed         ·              Failed
options, answered traffic, never OPTIONS
  sent                ·              ·              ·              ·
  answered            ·              Up             Trial          Up
  unreachable once    ·              Failed         ·              Failed
  unreachable twice   Failed         Failed         ·              Failed
  returned once       ·              ·              ·              ·
  returned twice      Suspect        ·              ·              ·
  silence             Suspect        Failed         ·              Failed
  pause over          ·              ·              Trial          ·
  OPTIONS 200         ·              Up             Trial          Up
  OPTIONS 503         · (full)       Up (full)      Trial (full)   Up (full)
  OPTIONS unanswered  ·              ·              ·              ·
";
    assert_eq!(printed, expected);
}

#[test]
fn without_probing_nothing_is_judged() {
    let mut health = health(Probe::Off);
    for event in [Event::Unreachable(9), Event::Silence, Event::ProbeTimeout, full(5)] {
        health.handle(START, event);
    }
    assert!(health.state() == State::Up && health.full_until().is_none() && !health.take_probe(START));
    assert_eq!(health.next_deadline(true), None);
}

/// Ticks ten times a second for `seconds`, with what happens at each tick; gives the states it went through.
fn run(
    health: &mut Health,
    from: Time,
    seconds: u64,
    mut each: impl FnMut(&mut Health, Time),
) -> Vec<(u64, State)> {
    let mut seen = vec![(0, health.state())];
    for tick in 1..=seconds * 10 {
        let now = from + Duration::from_millis(tick * 100);
        each(health, now);
        health.handle_timeout(now);
        if health.state() != seen.last().unwrap().1 {
            seen.push((tick * 100, health.state()));
        }
    }
    seen
}

#[test]
fn a_server_that_goes_silent_is_found_by_its_traffic_and_found_again() {
    let mut health = health(Probe::Traffic);
    let seen = run(&mut health, START, 60, |health, now| {
        let second = now.since(START).as_secs();
        if health.state() != State::Failed {
            health.handle(now, Event::Sent(1));
            if !(10..30).contains(&second) {
                health.handle(now, Event::Answered);
            }
        }
    });
    use State::{Failed, Suspect, Trial, Up};
    let states: Vec<State> = seen.iter().map(|(_, state)| *state).collect();
    assert_eq!(states[..4], [Up, Suspect, Failed, Trial], "{seen:?}");
    assert_eq!((seen[1].0, seen[2].0, seen[3].0), (14_000, 18_000, 19_000), "{seen:?}");
    let up_again = seen.last().unwrap();
    assert!(up_again.1 == Up && up_again.0 < 42_000, "{seen:?}");
}

#[test]
fn the_pause_doubles_up_to_its_bound_and_is_forgiven() {
    let mut health = health(Probe::Traffic);
    let mut now = START;
    health.handle(now, Event::Unreachable(2));
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let again = health.next_deadline(true).unwrap();
        pauses.push(again.since(now).as_secs());
        assert!(!health.handle_timeout(again - Duration::from_micros(1)));
        assert!(health.handle_timeout(again));
        now = again;
        health.handle(now, Event::Unreachable(1));
    }
    assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    now = health.next_deadline(true).unwrap();
    health.handle_timeout(now);
    health.handle(now, Event::Answered);
    now = now + SECOND * 60;
    health.handle(now, Event::Unreachable(2));
    assert_eq!(health.next_deadline(true).unwrap().since(now), SECOND);
}

#[test]
fn one_unanswered_request_on_an_idle_server_is_no_silence() {
    let mut health = health(Probe::Traffic);
    health.handle(START, Event::Sent(1));
    assert_eq!(run(&mut health, START, 60, |_, _| {}), [(0, State::Up)]);
}

#[test]
fn one_that_is_silent_to_what_it_will_not_answer_is_asked_before_it_is_failed() {
    for answers in [true, false] {
        let mut health = health(Probe::Traffic);
        health.handle(START, Event::Answered);
        let mut asked = Vec::new();
        // A scanner, whose requests the server drops.
        let seen = run(&mut health, START, 30, |health, now| {
            if now.as_millis() % 1000 == 0 && health.state() != State::Failed {
                health.handle(now, Event::Sent(3));
            }
            if health.take_probe(now) {
                asked.push(health.state());
                if answers {
                    health.handle(now, OK);
                }
            }
        });
        assert_eq!(seen.iter().any(|(_, state)| *state == State::Failed), !answers, "{seen:?}");
        assert!(!asked.is_empty() && asked.iter().all(|state| *state == State::Suspect), "{asked:?}");
    }
}

#[test]
fn answers_among_many_unanswered_keep_a_server_up() {
    let mut health = health(Probe::Traffic);
    let seen = run(&mut health, START, 60, |health, now| {
        health.handle(now, Event::Sent(100));
        if now.as_millis() % 3000 == 0 {
            health.handle(now, Event::Answered);
        }
    });
    assert_eq!(seen, [(0, State::Up)]);
}

#[test]
fn a_full_server_says_503_and_stays_up_until_its_time_or_its_next_answer() {
    let mut health = health(Probe::Options);
    health.handle(START, full(300));
    assert_eq!(
        (health.state(), health.full_until()),
        (State::Up, Some(START + SECOND * 30)),
        "minutes are cut"
    );
    health.handle(START + SECOND * 2, OK);
    assert_eq!(health.full_until(), None);
    health.handle(START + SECOND * 4, full(3));
    health.handle_timeout(START + SECOND * 7);
    assert_eq!(health.full_until(), None);
    assert_eq!(health.state(), State::Up);
}

#[test]
fn probes_go_out_at_their_interval_to_idle_servers_and_find_the_dead() {
    let mut health = health(Probe::Options);
    let mut sent = Vec::new();
    let seen = run(&mut health, START, 60, |health, now| {
        if health.take_probe(now) {
            sent.push(now.since(START).as_millis() / 100);
            if !(10..30).contains(&now.since(START).as_secs()) {
                health.handle(now, OK);
            }
        }
    });
    assert_eq!(sent[..4], [1, 21, 41, 61], "{sent:?}");
    let states: Vec<State> = seen.iter().map(|(_, state)| *state).collect();
    assert_eq!(states, [State::Up, State::Suspect, State::Failed, State::Trial, State::Up], "{seen:?}");
    assert!(seen[2].0 <= 20_000, "dead since 10 s, found at {seen:?}");
    assert!(seen[4].0 <= 36_000, "back since 30 s, found at {seen:?}");
}

#[test]
fn a_busy_server_that_answers_its_traffic_is_not_failed_for_its_silence_to_options() {
    let mut health = health(Probe::Options);
    let seen = run(&mut health, START, 60, |health, now| {
        health.take_probe(now);
        health.handle(now, Event::Sent(1));
        health.handle(now, Event::Answered);
    });
    assert_eq!(seen, [(0, State::Up)]);
    // Idle now, and still silent to OPTIONS: nothing speaks against it.
    assert_eq!(
        run(&mut health, START + SECOND * 60, 60, |health, now| _ = health.take_probe(now)),
        [(0, State::Up)]
    );
}

#[test]
fn one_that_never_said_a_word_is_failed() {
    let mut health = health(Probe::Options);
    run(&mut health, START, 20, |health, now| _ = health.take_probe(now));
    assert_eq!((health.state(), health.reason()), (State::Failed, Reason::ProbeSilence));
}

#[test]
fn nothing_is_due_at_a_time_that_is_past() {
    for probe in [Probe::Traffic, Probe::Options] {
        for state in [State::Up, State::Suspect, State::Failed, State::Trial] {
            let mut health = brought_to(state, probe, false);
            let now = START + SECOND * 600;
            // All that is due is done; then the next deadline lies ahead, or the caller would spin.
            for _ in 0..5 {
                health.handle_timeout(now);
                health.take_probe(now);
            }
            assert!(health.next_deadline(true).is_none_or(|next| next > now), "{probe:?} {state:?}");
        }
    }
}

#[test]
fn evidence_is_summed_over_workers_and_out_of_range_is_nobody() {
    let evidence = Evidence::new(2, 3);
    evidence.sent(0, 1);
    evidence.sent(1, 1);
    evidence.answered(1, 1);
    evidence.unreachable(0, 2);
    evidence.sent(0, 3);
    evidence.sent(2, 0);
    assert_eq!(
        evidence.totals(1),
        Totals { sent: 2, answered: 1, unreachable: 0, failed: 0, ..Totals::default() }
    );
    assert_eq!(evidence.totals(2), Totals { unreachable: 1, ..Totals::default() });
    assert_eq!(evidence.totals(0), Totals::default());
}

#[test]
fn hysteresis_is_a_setting() {
    let settings = HealthSettings {
        probe: Probe::Traffic,
        probe_interval: SECOND * 2,
        silence: SECOND * 4,
        fail_after: 3,
        stay_out: SECOND * 20,
    };
    let mut health = Health::new(settings, START);
    for _ in 0..2 {
        health.handle(START, Event::Unreachable(1));
        assert_eq!(health.state(), State::Up);
    }
    health.handle(START, Event::Unreachable(1));
    assert_eq!(health.state(), State::Failed);
    health.handle(START + SECOND * 19, Event::Answered);
    assert_eq!(health.state(), State::Failed, "it has to stay out, whatever it answers");
    health.handle_timeout(START + SECOND * 20);
    assert_eq!(health.state(), State::Trial);
}

#[test]
fn datagrams_that_do_not_arrive_make_suspect_and_options_decide() {
    for (probe, answers, end) in [
        (Probe::Traffic, true, State::Up),
        (Probe::Traffic, false, State::Failed),
        (Probe::Options, false, State::Failed),
    ] {
        let mut health = health(probe);
        let (mut asked, mut answer) = (0, false);
        let seen = run(&mut health, START, 10, |health, now| {
            // The answer takes a tick.
            if std::mem::take(&mut answer) {
                health.handle(now, OK);
            }
            // The network goes on saying so.
            if health.state() != State::Failed && now.since(START) <= SECOND * 2 {
                health.handle(now, Event::Returned(1));
            }
            if health.take_probe(now) && health.state() == State::Suspect {
                asked += 1;
                answer = answers;
            }
        });
        assert_eq!(seen[1].1, State::Suspect, "{seen:?}");
        assert!(seen.iter().any(|(_, state)| *state == end), "{seen:?}");
        if answers {
            assert!(seen.iter().all(|(_, state)| *state != State::Failed), "{seen:?}");
        } else {
            let failed = seen.iter().find(|(_, state)| *state == State::Failed).unwrap().0;
            assert!(failed <= 1600, "{seen:?}");
        }
        assert!(asked > 0);
    }
}

#[test]
fn while_answers_come_no_returned_datagram_says_anything() {
    let mut health = health(Probe::Traffic);
    let seen = run(&mut health, START, 30, |health, now| {
        health.handle(now, Event::Sent(1));
        health.handle(now, Event::Returned(50));
        health.handle(now, Event::Answered);
        assert_ne!(health.state(), State::Failed);
    });
    assert_eq!(seen, [(0, State::Up)]);
}

#[test]
fn returned_datagrams_keep_no_server_out_that_comes_back() {
    let mut health = health(Probe::Traffic);
    health.handle(START, Event::Unreachable(2));
    let again = health.next_deadline(true).unwrap();
    health.handle_timeout(again);
    health.handle(again, Event::Sent(1));
    health.handle(again, Event::Returned(100));
    assert_eq!(health.state(), State::Trial);
    health.handle(again, Event::Answered);
    assert_eq!(health.state(), State::Up);
}

#[test]
fn a_server_that_never_answers_options_and_is_gone_is_failed_soon() {
    let mut health = health(Probe::Options);
    health.handle(START, Event::Sent(1));
    health.handle(START, Event::Answered);
    // Nothing is sent but OPTIONS, and each of them comes back.
    let seen = run(&mut health, START, 30, |health, now| {
        if health.take_probe(now) {
            health.handle(now, Event::Returned(1));
        }
    });
    let failed = seen.iter().find(|(_, state)| *state == State::Failed).map(|(at, _)| *at);
    assert!(failed.is_some_and(|at| at <= 10_000), "{seen:?}");
}
