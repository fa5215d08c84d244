//! The whole farm in half a minute: engines behind a load manager, the process with the records of their calls, callers and
//! callees. Two engines are killed while calls ring and talk. It fails if a call was lost or rang twice.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use config::RunForm;

use crate::demo::{
    Beside, Meter, PICTURE, Pacing, Running, SETTLE, Screen, TALK, free_ports, milliseconds, quantile,
};
use crate::process::signals::Signals;
use crate::report::status::StatusReport;
use crate::run::child::{signal, spawn, wait_or_kill};
use crate::run::{Farm, Folder, Plan};

const ENGINES: usize = 3;
/// Time that a callee rings, milliseconds: some calls ring at any moment.
const RING_MS: u64 = 1_500;
/// The engines that are killed, by index, and after which part of the time, in thousandths.
const KILLS: [(usize, u32); 2] = [(1, 300), (0, 600)];
/// The callees count their calls when they are told to end.
const CALLEES_PATIENCE: Duration = Duration::from_secs(10);

struct Whole {
    farm: Farm,
    callees: Callees,
    callers: Running,
    start: Instant,
    seconds: u64,
    events: Vec<String>,
    meter: Meter,
    killed: usize,
}

/// Plays it. `true`: no call was lost, none rang twice, and engines were killed.
pub(super) fn play(calls_per_second: u32, seconds: u64) -> io::Result<bool> {
    let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let ports = free_ports(3)?;
    let (front, own, callee) = (loopback(ports[0]), loopback(ports[1]), loopback(ports[2]));
    let path = std::env::temp_dir().join(format!("strowger-demo-{}", std::process::id()));
    let folder = Folder::open(&path)?;
    let form = RunForm {
        listen: vec![format!("udp:{front}")],
        to: vec![format!("sip:{callee}")],
        once: vec![("engines", "engines", ENGINES.to_string())],
        ..RunForm::default()
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
        callees,
        callers: Running::start(pacing, own, front)?,
        start: Instant::now(),
        seconds,
        events: Vec::new(),
        meter: Meter::default(),
        killed: 0,
    };
    let finished = whole.perform(&signals);
    let is_good = whole.summary(&path)?;
    if is_good {
        fs::remove_dir_all(&path)?;
    }
    Ok(is_good && finished)
}

impl Whole {
    /// `false`: it was interrupted.
    fn perform(&mut self, signals: &Signals) -> bool {
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
            if KILLS.get(self.killed).is_some_and(|(_, permille)| elapsed >= length * *permille / 1000) {
                self.kill(KILLS[self.killed].0);
            }
            for said in self.farm.turn() {
                self.event(&said.text);
            }
            if Instant::now() >= picture_due {
                picture_due = Instant::now() + PICTURE;
                self.picture(&mut screen);
            }
            if signals.wait(PICTURE / 5).is_some() {
                self.event("interrupted");
                return false;
            }
        }
        self.picture(&mut screen);
        true
    }

    fn event(&mut self, text: &str) {
        let tenths = self.start.elapsed().as_millis() / 100;
        self.events.push(format!("{:>3}.{} s  {text}", tenths / 10, tenths % 10));
    }

    fn kill(&mut self, index: usize) {
        let up = self.callers.tally.up.get();
        let number = index + 1;
        match self.farm.engine_process(index) {
            Some(process) => {
                signal(process, libc::SIGKILL);
                self.killed += 1;
                self.event(&format!("kill -9 {process}: engine {number} is dead; {up} calls ring or talk"));
            }
            None => self.event(&format!("engine {number} has no process to kill; the demo tries again")),
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

    /// Ends everything and prints the counts of all. `true`: no call was lost, none rang twice, and engines were killed.
    fn summary(mut self, path: &Path) -> io::Result<bool> {
        self.callers.stop()?;
        self.callees.end();
        drop(self.farm);
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
        outln!("{} engines were killed with -9; others took over {taken_over} calls of theirs.", self.killed);
        let reasons = tally.reasons.lock().map(|reasons| reasons.clone()).unwrap_or_default();
        for reason in &reasons {
            outln!("  {reason}");
        }
        let is_good = begun > 0 && lost == 0 && rang == begun && self.killed == KILLS.len() && taken_over > 0;
        match is_good {
            true => outln!("No call was lost, and none rang twice."),
            false => outln!("The demo has failed. The logs are in {}", path.display()),
        }
        Ok(is_good)
    }
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
