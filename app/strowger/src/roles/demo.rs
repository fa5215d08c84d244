//! A farm on this machine, calls through it, and a server that is killed: Strowger's work in half a minute. The demo fails
//! if a single call is lost.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::{ValueEnum, value_parser};
use config::ShortForm;
use net::{Clock, UdpOptions};
use sip::Transport;

use crate::demo::{Callers, Farm, Pacing, Screen, Settings, Tally, View, milliseconds, quantile};
use crate::process::signals::Signals;
use crate::report::status::StatusReport;
use crate::run::child::signal;
use net::worker::{Handle, Setup, Worker};

const SERVERS: usize = 3;
/// From the answer of a call to its BYE.
const TALK: Duration = Duration::from_secs(3);
/// For calls that are up when the time is over: every transaction ends within this time.
const SETTLE: Duration = Duration::from_secs(45);
/// Time between two pictures.
const PICTURE: Duration = Duration::from_millis(250);
/// Time between two looks at the server that was killed.
const WATCH: Duration = Duration::from_millis(5);

const EXAMPLES: &str = "\
Examples:
  strowger demo
  strowger demo --calls-per-second 500 --seconds 30 --affinity session --selection cjsq
  strowger demo --kill machine

The demo starts one load manager, three servers under agents, and callers, all on loopback. After two fifths of the time it kills \
one server. Exit status: 0 if every call was answered and ended, 1 if a call was lost.
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// New calls per second
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=5000))]
    calls_per_second: u32,
    /// How long new calls are made, seconds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(5..=3600))]
    seconds: u64,
    #[arg(long, value_name = "KIND", default_value = "tag", hide_default_value = true, help = config::help("affinity.kind"))]
    affinity: String,
    #[arg(long, value_name = "POLICY", help = config::help("selection.kind"))]
    selection: Option<String>,
    /// First port to use; if left out, any free ports
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1024..=65000))]
    first_port: Option<u16>,
    /// What the demo kills with -9 after two fifths of the time
    #[arg(long, value_enum, default_value_t = Victim::Server)]
    kill: Victim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// A server; its agent notices, reports it, and starts the server again
    Server,
    /// A server and its agent, as if their machine died: nobody reports it, and nobody starts the server again
    Machine,
    Nothing,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    crate::process::log::start_plainly();
    let mut words = ShortForm {
        listen: vec!["udp:127.0.0.1:5060".into()],
        server: vec!["127.0.0.1:7000".into()],
        ..ShortForm::default()
    }
    .with("affinity", &args.affinity);
    if let Some(selection) = &args.selection {
        words = words.with("selection", selection);
    }
    if let Err(problems) = config::short_form(&words) {
        err!("{problems}");
        return ExitCode::from(config::EXIT_USAGE);
    }
    match play(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(args: &Args) -> io::Result<bool> {
    // Load manager, heartbeats, servers, callers.
    let count = SERVERS + 3;
    let ports = match args.first_port {
        Some(first) => (first..).take(count).collect(),
        None => crate::demo::free_ports(count)?,
    };
    let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let (own, to) = (loopback(ports[count - 1]), loopback(ports[0]));
    let selection = args.selection.clone().unwrap_or_else(|| {
        if args.affinity == "hash" { "hash".to_owned() } else { "round-robin".to_owned() }
    });
    let settings = Settings { affinity: args.affinity.clone(), selection, servers: SERVERS, ports };
    outln!("Starting a load manager on udp:{to} and {SERVERS} servers, each under an agent …");
    let farm = Farm::start(&settings)?;
    // After the children are made: they would inherit the blocked signals.
    let signals = Signals::hold(&[libc::SIGINT, libc::SIGTERM]);
    let pacing = Pacing { calls_per_second: args.calls_per_second, talk: TALK };
    let mut play = Play {
        farm,
        callers: start_callers(pacing, own, to)?,
        start: Instant::now(),
        seconds: args.seconds,
        events: Vec::new(),
        last: Second::default(),
        shown: Shown::default(),
        incident: None,
    };
    let finished = play.perform(args, &signals)?;
    play.callers.handle.stop();
    if let Some(thread) = play.callers.thread.take() {
        thread.join().map_err(|_| io::Error::other("the callers failed"))??;
    }
    Ok(play.summary() && finished)
}

/// The callers, on their thread.
struct Running {
    tally: Arc<Tally>,
    handle: Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

fn start_callers(pacing: Pacing, own: SocketAddr, to: SocketAddr) -> io::Result<Running> {
    let clock = Clock::start();
    let run = u64::from(std::process::id());
    let callers = Callers::new(pacing, own, to, run, clock.now());
    let tally = callers.tally();
    let listeners = [(Transport::Udp, own)];
    let setup = Setup {
        index: 0,
        pin: None,
        clock,
        listeners: &listeners,
        udp: UdpOptions::default(),
        limits: net::Limits::default(),
        identities: Arc::default(),
        spread: net::Spread::default(),
        late: None,
        beside: Box::new(()),
    };
    let worker = Worker::new(setup, callers)?;
    let handle = worker.handle();
    let thread = std::thread::Builder::new().name("callers".into()).spawn(move || worker.run())?;
    Ok(Running { tally, handle, thread: Some(thread) })
}

/// The server that was killed, and when the load manager noticed.
struct Incident {
    server: SocketAddr,
    /// The server's agent lives and starts the server again.
    returns: bool,
    killed: Instant,
    seen: Option<Duration>,
    back: Option<Duration>,
}

impl Incident {
    /// The demo has shown what it should show.
    fn is_over(&self) -> bool {
        self.seen.is_some() && (self.back.is_some() || !self.returns)
    }
}

/// Counts at the beginning of the present second.
#[derive(Default)]
struct Second {
    at: Option<Instant>,
    messages: u64,
    by_server: Vec<u64>,
    ringing: Vec<u64>,
}

/// Figures of the last whole second.
#[derive(Default)]
struct Shown {
    messages: u64,
    rates: Vec<u64>,
    p50: Option<u64>,
    p99: Option<u64>,
}

struct Play {
    farm: Farm,
    callers: Running,
    start: Instant,
    seconds: u64,
    events: Vec<String>,
    last: Second,
    shown: Shown,
    incident: Option<Incident>,
}

impl Play {
    /// `false`: the demo was interrupted.
    fn perform(&mut self, args: &Args, signals: &Signals) -> io::Result<bool> {
        let mut screen = Screen::new();
        let length = Duration::from_secs(args.seconds);
        let kill_at = length * 2 / 5;
        let mut picture_due = Instant::now();
        loop {
            let elapsed = self.start.elapsed();
            if elapsed >= length {
                self.callers.tally.ending.store(true, Ordering::Relaxed);
                let is_watching = self.incident.as_ref().is_some_and(|incident| !incident.is_over());
                if self.callers.tally.is_settled() && !is_watching || elapsed >= length + SETTLE {
                    break;
                }
            }
            if args.kill != Victim::Nothing && self.incident.is_none() && elapsed >= kill_at {
                self.kill(args.kill);
            }
            let report = self.farm.report().unwrap_or_default();
            self.watch(&report);
            if Instant::now() >= picture_due {
                picture_due = Instant::now() + PICTURE;
                self.farm.check()?;
                self.picture(&mut screen, &report);
            }
            let watching = self.incident.as_ref().is_some_and(|incident| !incident.is_over());
            let pause = if watching { WATCH } else { PICTURE / 5 };
            if signals.wait(pause).is_some() {
                self.event("interrupted");
                return Ok(false);
            }
        }
        let report = self.farm.report().unwrap_or_default();
        self.picture(&mut screen, &report);
        Ok(true)
    }

    fn event(&mut self, text: &str) {
        let tenths = self.start.elapsed().as_millis() / 100;
        self.events.push(format!("{:>3}.{} s  {text}", tenths / 10, tenths % 10));
    }

    fn kill(&mut self, victim: Victim) {
        // The second of three servers: it is neither the first nor the last in any list.
        let index = 1;
        let server = self.farm.servers()[index];
        match self.farm.server_process(index) {
            Some(process) => {
                let returns = victim == Victim::Server;
                if !returns {
                    self.farm.kill_agent(index);
                }
                signal(process, libc::SIGKILL);
                self.incident =
                    Some(Incident { server, returns, killed: Instant::now(), seen: None, back: None });
                let with = if returns { "" } else { ", and its agent, too" };
                self.event(&format!("kill -9 {process}: the server {server} is dead{with}"));
            }
            None => self.event(&format!("server {server} has no process to kill; the demo tries again")),
        }
    }

    /// Notes when the load manager takes the dead server out of the farm, and when the server returns.
    fn watch(&mut self, report: &StatusReport) {
        let Some(incident) = &mut self.incident else { return };
        let found = report.servers.iter().find(|server| server.address == Some(incident.server));
        let Some(found) = found else { return };
        let since = incident.killed.elapsed();
        let active = report.active.contains(&found.index);
        let text = match (incident.seen, incident.back) {
            (None, _) if !active => {
                incident.seen = Some(since);
                format!(
                    "the load manager took the server out of the farm after {} ms: {}",
                    since.as_millis(),
                    found.reason
                )
            }
            // On a busy machine both can happen between two looks. The server has been active for less time than since it was killed.
            (None, _) if Duration::from_secs(found.since_seconds + 1) <= since => {
                (incident.seen, incident.back) = (Some(since), Some(since));
                format!(
                    "the load manager took the server out of the farm after less than {} ms, and put it back",
                    since.as_millis()
                )
            }
            (Some(_), None) if active => {
                incident.back = Some(since);
                format!(
                    "the agent restarted the server; it gets calls again, {} ms after its death",
                    since.as_millis()
                )
            }
            _ => return,
        };
        self.event(&text);
    }

    fn picture(&mut self, screen: &mut Screen, report: &StatusReport) {
        let tally = Arc::clone(&self.callers.tally);
        let by_server: Vec<u64> = report.servers.iter().map(|server| server.messages).collect();
        let ringing = tally.first_answer.counts();
        let elapsed = self.last.at.map_or(Duration::MAX, |at| at.elapsed());
        if elapsed >= Duration::from_secs(1) {
            if self.last.at.is_some() {
                let millis = elapsed.as_millis().max(1) as u64;
                let per_second = |count: u64, before: u64| count.saturating_sub(before) * 1000 / millis;
                let before = |index: usize| self.last.by_server.get(index).copied().unwrap_or(0);
                let window: Vec<u64> =
                    ringing.iter().zip(&self.last.ringing).map(|(now, before)| now - before).collect();
                self.shown = Shown {
                    messages: per_second(tally.messages.get(), self.last.messages),
                    rates: by_server
                        .iter()
                        .enumerate()
                        .map(|(at, count)| per_second(*count, before(at)))
                        .collect(),
                    p50: quantile(&window, 500),
                    p99: quantile(&window, 990),
                };
            }
            self.last =
                Second { at: Some(Instant::now()), messages: tally.messages.get(), by_server, ringing };
        }
        screen.show(&View {
            elapsed_millis: self.start.elapsed().as_millis() as u64,
            seconds: self.seconds,
            report,
            rates: &self.shown.rates,
            begun: tally.started.get(),
            up: tally.up.get(),
            ended: tally.ended.get(),
            lost: tally.lost.get(),
            messages_per_second: self.shown.messages,
            p50: self.shown.p50,
            p99: self.shown.p99,
            taken_over: self.farm.faults(),
            events: &self.events,
        });
    }

    /// Prints the result. `true`: no call was lost, and everything expected happened.
    fn summary(&mut self) -> bool {
        let tally = Arc::clone(&self.callers.tally);
        let ringing = tally.first_answer.counts();
        let lost = tally.started.get() - tally.ended.get();
        outln!(
            "\nCalls: {} begun, {} ended well, {lost} lost. {} messages repeated.",
            tally.started.get(),
            tally.ended.get(),
            tally.repeated.get()
        );
        outln!(
            "Ringing after {} (half of the calls), {} (99 of 100).",
            milliseconds(quantile(&ringing, 500)),
            milliseconds(quantile(&ringing, 990))
        );
        let mut good = lost == 0 && tally.started.get() > 0;
        if let Some(incident) = &self.incident {
            let after = |time: &Option<Duration>| {
                time.map_or("never".into(), |time| format!("after {} ms", time.as_millis()))
            };
            let back = match incident.returns {
                true => format!(", back {}", after(&incident.back)),
                false => String::new(),
            };
            outln!(
                "Server {} was killed: out of the farm {}{back}; {} requests taken over by other servers.",
                incident.server,
                after(&incident.seen),
                self.farm.faults()
            );
            good &= incident.is_over();
        }
        let reasons = tally.reasons.lock().map(|reasons| reasons.clone()).unwrap_or_default();
        for reason in &reasons {
            outln!("  {reason}");
        }
        if good {
            outln!("No call was lost.");
        } else {
            outln!(
                "The demo has failed. The configuration and the logs are in {}",
                self.farm.keep_logs().display()
            );
        }
        good
    }
}
