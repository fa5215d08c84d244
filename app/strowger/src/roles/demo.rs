//! A farm on this machine, calls through it, and engines or a server that are killed: Strowger's work in half a minute. The demo
//! fails if a single call is lost. Here is the load manager alone with plain servers; the whole farm is in `demo_whole.rs`.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::{ValueEnum, value_parser};
use config::ShortForm;

use crate::demo::{
    Beside, Farm, Meter, PICTURE, Pacing, Running, SETTLE, Screen, Settings, TALK, milliseconds, quantile,
};
use crate::process::signals::Signals;
use crate::report::status::StatusReport;
use crate::roles::demo_whole;
use crate::run::child::signal;

const SERVERS: usize = 3;
/// Time between two looks at the server that was killed.
const WATCH: Duration = Duration::from_millis(5);

const EXAMPLES: &str = "\
Examples:
  strowger demo
  strowger demo --redis
  strowger demo --only lb --calls-per-second 500 --seconds 30 --affinity session --selection cjsq
  strowger demo --only lb --kill machine

The demo starts a load manager, three engines under agents, the process with the records of their calls, callers and callees, all on \
loopback. It kills two engines with -9 while calls ring and talk. With --redis the records lie in a cluster of six servers, and \
one of them is killed, too. With --only lb there are three plain servers behind the load \
manager, and one of them is killed. Exit status: 0 if every call was answered and ended, 1 if a call was lost or rang twice.
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Show this part alone
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// The records of calls lie in a Redis cluster of three primaries and a replica of each, and a primary is killed, too.
    /// It takes redis-server, 7.0 or newer, or valkey-server
    #[arg(long, conflicts_with = "only")]
    redis: bool,
    /// New calls per second
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=5000))]
    pub(super) calls_per_second: u32,
    /// How long new calls are made, seconds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(5..=3600))]
    pub(super) seconds: u64,
    #[arg(long, value_name = "KIND", default_value = "tag", requires = "only", hide_default_value = true, help = config::help("affinity.kind"))]
    affinity: String,
    #[arg(long, value_name = "POLICY", requires = "only", help = config::help("selection.kind"))]
    selection: Option<String>,
    /// First port to use; if left out, any free ports
    #[arg(long, value_name = "PORT", requires = "only", value_parser = value_parser!(u16).range(1024..=65000))]
    first_port: Option<u16>,
    /// What the demo kills with -9 after two fifths of the time
    #[arg(long, value_enum, requires = "only", default_value_t = Victim::Server)]
    kill: Victim,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A load manager in front of plain servers
    Lb,
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
    let played = match args.only {
        Some(Part::Lb) => play(args),
        None => demo_whole::play(args.calls_per_second, args.seconds, args.redis),
    };
    match played {
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
        callers: Running::start(pacing, own, to)?,
        start: Instant::now(),
        seconds: args.seconds,
        events: Vec::new(),
        meter: Meter::default(),
        incident: None,
    };
    let finished = play.perform(args, &signals)?;
    play.callers.stop()?;
    let is_good = play.summary();
    Ok(is_good && finished)
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

struct Play {
    farm: Farm,
    callers: Running,
    start: Instant,
    seconds: u64,
    events: Vec<String>,
    meter: Meter,
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
        let beside = Beside {
            elapsed: self.start.elapsed(),
            seconds: self.seconds,
            taken_over: Some(self.farm.faults()),
            events: &self.events,
        };
        screen.show(&self.meter.view(&self.callers.tally, report, beside));
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
