//! Carries out the supervisor's actions on real processes, files and sockets.

use std::time::Duration;

use heartbeat::ServerState;
use heartbeat::stream::framed;
use tracing::{error, info, warn};

use super::Agent;
use crate::death::{Death, signal_name};
use crate::proc::{self, Process};
use crate::state_file::Remembered;
use crate::supervise::{Action, Event, Outcome, Phase};

/// Time between two looks whether everything that a stopped server started has ended.
const LEFTOVERS_EVERY: Duration = Duration::from_millis(50);

/// How many times, and with which pause, the agent waits for the end of a dead server's processes before it starts another:
/// 200 ms.
const LEFTOVERS_LOOKS: u32 = 40;
const LEFTOVERS_PAUSE: Duration = Duration::from_millis(5);

/// How far ahead counts are reserved in the state file, and how few must be left before more are reserved: two minutes and
/// one minute, in microseconds. The loop turns at least once a minute.
const COUNTS_SET_ASIDE: u64 = 120_000_000;
const COUNTS_LEFT_MIN: u64 = 60_000_000;

/// Time for the rest of the server's processes to end, after those that the policy gives.
const END: Duration = Duration::from_secs(10);

impl Agent {
    /// Gives an event to the supervisor and carries out its actions.
    pub(super) fn act(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.supervisor.on(event, self.now(), &mut actions);
        for action in actions {
            self.perform(action);
        }
        self.remember();
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Spawn => self.spawn(),
            Action::Signal(signal) => {
                if let Some(process) = &self.process
                    && let Err(error) = process.signal(signal)
                {
                    warn!("signal {} was not passed to the server: {error}", signal_name(signal));
                }
            }
            Action::Terminate => self.signal_session(libc::SIGTERM),
            Action::Kill => self.signal_session(libc::SIGKILL),
            Action::Report(state) => self.report(state),
            Action::Log(what) => info!("{}", &what),
            Action::Finish(outcome) => {
                if outcome != Outcome::Detached {
                    // Sent a second time: one datagram can be lost, and no other follows.
                    self.sender.send(self.clock.now());
                }
                match outcome {
                    Outcome::Stopped => info!("agent stopped"),
                    Outcome::GaveUp => error!("agent stopped: the server was given up"),
                    Outcome::Detached => {
                        info!("agent detached: the server goes on running without an agent");
                    }
                }
                self.outcome = Some(outcome);
            }
        }
    }

    /// To the service manager, which waits for that long.
    pub(super) fn tell_end(&self) {
        let policy = &self.settings.policy;
        let at_most = policy.drain + policy.stop_timeout + END;
        os::notify::stopping(at_most, "the server drains, then ends");
    }

    fn spawn(&mut self) {
        self.end_leftovers();
        match Process::spawn(&self.settings.command, self.settings.server_log.as_deref()) {
            Ok(process) => {
                let pid = process.pid;
                let command: Vec<_> =
                    self.settings.command.iter().map(|word| word.to_string_lossy()).collect();
                info!("server started (pid {pid}): {}", command.join(" "));
                self.watch(process);
                let now = self.now();
                if let Some(shard) = &mut self.shard {
                    shard.started(now);
                }
                self.act(Event::Started(pid as u32));
            }
            Err(error) => {
                let program = self.settings.command.first().map(|program| program.to_string_lossy());
                let why = format!("{}: {error}", program.unwrap_or_default());
                self.act(Event::Exited(Death::NotSpawned(why)));
            }
        }
    }

    /// Processes that an earlier server left would keep its port. This waits for their end, but not for long: a process that
    /// does not even end by SIGKILL hangs in the kernel.
    fn end_leftovers(&self) {
        let Some(session) = self.session else { return };
        for _ in 0..LEFTOVERS_LOOKS {
            if proc::signal_session(session, libc::SIGKILL) == 0 {
                return;
            }
            std::thread::sleep(LEFTOVERS_PAUSE);
        }
        warn!(
            "processes of the earlier server (session {session}) do not end; the agent starts another server all the same"
        );
    }

    pub(super) fn signal_session(&self, signal: i32) {
        if let Some(session) = self.session {
            proc::signal_session(session, signal);
        }
    }

    pub(super) fn ended(&mut self, death: Death) {
        self.probe = None;
        self.died();
        if matches!(self.supervisor.phase(), Phase::Stopping | Phase::Killing) {
            // The server has ended when all its processes have ended: a process that the first one started may still save
            // its work.
            self.lingering = Some((death, self.now()));
        } else {
            self.act(Event::Exited(death));
        }
    }

    pub(super) fn linger(&mut self) {
        let now = self.now();
        let Some((death, at)) = self.lingering.take() else { return };
        if now < at {
            self.lingering = Some((death, at));
        } else if self.session.is_some_and(|session| !proc::in_session(session).is_empty()) {
            self.lingering = Some((death, now + LEFTOVERS_EVERY));
        } else {
            self.act(Event::Exited(death));
        }
    }

    fn report(&mut self, state: ServerState) {
        os::notify::status(&format!("the server is {state}"));
        self.sender.set(state, self.load);
        self.sender.send(self.clock.now());
        if let Some(stream) = &mut self.stream {
            stream.notify(&framed(&self.sender.notification()));
        }
        if !self.settings.to.is_empty() {
            info!("heartbeats now say: {state}");
        }
        self.beat_at = self.now() + self.settings.period;
    }

    /// Counts are clocks and move on by themselves. Some are reserved, so that not every heartbeat is written to the file.
    fn count_below(&self) -> u64 {
        let (count, below) =
            (self.sender.count(), self.remembered.as_ref().map_or(0, |before| before.count_below));
        match self.outcome {
            // No heartbeat follows.
            Some(_) => count,
            None if count.saturating_add(COUNTS_LEFT_MIN) > below => count.saturating_add(COUNTS_SET_ASIDE),
            None => below,
        }
    }

    /// Writes the state file if something in it has changed.
    pub(super) fn remember(&mut self) {
        let Some(state_file) = &self.state_file else { return };
        let ready = matches!(self.supervisor.phase(), Phase::Running | Phase::Leaving);
        let detached = self.outcome == Some(Outcome::Detached);
        let remembered = Remembered {
            process: self.process.as_ref().map(|process| (process.pid, process.start_time)),
            boot_id: self.boot_id.clone(),
            // The phase is gone when the agent detaches; the state before still holds.
            ready: if detached { self.remembered.as_ref().is_some_and(|before| before.ready) } else { ready },
            draining: self.supervisor.draining(),
            count_below: self.count_below(),
            held: self.shard.as_ref().map(|shard| shard.held().clone()),
        };
        if self.remembered.as_ref() == Some(&remembered) {
            return;
        }
        if let Err(error) = state_file.write(&remembered) {
            warn!("state file was not written: {error}; a restarted agent will not find the server");
        }
        self.remembered = Some(remembered);
    }
}
