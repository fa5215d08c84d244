//! P10 and P15 of the engine: CPU per call and memory while calls that are up grow to a million. The generator keeps them up: it
//! remembers of each what a client and a server must.

use std::io;
use std::time::Duration;

use crate::farm::{Idle, Pace, Until};
use crate::measure::{Bench, Load, Plan, Sample, layout};
use crate::report::Report;
use crate::subject::{Places, State, Subject};

const CALLS: [usize; 4] = [100, 10_000, 100_000, 1_000_000];
/// With fewer calls, what a program has besides them would count.
const MANY: usize = 10_000;
/// Slots beyond the calls that are up.
const SPARE: usize = 4096;
/// Calls begun and ended before the first weighing, so that buffers have reached their size.
const WARM_UP: u64 = 20_000;
/// Tombstones of ended calls lie in the state for 32 s; what they take is not of the calls that are up.
const BURIED: Duration = Duration::from_secs(33);

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let plan = Plan { warm_up: Duration::from_millis(500), measured: Duration::from_secs(3), repeats: 1 };
    let steps = if quick { &CALLS[..3] } else { &CALLS };
    let mut report = Report::new("engine-flatness", "Engine: calls that are up");
    report.header(&[
        "state, calls up",
        "CPU per call, µs",
        "floor, two sides, µs",
        "× floor",
        "against the first row, %",
        "resident, MB",
        "bytes per call up",
        "failed",
        "disturbed, %",
    ]);
    let floors = floors(places, port, steps, plan)?;
    for state in [State::Process, State::Redis] {
        let subject = Subject::Engine(state);
        if !places.can_start(subject) {
            eprintln!("left out, its program is not there: {}", subject.name());
            continue;
        }
        let mut bench = start(places, port, subject, steps)?;
        bench.farm.run(Pace::Closed(subject.window()), Until::Attempts(WARM_UP))?;
        rest(&mut bench)?;
        let base = bench.program.resident_bytes();
        let mut first = None;
        for (&calls, floor) in steps.iter().zip(&floors) {
            fill(&mut bench, calls)?;
            rest(&mut bench)?;
            let resident = bench.program.resident_bytes();
            let per_call = resident.saturating_sub(base) as f64 / calls as f64;
            let cost = middle(&mut bench, plan)?;
            let ratio = cost.micros_per_call() / floor;
            let against = 100.0 * (ratio / *first.get_or_insert(ratio) - 1.0);
            report.row(&[
                format!("{}, {calls}", subject.name()),
                format!("{:.1}", cost.micros_per_call()),
                format!("{floor:.1}"),
                format!("{ratio:.2}"),
                format!("{against:+.1}"),
                (resident >> 20).to_string(),
                if calls < MANY { "-".into() } else { format!("{per_call:.0}") },
                bench.farm.calls.counters.failures().to_string(),
                format!("{:.0}", 100.0 * cost.disturbed),
            ]);
        }
    }
    report.save()
}

/// CPU per call of the floor with so many calls up: the generator also becomes slower with a million calls, and a slower
/// generator sends smaller batches.
fn floors(places: &Places, port: u16, steps: &[usize], plan: Plan) -> io::Result<Vec<f64>> {
    let mut bench = start(places, port, Subject::EngineFloor, steps)?;
    let cost = |&calls: &usize| {
        fill(&mut bench, calls)?;
        Ok(middle(&mut bench, plan)?.micros_per_call())
    };
    steps.iter().map(cost).collect()
}

fn start(places: &Places, port: u16, subject: Subject, steps: &[usize]) -> io::Result<Bench> {
    let slots = steps.iter().max().copied().unwrap_or_default() + SPARE;
    Bench::start(places, subject, layout(port, subject, 1), slots, false, Idle::Sleep)
}

fn fill(bench: &mut Bench, calls: usize) -> io::Result<()> {
    eprintln!("{}: {calls} calls", bench.subject.name());
    bench.farm.calls.set_hold(calls);
    bench.farm.run(Pace::Closed(bench.subject.window()), Until::InProgress(calls)).map(|_| ())
}

/// The middle one of three measurements.
fn middle(bench: &mut Bench, plan: Plan) -> io::Result<Sample> {
    let mut costs = (0..3).map(|_| bench.measure(Load::Saturated, plan)).collect::<io::Result<Vec<_>>>()?;
    costs.sort_by(|one, other| one.micros_per_call().total_cmp(&other.micros_per_call()));
    Ok(costs[1])
}

/// Lets the last calls end, and what was ended be forgotten.
fn rest(bench: &mut Bench) -> io::Result<()> {
    bench.farm.drain()?;
    // A few calls, since a state forgets only when a command comes.
    bench.farm.run(Pace::CallsPerSecond(10.0), Until::Elapsed(BURIED))?;
    bench.farm.drain()
}
