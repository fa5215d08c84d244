//! The whole farm in half a minute: engines behind a load manager, the process with the records of their calls, callers and
//! callees. Two engines are killed while calls ring and talk, and with Redis a primary, too. It fails if a call was lost or rang
//! twice.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use config::RunForm;

use crate::demo::{
    Beside, Cluster, Meter, PICTURE, PRIMARIES, Pacing, Running, SETTLE, Screen, TALK, free_ports,
    milliseconds, quantile,
};
use crate::process::signals::Signals;
use crate::report::status::StatusReport;
use crate::run::child::{signal, spawn, wait_or_kill};
use crate::run::{Farm, Folder, Plan};

const ENGINES: usize = 3;
/// Time that a callee rings, milliseconds: some calls ring at any moment.
const RING_MS: u64 = 1_500;
/// What is killed, and after which part of the time, in thousandths.
const KILLS: [(Victim, u32); 2] = [(Victim::Engine(1), 300), (Victim::Engine(0), 600)];
const KILLS_WITH_REDIS: [(Victim, u32); 3] =
    [(Victim::Engine(1), 150), (Victim::Primary(0), 350), (Victim::Engine(0), 750)];
/// The callees count their calls when they are told to end.
const CALLEES_PATIENCE: Duration = Duration::from_secs(10);

/// By index.
#[derive(Clone, Copy)]
enum Victim {
    Engine(usize),
    Primary(usize),
}

/// A primary that was killed, and when its replica took over.
struct Incident {
    primary: usize,
    killed: Instant,
    taken_over: Option<Duration>,
}

struct Whole {
    farm: Farm,
    /// The servers of records, if they are no process of the farm.
    cluster: Option<Cluster>,
    callees: Callees,
    callers: Running,
    start: Instant,
    seconds: u64,
    events: Vec<String>,
    meter: Meter,
    kills: &'static [(Victim, u32)],
    killed: usize,
    incident: Option<Incident>,
}

/// Plays it. `true`: no call was lost, none rang twice, and all was killed that should be.
pub(super) fn play(calls_per_second: u32, seconds: u64, redis: bool) -> io::Result<bool> {
    let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let ports = free_ports(3)?;
    let (front, own, callee) = (loopback(ports[0]), loopback(ports[1]), loopback(ports[2]));
    let path = std::env::temp_dir().join(format!("strowger-demo-{}", std::process::id()));
    let folder = Folder::open(&path)?;
    let cluster = if redis { Some(start_cluster(&path)?) } else { None };
    let form = RunForm {
        listen: vec![format!("udp:{front}")],
        to: vec![format!("sip:{callee}")],
        state: cluster.as_ref().map(Cluster::nodes).unwrap_or_default(),
        once: vec![("engines", "engines", ENGINES.to_string())],
    };
    let generated = Plan::generated(&folder, folder.file("control.sock"))?;
    let run =
        config::run_form(&form, &generated).map_err(|problems| io::Error::other(problems.to_string()))?;
    let plan = Plan::new(run, &folder)?;
    outln!(
        "Starting a load manager on udp:{front} and {} engines, each under an agent …",
        plan.engines.len()
    );
    let callees_log = folder.file("callees.log");
    let mut command = Command::new(&plan.program);
    command.args(["answer", "--listen", &format!("udp:{callee}"), "--answer-ms", &RING_MS.to_string()]);
    let callees = Callees { process: spawn(command, &callees_log)?, log: callees_log };
    let farm = Farm::start(plan, folder)?;
    let signals = Signals::hold(&[libc::SIGINT, libc::SIGTERM]);
    let pacing = Pacing { calls_per_second, talk: TALK };
    let mut whole = Whole {
        farm,
        cluster,
        callees,
        callers: Running::start(pacing, own, front)?,
        start: Instant::now(),
        seconds,
        events: Vec::new(),
        meter: Meter::default(),
        kills: if redis { &KILLS_WITH_REDIS } else { &KILLS },
        killed: 0,
        incident: None,
    };
    let finished = whole.perform(&signals)?;
    let is_good = whole.summary(&path)?;
    if is_good {
        fs::remove_dir_all(&path)?;
    }
    Ok(is_good && finished)
}

impl Whole {
    /// `false`: it was interrupted.
    fn perform(&mut self, signals: &Signals) -> io::Result<bool> {
        let (mut screen, length) = (Screen::new(), Duration::from_secs(self.seconds));
        let mut picture_due = Instant::now();
        loop {
            let elapsed = self.start.elapsed();
            if elapsed >= length {
                self.callers.tally.ending.store(true, Ordering::Relaxed);
                if self.callers.tally.is_settled() || elapsed >= length + SETTLE {
                    break;
                }
            }
            let next = self.kills.get(self.killed);
            if let Some((victim, _)) = next.filter(|(_, permille)| elapsed >= length * *permille / 1000) {
                self.kill(*victim)?;
            }
            self.watch();
            for said in self.farm.turn() {
                self.event(&said.text);
            }
            if Instant::now() >= picture_due {
                picture_due = Instant::now() + PICTURE;
                self.picture(&mut screen);
            }
            if signals.wait(PICTURE / 5).is_some() {
                self.event("interrupted");
                return Ok(false);
            }
        }
        self.picture(&mut screen);
        Ok(true)
    }

    fn event(&mut self, text: &str) {
        let tenths = self.start.elapsed().as_millis() / 100;
        self.events.push(format!("{:>3}.{} s  {text}", tenths / 10, tenths % 10));
    }

