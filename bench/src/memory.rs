//! P3: resident memory of the load manager while calls in progress grow.
//!
//! Calls are set up at an even rate that is slow enough for the 32 s of new calls to pass several times: with tag affinity
//! memory must stop growing after the first 32 s, although the number of calls in progress grows on.

use std::io;
use std::time::{Duration, Instant};

use crate::farm::{Idle, Pace, Until};
use crate::measure::{Bench, layout};
use crate::report::Report;
use crate::subject::{Affinity, Places, Subject};

const SERVERS: usize = 4;
const CALLS_PER_SECOND: f64 = 10_000.0;
/// How long new calls are remembered: 64·T1 (RFC 3261 §16.11).
const NEW_CALL_SECONDS: f64 = 32.0;
/// Time after which new calls are forgotten.
const REST: Duration = Duration::from_secs(35);
/// Calls begun and ended before the first weighing, so that buffers have reached their size.
const WARM_UP: u64 = 2_000;

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let most = if quick { 100_000 } else { 1_000_000 };
    let mut report = Report::new("memory", "Resident memory and calls in progress");
    report.header(&[
        "affinity",
        "calls in progress",
        "calls of the last 32 s",
        "resident, kB",
        "growth, kB",
        "bytes per call in progress",
        "bytes per call of the last 32 s",
        "failed",
    ]);
    for affinity in [Affinity::Tag, Affinity::Session] {
        grow(places, port, affinity, most, &mut report)?;
    }
    report.save()
}

fn grow(places: &Places, port: u16, affinity: Affinity, most: usize, report: &mut Report) -> io::Result<()> {
    let subject = Subject::Strowger(affinity);
    let layout = layout(port, subject, SERVERS);
    let mut bench = Bench::start(places, subject, layout, most + 20_000, false, Idle::Sleep)?;
    bench.farm.run(Pace::Closed(subject.window()), Until::Attempts(WARM_UP))?;
    bench.farm.drain()?;
    let base = bench.program.resident_bytes();
    let mut weigh = |bench: &Bench, recent: f64| {
        let calls = bench.farm.calls.in_progress();
        let resident = bench.program.resident_bytes();
        let growth = resident.saturating_sub(base);
        let per = |count: f64| if count < 1.0 { "-".into() } else { format!("{:.0}", growth as f64 / count) };
        report.row(&[
            affinity.name().into(),
            calls.to_string(),
            format!("{recent:.0}"),
            (resident / 1024).to_string(),
            (growth / 1024).to_string(),
            per(calls as f64),
            per(recent),
            bench.farm.calls.counters.failures().to_string(),
        ]);
    };
    weigh(&bench, 0.0);
    bench.farm.calls.set_hold(most);
    for step in 1..=10 {
        let calls = most / 10 * step;
        bench.farm.run(Pace::CallsPerSecond(CALLS_PER_SECOND), Until::InProgress(calls))?;
        weigh(&bench, (calls as f64).min(CALLS_PER_SECOND * NEW_CALL_SECONDS));
    }
    bench.farm.drain()?;
    let begin = Instant::now();
    // A few calls, since the load manager forgets some entries only when a message comes.
    while begin.elapsed() < REST {
        bench.farm.run(Pace::CallsPerSecond(10.0), Until::Elapsed(Duration::from_secs(1)))?;
    }
    weigh(&bench, 0.0);
    Ok(())
}
