//! The life of the supervised server as a pure state machine (SPEC A11): when the server is started, restarted, given up,
//! drained and stopped, and what heartbeats say of it. The machine touches no process: events come in, actions go out.

use std::collections::VecDeque;
use std::time::Duration;

use base::Time;
use heartbeat::ServerState;

pub use crate::death::Death;

/// The supervisor's times and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Pause before the first restart. It doubles with every death that follows too soon. Default 200 ms.
    pub restart_delay: Duration,
    /// The longest pause. Default 30 s.
    pub restart_delay_max: Duration,
    /// A server that ran this long ran well: the next pause is `restart_delay` again. Default 10 s.
    pub ran_well: Duration,
    /// Gives up at the next death after this many restarts within the window. `None`: never. Default 5 in 60 s.
    pub give_up: Option<GiveUp>,
    /// How long the server drains before an orderly stop. In a longer time, more calls end by themselves. Default 5 s.
    pub drain: Duration,
    /// Time from SIGTERM to SIGKILL. Default 10 s.
    pub stop_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    pub restarts: u32,
    pub window: Duration,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            restart_delay: Duration::from_millis(200),
            restart_delay_max: Duration::from_secs(30),
            ran_well: Duration::from_secs(10),
            give_up: Some(GiveUp { restarts: 5, window: Duration::from_secs(60) }),
            drain: Duration::from_secs(5),
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// A second request to stop counts only after this time: timeout(1) and others send the same signal to a process and to its
/// group, so it comes twice.
const SECOND_STOP_AFTER: Duration = Duration::from_millis(300);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The process of the last `Spawn` runs.
    Started(u32),
    /// A server of an earlier agent still runs; `ready` is the earlier agent's last state.
    Adopted {
        pid: u32,
        ready: bool,
    },
    /// The readiness check found that the server takes calls.
    Ready,
    Exited(Death),
    /// Time has passed; see [`Supervisor::wake`].
    Tick,
    /// Give the server no new calls from now on; it goes on running.
    Drain,
    /// Give the server new calls again.
    Resume,
    /// A signal for the server: SIGHUP, SIGUSR1, SIGUSR2.
    Pass(i32),
    /// Drain, then end the server and the agent. A second such event ends the draining; a third does not wait for the
    /// server.
    Stop,
    /// End the agent, and leave the server running for the next agent.
    Detach,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the server.
    Spawn,
    /// Send a signal to the server's first process.
    Signal(i32),
    /// Send SIGTERM to the server's first process and to all processes that it started.
    Terminate,
    /// Send SIGKILL to the same processes.
    Kill,
    /// Send heartbeats with this state at once.
    Report(ServerState),
    Log(String),
    /// The supervisor is done.
    Finish(Outcome),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server was stopped in an orderly way.
    Stopped,
    /// The server died too often.
    GaveUp,
    /// The server runs on without an agent.
    Detached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is no process; one is started at the deadline.
    Waiting,
    /// The process runs and is not ready yet.
    Starting,
    Running,
    /// Draining before an orderly stop.
    Leaving,
    /// SIGTERM is sent; SIGKILL at the deadline.
    Stopping,
    /// SIGKILL is sent.
    Killing,
    Finished,
}

/// The state machine, one for each server.
#[derive(Debug)]
pub struct Supervisor {
    policy: Policy,
    phase: Phase,
    pid: Option<u32>,
    since: Time,
    deadline: Option<Time>,
    draining_since: Option<Time>,
    /// The pause before the next restart.
    delay: Duration,
    /// Times of the restarts within the window; never more than `GiveUp::restarts`.
    restarts: VecDeque<Time>,
    restarts_total: u64,
    reported: ServerState,
}