    fn kill(&mut self, victim: Victim) -> io::Result<()> {
        match (victim, &mut self.cluster) {
            (Victim::Engine(index), _) => self.kill_engine(index),
            (Victim::Primary(primary), Some(cluster)) => {
                let (process, address) = cluster.kill(primary)?;
                self.incident = Some(Incident { primary, killed: Instant::now(), taken_over: None });
                self.is_dead(process, &format!("the primary {address} with a third of the records"));
            }
            (Victim::Primary(_), None) => {}
        }
        Ok(())
    }

    fn kill_engine(&mut self, index: usize) {
        let number = index + 1;
        match self.farm.engine_process(index) {
            Some(process) => {
                signal(process, libc::SIGKILL);
                self.is_dead(process as u32, &format!("engine {number}"));
            }
            None => self.event(&format!("engine {number} has no process to kill; the demo tries again")),
        }
    }

    fn is_dead(&mut self, process: u32, who: &str) {
        let up = self.callers.tally.up.get();
        self.killed += 1;
        self.event(&format!("kill -9 {process}: {who} is dead; {up} calls ring or talk"));
    }

    /// Notes when a replica has taken over.
    fn watch(&mut self) {
        let (Some(incident), Some(cluster)) = (&mut self.incident, &self.cluster) else { return };
        if incident.taken_over.is_some() {
            return;
        }
        if let Some(successor) = cluster.successor(incident.primary) {
            let after = incident.killed.elapsed();
            incident.taken_over = Some(after);
            self.event(&format!("its replica {successor} has taken over after {} ms", after.as_millis()));
        }
    }

    fn picture(&mut self, screen: &mut Screen) {
        let report: StatusReport = self.farm.report().unwrap_or_default();
        let beside = Beside {
            elapsed: self.start.elapsed(),
            seconds: self.seconds,
            taken_over: None,
            events: &self.events,
        };
        screen.show(&self.meter.view(&self.callers.tally, &report, beside));
    }

    /// Ends everything and prints the counts of all. `true`: no call was lost, none rang twice, and all was killed that should be.
    fn summary(mut self, path: &Path) -> io::Result<bool> {
        self.callers.stop()?;
        self.callees.end();
        drop(self.farm);
        drop(self.cluster);
        let tally = &self.callers.tally;
        let rang = count(&self.callees.log, "calls offered");
        let engine_logs = (1..=ENGINES).map(|number| path.join(format!("engine-{number}.log")));
        let taken_over: u64 = engine_logs.map(|log| count(&log, "calls taken over from a dead engine")).sum();
        let begun = tally.started.get();
        let lost = begun - tally.ended.get();
        let twice = rang.saturating_sub(begun);
        let ringing = tally.first_answer.counts();
        outln!(
            "\nCalls: {begun} begun, {} ended well, {lost} lost; {rang} rang, {twice} of them twice. {} messages repeated.",
            tally.ended.get(),
            tally.repeated.get()
        );
        outln!(
            "Ringing after {} (half of the calls), {} (the slowest).",
            milliseconds(quantile(&ringing, 500)),
            milliseconds(quantile(&ringing, 1000))
        );
        let engines =
            self.kills.iter().take(self.killed).filter(|(victim, _)| matches!(victim, Victim::Engine(_)));
        outln!(
            "{} engines were killed with -9; others took over {taken_over} calls of theirs.",
            engines.count()
        );
        if let Some(incident) = &self.incident {
            let then = incident.taken_over.map_or_else(
                || "its replica has not taken over".to_owned(),
                |after| format!("its replica took over after {} ms", after.as_millis()),
            );
            outln!("A primary of {PRIMARIES} was killed with -9; {then}.");
        }
        let reasons = tally.reasons.lock().map(|reasons| reasons.clone()).unwrap_or_default();
        for reason in &reasons {
            outln!("  {reason}");
        }
        let taken_over =
            taken_over > 0 && self.incident.as_ref().is_none_or(|incident| incident.taken_over.is_some());
        let is_good =
            begun > 0 && lost == 0 && rang == begun && self.killed == self.kills.len() && taken_over;
        match is_good {
            true => outln!("No call was lost, and none rang twice."),
            false => outln!("The demo has failed. The logs are in {}", path.display()),
        }
        Ok(is_good)
    }
}

fn start_cluster(folder: &Path) -> io::Result<Cluster> {
    outln!("Starting {PRIMARIES} servers of records and a replica of each …");
    let started = Cluster::start(folder);
    // Nothing but their logs is in the folder, and only if there are servers.
    if started.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        fs::remove_dir_all(folder)?;
    }
    started
}

/// The callees end with this process, however it ends.
struct Callees {
    process: Child,
    log: PathBuf,
}

impl Callees {
    fn end(&mut self) {
        signal(self.process.id() as i32, libc::SIGTERM);
        wait_or_kill(&mut self.process, Instant::now() + CALLEES_PATIENCE);
    }
}

impl Drop for Callees {
    fn drop(&mut self) {
        wait_or_kill(&mut self.process, Instant::now());
    }
}

/// The last count of this name in the tables that a process prints into its log.
fn count(log: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut counts = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.trim().parse().ok());
    counts.next_back().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_last_table() {
        let log = std::env::temp_dir().join(format!("strowger-demo-counts-{}", std::process::id()));
        fs::write(&log, "answers calls\n  what   count\n  calls offered   7\n  calls offered  12\n").unwrap();
        assert_eq!((count(&log, "calls offered"), count(&log, "calls lost")), (12, 0));
        fs::remove_file(log).unwrap();
    }
}
