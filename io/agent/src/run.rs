//! The agent's loop: waits for the next event, gives it to the supervisor, carries out the supervisor's actions.

mod actions;
mod asked;
mod figures;
mod guard;

use std::os::fd::{AsRawFd as _, RawFd};
use std::process::ExitCode;
use std::time::Duration;

use base::{Chance, Time};
use heartbeat::Load;
use os::notify::{self, Watchdog};
use os::{Clock, Signals};
use tracing::{error, info, warn};

use crate::collect::Collector;
use crate::control::Control;
use crate::death::{Death, signal_name};
use crate::figures_file::FiguresFile;
use crate::gather::Gatherer;
use crate::get_data::GetData;
use crate::network::Network;
use crate::notices::Notices;
use crate::proc::{self, Process};
use crate::pulse::Pulse;
use crate::ready::Probe;
use crate::send::Sender;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::signals;
use crate::state_file::{Remembered, StateFile};
use crate::supervise::{Event, Outcome, Phase, Supervisor};

/// An adopted server's first heartbeat waits so long for its figures.
const FIRST_FIGURES_WITHIN: Duration = Duration::from_millis(100);

/// Exit code if a socket or file cannot be opened. 1 means given up, 0 an orderly end.
const EXIT_OPEN: u8 = 2;

/// Supervises the server of `settings` until the server is stopped, given up or left to another agent. Blocks the signals
/// that it reads in the calling thread: call it from the first thread, before there are others.
pub fn run(settings: Settings) -> ExitCode {
    match Agent::open(settings).map(Agent::supervise) {
        Ok(Outcome::Stopped | Outcome::Detached) => ExitCode::SUCCESS,
        Ok(Outcome::GaveUp) => ExitCode::FAILURE,
        Err(why) => {
            error!("{why}");
            ExitCode::from(EXIT_OPEN)
        }
    }
}

struct Agent {
    settings: Settings,
    clock: Clock,
    /// Numbers that nobody can guess, so that an answer with such a number is an answer to us.
    chance: Chance,
    supervisor: Supervisor,
    process: Option<Process>,
    /// Session of the server that runs, or ran last. The agent ends the rest of that session before it starts another
    /// server.
    session: Option<i32>,
    /// While being stopped, the server ended, but processes that it started still run.
    lingering: Option<(Death, Time)>,
    probe: Option<Probe>,
    /// Of a server that takes calls.
    pulse: Option<Pulse>,
    /// Of a server of a cluster.
    shard: Option<Shard>,
    sender: Sender,
    notices: Notices,
    beat_at: Time,
    gatherer: Gatherer,
    collect_at: Time,
    load: Load,
    get_data: Option<GetData>,
    /// The same over streams, for performance servers.
    stream: Option<perf::Server>,
    figures_file: Option<FiguresFile>,
    control: Option<Control>,
    state_file: Option<StateFile>,
    remembered: Option<Remembered>,
    boot_id: String,
    signals: Signals,
    /// Of the service manager.
    watchdog: Option<Watchdog>,
    outcome: Option<Outcome>,
}

/// The purpose of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Signals,
    Process,
    /// The thread that collects figures.
    Figures,
    GetData,
    /// What load managers have to tell.
    Notices,
}

/// An address or a file that the agent cannot have, why, and the remedy.
fn refused(option: &str, at: impl std::fmt::Display, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => "stop the program that uses it, or choose another for this agent",
        ErrorKind::AddrNotAvailable => "`ip address` lists the addresses of this machine",
        ErrorKind::NotFound => "make the folder, or choose another",
        ErrorKind::PermissionDenied => "choose one that this user may use",
        _ => "choose another",
    };
    format!("{option} {at}: {error}\n  remedy: {remedy}")
}