impl Supervisor {
    /// Starts the server at the first `Tick`, unless `Adopted` comes before.
    pub fn new(policy: Policy, draining: bool, now: Time) -> Supervisor {
        Supervisor {
            delay: policy.restart_delay,
            policy,
            phase: Phase::Waiting,
            pid: None,
            since: now,
            deadline: Some(now),
            draining_since: draining.then_some(now),
            restarts: VecDeque::new(),
            restarts_total: 0,
            reported: ServerState::Stopped,
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The server's first process, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    pub fn restarts_total(&self) -> u64 {
        self.restarts_total
    }

    pub fn draining(&self) -> bool {
        self.draining_since.is_some()
    }

    /// The time of the next `Tick`.
    pub fn wake(&self) -> Option<Time> {
        self.deadline
    }

    /// What heartbeats say: started only while the server takes calls, and stopped from the moment when it does not, so that
    /// the load manager need not wait for the decay.
    pub fn state(&self) -> ServerState {
        match self.phase {
            Phase::Running if self.draining_since.is_some() => ServerState::Draining,
            Phase::Running => ServerState::Started,
            Phase::Leaving => ServerState::Draining,
            Phase::Waiting | Phase::Starting | Phase::Stopping | Phase::Killing | Phase::Finished => {
                ServerState::Stopped
            }
        }
    }

    /// Takes one event at `now`. Carry out the actions in their order.
    pub fn on(&mut self, event: Event, now: Time, out: &mut Vec<Action>) {
        use Phase::{Finished, Killing, Leaving, Running, Starting, Stopping, Waiting};
        let due = self.deadline.is_some_and(|deadline| now >= deadline);
        match (self.phase, event) {
            (Waiting, Event::Tick) if due => {
                self.deadline = None;
                out.push(Action::Spawn);
            }
            (Waiting, Event::Started(pid)) => self.runs(pid, Starting, now, out),
            (Waiting, Event::Adopted { pid, ready }) => {
                self.runs(pid, if ready { Running } else { Starting }, now, out);
            }
            (Waiting, Event::Exited(death)) => self.died(&death, now, out),
            (Waiting, Event::Stop) => self.finish(Outcome::Stopped, out),
            (Starting, Event::Ready) => self.enter(Running, None, now, out),
            (Starting | Running, Event::Exited(death)) => self.died(&death, now, out),
            (Starting, Event::Stop) => self.terminate(now, out),
            (Running, Event::Stop) => self.leave(now, out),
            (Leaving, Event::Tick) if due => self.terminate(now, out),
            (Leaving | Stopping, Event::Stop) if now.since(self.since) < SECOND_STOP_AFTER => {}
            (Leaving, Event::Stop) => self.terminate(now, out),
            (Stopping, Event::Tick) if due => self.kill(now, out),
            (Stopping, Event::Stop) => self.kill(now, out),
            (Leaving | Stopping | Killing, Event::Exited(death)) => {
                self.pid = None;
                out.push(Action::Log(format!("server {death}; stopped")));
                self.finish(Outcome::Stopped, out);
            }
            (Waiting | Starting | Running, Event::Drain) => {
                self.draining_since.get_or_insert(now);
                self.report(out);
            }
            (Waiting | Starting | Running, Event::Resume) => {
                self.draining_since = None;
                self.report(out);
            }
            (Starting | Running | Leaving | Stopping, Event::Pass(signal)) => {
                out.push(Action::Signal(signal))
            }
            (Waiting | Starting | Running | Leaving, Event::Detach) => {
                // Nothing is reported: the server still runs, and the next agent has the time of the decay.
                self.phase = Finished;
                self.deadline = None;
                out.push(Action::Finish(Outcome::Detached));
            }
            (Finished, Event::Started(_)) => out.push(Action::Kill), // came too late to be wanted
            (_, Event::Tick) => {}
            (phase, event) => {
                out.push(Action::Log(format!("ignored {event:?}: the server is {}", phase.meaning())));
            }
        }
    }

    fn runs(&mut self, pid: u32, phase: Phase, now: Time, out: &mut Vec<Action>) {
        self.pid = Some(pid);
        self.enter(phase, None, now, out);
    }

    fn enter(&mut self, phase: Phase, deadline: Option<Time>, now: Time, out: &mut Vec<Action>) {
        // The running time counts from the start of the process, so that a slow start does not count as a short life.
        if !(self.phase == Phase::Starting && phase == Phase::Running) {
            self.since = now;
        }
        self.phase = phase;
        self.deadline = deadline;
        self.report(out);
    }

    fn report(&mut self, out: &mut Vec<Action>) {
        let state = self.state();
        if state != self.reported {
            self.reported = state;
            out.push(Action::Report(state));
        }
    }

    fn died(&mut self, death: &Death, now: Time, out: &mut Vec<Action>) {
        let ran = if self.pid.take().is_some() { now.since(self.since) } else { Duration::ZERO };
        if ran >= self.policy.ran_well {
            self.delay = self.policy.restart_delay;
        }
        let after = match death {
            Death::NotSpawned(_) => String::new(),
            Death::Exited(0) => format!(
                " after {:.1} s (if the server puts itself into the background, start it in the foreground)",
                ran.as_secs_f64()
            ),
            _ => format!(" after {:.1} s", ran.as_secs_f64()),
        };
        if let Some(GiveUp { restarts, window }) = self.policy.give_up {
            self.restarts.retain(|at| now.since(*at) <= window);
            if self.restarts.len() >= restarts as usize {
                out.push(Action::Log(format!(
                    "server {death}{after}; given up: {restarts} restarts within {} s did not help",
                    window.as_secs()
                )));
                return self.finish(Outcome::GaveUp, out);
            }
            self.restarts.push_back(now);
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(self.policy.restart_delay_max);
        self.restarts_total += 1;
        self.enter(Phase::Waiting, Some(now + delay), now, out);
        out.push(Action::Log(format!("server {death}{after}; restart in {} ms", delay.as_millis())));
        // Processes that the server started may still hold its port.
        out.push(Action::Terminate);
    }

    fn leave(&mut self, now: Time, out: &mut Vec<Action>) {
        let until = *self.draining_since.get_or_insert(now) + self.policy.drain;
        if until <= now {
            return self.terminate(now, out);
        }
        self.enter(Phase::Leaving, Some(until), now, out);
        out.push(Action::Log(format!("draining for {} ms before the stop", until.since(now).as_millis())));
    }

    /// Reports stopped before the server gets SIGTERM: new calls go to other servers while this server can still end its
    /// last calls.
    fn terminate(&mut self, now: Time, out: &mut Vec<Action>) {
        self.enter(Phase::Stopping, Some(now + self.policy.stop_timeout), now, out);
        out.push(Action::Log("server gets SIGTERM".to_owned()));
        out.push(Action::Terminate);
    }

    fn kill(&mut self, now: Time, out: &mut Vec<Action>) {
        let waited = now.since(self.since);
        self.enter(Phase::Killing, None, now, out);
        out.push(Action::Log(format!(
            "server did not end within {} ms of SIGTERM; it gets SIGKILL",
            waited.as_millis()
        )));
        out.push(Action::Kill);
    }

    fn finish(&mut self, outcome: Outcome, out: &mut Vec<Action>) {
        self.phase = Phase::Finished;
        self.deadline = None;
        self.report(out);
        // Ends the rest of the server: the next server needs the port.
        out.push(Action::Kill);
        out.push(Action::Finish(outcome));
    }
}

impl Phase {
    pub const fn meaning(self) -> &'static str {
        match self {
            Phase::Waiting => "down, will be started",
            Phase::Starting => "starting, not ready",
            Phase::Running => "running",
            Phase::Leaving => "draining before its stop",
            Phase::Stopping => "stopping",
            Phase::Killing => "being killed",
            Phase::Finished => "no longer supervised",
        }
    }
}

#[cfg(test)]
#[path = "supervise_tests.rs"]
mod tests;