impl Agent {
    fn open(settings: Settings) -> Result<Agent, String> {
        for odd in settings.check()? {
            warn!("{odd}");
        }
        let chance = os::chance().map_err(|error| error.to_string())?;
        let signals = Signals::hold(&signals::HELD).map_err(|error| format!("signals: {error}"))?;
        let mut sender = Sender::open(&settings).map_err(|error| format!("heartbeat socket: {error}"))?;
        let get_data = match settings.query {
            Some(at) => Some(GetData::open(at).map_err(|error| refused("--query", at, &error))?),
            None => None,
        };
        let stream = match settings.get_data {
            Some(at) => Some(perf::Server::open(at).map_err(|error| refused("--get-data", at, &error))?),
            None => None,
        };
        let state_file = match &settings.state_file {
            Some(path) => {
                Some(StateFile::open(path).map_err(|error| refused("--state-file", path.display(), &error))?)
            }
            None => None,
        };
        let control = match &settings.control {
            Some(path) => {
                Some(Control::open(path).map_err(|error| refused("--control", path.display(), &error))?)
            }
            None => None,
        };
        let remembered = match state_file.as_ref().map(StateFile::read) {
            Some(Ok(remembered)) => remembered,
            Some(Err(why)) => {
                warn!("state file cannot be used: {why}; the agent does not find a server that still runs");
                None
            }
            None => None,
        };
        let mut collector = Collector::default();
        let mut network = Network::new(settings.network_mbit);
        let gatherer = Gatherer::start(move |server| Load {
            network_permille: network.collect(),
            ..collector.collect(server)
        });
        let gatherer = gatherer.map_err(|error| format!("a thread that collects figures: {error}"))?;
        let notices = Notices::to(settings.sip);
        let clock = Clock::start();
        let now = clock.now();
        sender.count_from(remembered.as_ref().map_or(0, |remembered| remembered.count_below));
        let draining = remembered.as_ref().is_some_and(|remembered| remembered.draining);
        let held = remembered.as_ref().and_then(|remembered| remembered.held.clone());
        let shard = settings
            .shard
            .as_ref()
            .map(|shard| Shard::new(settings.sip, shard, held.unwrap_or_default(), now));
        Ok(Agent {
            supervisor: Supervisor::new(settings.policy.clone(), draining, now),
            figures_file: settings.figures_from.as_deref().map(FiguresFile::new),
            settings,
            clock,
            chance,
            process: None,
            session: None,
            lingering: None,
            probe: None,
            pulse: None,
            shard,
            sender,
            notices,
            beat_at: now,
            gatherer,
            collect_at: now,
            load: Load::default(),
            get_data,
            stream,
            control,
            state_file,
            remembered,
            boot_id: proc::boot_id(),
            signals,
            watchdog: Watchdog::of_manager(),
            outcome: None,
        })
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn supervise(mut self) -> Outcome {
        self.adopt();
        notify::ready("the server is starting");
        loop {
            self.watchdog.iter_mut().for_each(Watchdog::beat);
            match self.outcome {
                Some(outcome) if !self.is_forcing() => return outcome,
                _ => self.turn(),
            }
        }
    }

    /// Takes over the server of an earlier agent, if the server still runs.
    fn adopt(&mut self) {
        let remembered = self.remembered.clone();
        let Some((pid, start_time)) = remembered.as_ref().and_then(Remembered::process_now) else {
            return self.died();
        };
        let Some(process) = Process::adopt(pid, start_time) else {
            info!("server (pid {pid}) of the earlier agent has ended");
            self.died();
            // The session is surely the server's only if no process has the pid now.
            self.session = (!proc::exists(pid)).then_some(pid);
            return;
        };
        let ready = remembered.is_some_and(|remembered| remembered.ready);
        info!("server (pid {pid}) of the earlier agent still runs; this agent adopts it");
        self.watch(process);
        // The first heartbeat tells the figures of a server that had some before.
        self.ask_figures(self.now());
        os::poll::wait(&mut [os::poll::watched(self.gatherer.fd(), libc::POLLIN)], FIRST_FIGURES_WITHIN);
        self.take_figures(self.now());
        self.act(Event::Adopted { pid: pid as u32, ready });
    }

    fn watch(&mut self, process: Process) {
        self.session = Some(process.pid);
        self.process = Some(process);
        let now = self.now();
        self.probe = Some(Probe::new(self.settings.ready, self.settings.sip, self.settings.transport, now));
    }

    fn turn(&mut self) {
        let came = self.wait();
        if came.contains(&Source::Signals) {
            while let Some(signal) = self.signals.next() {
                info!("signal {} received", signal_name(signal));
                if signals::STOP.contains(&signal) {
                    self.tell_end();
                }
                self.act(if signals::STOP.contains(&signal) { Event::Stop } else { Event::Pass(signal) });
            }
        }
        if came.contains(&Source::Process)
            && let Some(process) = self.process.take()
        {
            self.ended(process.reap());
        }
        if came.contains(&Source::Notices) {
            self.pass_on();
        }
        self.linger();
        self.obey();
        self.guard();
        if !self.is_held_back() {
            self.act(Event::Tick);
        }
        self.look();
        self.feel();
        self.collect_and_send();
        if came.contains(&Source::GetData)
            && let Some(get_data) = &mut self.get_data
        {
            get_data.answer_all(self.settings.key.as_deref(), &mut self.sender);
        }
        self.serve();
    }

    /// Sleeps until something comes or a timer is due.
    fn wait(&self) -> Vec<Source> {
        let sources: Vec<(Source, RawFd)> = [
            Some((Source::Signals, self.signals.fd())),
            Some((Source::Figures, self.gatherer.fd())),
            self.process.as_ref().map(|process| (Source::Process, process.pidfd())),
            self.get_data.as_ref().map(|get_data| (Source::GetData, get_data.fd())),
        ]
        .into_iter()
        .flatten()
        .chain(self.sender.sockets().map(|socket| (Source::Notices, socket.as_raw_fd())))
        .collect();
        let mut fds: Vec<libc::pollfd> =
            sources.iter().map(|(_, fd)| os::poll::watched(*fd, libc::POLLIN)).collect();
        if let Some(stream) = &self.stream {
            stream.watch(&mut fds);
        }
        let asking = self.control.iter().flat_map(Control::fds);
        fds.extend(asking.map(|fd| os::poll::watched(fd, libc::POLLIN)));
        if let Some(shard) = &self.shard {
            shard.watch(&mut fds);
        }
        let timers = [
            Some(self.beat_at),
            Some(self.collect_at),
            self.supervisor.wake().filter(|_| !self.is_held_back()),
            self.shard.as_ref().map(Shard::wake),
            self.starting().map(Probe::wake),
            self.pulse.as_ref().map(Pulse::wake),
            self.lingering.as_ref().map(|(_, at)| *at),
            self.stream.as_ref().and_then(perf::Server::next_deadline),
            self.control.as_ref().and_then(Control::next_deadline),
        ];
        let first = timers.into_iter().flatten().min().unwrap_or(self.beat_at);
        let longest = self.watchdog.as_ref().map_or(Duration::MAX, Watchdog::every);
        os::poll::wait(&mut fds, first.since(self.now()).min(longest));
        sources.iter().zip(&fds).filter(|(_, fd)| fd.revents != 0).map(|((source, _), _)| *source).collect()
    }

    /// The probe, while it matters.
    fn starting(&self) -> Option<&Probe> {
        self.probe.as_ref().filter(|_| self.supervisor.phase() == Phase::Starting && self.shard.is_none())
    }

    fn look(&mut self) {
        if self.supervisor.phase() != Phase::Starting || self.shard.is_some() {
            return;
        }
        let now = self.now();
        let (Some(probe), Some(process)) = (&mut self.probe, &self.process) else { return };
        if probe.look(process.pid, now, &mut self.chance) {
            info!("server is ready");
            self.act(Event::Ready);
        } else if let Some(reminder) = probe.reminder(now) {
            warn!("{}", &reminder);
        }
    }

    /// Ends a server that hangs.
    fn feel(&mut self) {
        let (Some(hung_after), Phase::Running, None) =
            (self.settings.hung_after, self.supervisor.phase(), &self.shard)
        else {
            self.pulse = None;
            return;
        };
        let now = self.now();
        let sip = self.settings.sip;
        let pulse = self.pulse.get_or_insert_with(|| Pulse::new(sip, hung_after, now));
        if pulse.hangs(now, &mut self.chance) {
            error!("server does not answer OPTIONS for {} ms; it is killed", hung_after.as_millis());
            self.pulse = None;
            self.signal_session(libc::SIGKILL);
        }
    }
}
