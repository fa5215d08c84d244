//! P2: the cost of a message must not depend on the number of servers or of calls in progress.
//!
//! The floor is measured beside every step with the same calls in progress, since the generator also becomes slower with a
//! million calls, and a slower generator sends smaller batches.

use std::io;
use std::time::Duration;

use crate::farm::{Idle, Pace, Until};
use crate::measure::{Bench, Load, Plan, Sample, Spread, layout};
use crate::report::Report;
use crate::subject::{Affinity, Places, Subject};

const SERVERS: [usize; 5] = [4, 16, 64, 256, 1000];
const CALLS: [usize; 4] = [100, 10_000, 100_000, 1_000_000];
/// Servers while the calls vary, and calls while the servers vary.
const FEW_SERVERS: usize = 4;
const FEW_CALLS: usize = 100;
const LOADS: [Load; 2] = [Load::Saturated, Load::MessagesPerSecond(100_000)];
/// Slots beyond the calls in progress.
const SPARE: usize = 4096;

/// One step of a sweep: samples by load, one per repeat.
struct Step {
    servers: usize,
    calls: usize,
    floor: [Vec<Sample>; 2],
    own: [Vec<Sample>; 2],
    failures: u64,
}

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let repeats = if quick { 1 } else { 3 };
    let plan = Plan { repeats, warm_up: Duration::from_millis(300), measured: Duration::from_millis(1500) };
    let calls = if quick { &CALLS[..3] } else { &CALLS };
    let steps = SERVERS.map(|servers| (servers, FEW_CALLS)).into_iter();
    let steps = steps.chain(calls[1..].iter().map(|&calls| (FEW_SERVERS, calls)));
    let mut steps: Vec<Step> = steps
        .map(|(servers, calls)| Step {
            servers,
            calls,
            floor: Default::default(),
            own: Default::default(),
            failures: 0,
        })
        .collect();
    for repeat in 0..repeats {
        for step in &mut steps {
            eprintln!("repeat {} of {repeats}: {} servers, {} calls", repeat + 1, step.servers, step.calls);
            for subject in [Subject::Floor, Subject::Strowger(Affinity::Tag)] {
                step.measure(places, port, subject, plan)?;
            }
        }
    }
    print(&steps)
}

impl Step {
    fn measure(&mut self, places: &Places, port: u16, subject: Subject, plan: Plan) -> io::Result<()> {
        let layout = layout(port, subject, self.servers);
        let mut bench = Bench::start(places, subject, layout, self.calls + SPARE, false, Idle::Spin)?;
        bench.farm.calls.set_hold(self.calls);
        bench.farm.run(Pace::Closed(subject.window()), Until::InProgress(self.calls))?;
        let samples = if subject == Subject::Floor { &mut self.floor } else { &mut self.own };
        for (load, samples) in LOADS.into_iter().zip(samples) {
            samples.push(bench.measure(load, plan)?);
        }
        self.failures += bench.finish()?;
        Ok(())
    }
}

fn print(steps: &[Step]) -> io::Result<()> {
    let mut report = Report::new("flatness", "Flatness: servers and calls in progress (tag affinity)");
    report.header(&[
        "servers, calls in progress",
        "µs, saturated",
        "× floor",
        "µs, 100,000/s",
        "× floor",
        "against the first row, %",
        "failed",
    ]);
    let mut names = vec!["servers", "calls", "load", "subject", "us_per_message", "busy", "disturbed"];
    report.sample(&names.drain(..).map(String::from).collect::<Vec<_>>());
    let cost = |samples: &[Sample]| Spread::of(samples.iter().map(Sample::micros_per_message));
    let first = cost(&steps[0].own[0]).map_or(1.0, |spread| spread.median);
    for step in steps {
        let ratio = |load: usize| {
            let pairs = step.own[load].iter().zip(&step.floor[load]);
            Spread::of(pairs.map(|(own, floor)| own.micros_per_message() / floor.micros_per_message()))
        };
        let change = cost(&step.own[0]).map_or(0.0, |spread| 100.0 * (spread.median / first - 1.0));
        report.row(&[
            format!("{}, {}", step.servers, step.calls),
            Spread::show(cost(&step.own[0]), 2),
            Spread::show(ratio(0), 2),
            Spread::show(cost(&step.own[1]), 2),
            Spread::show(ratio(1), 2),
            format!("{change:+.1}"),
            step.failures.to_string(),
        ]);
        for (subject, samples) in [("floor", &step.floor), ("strowger tag", &step.own)] {
            for (load, samples) in LOADS.iter().zip(samples) {
                for sample in samples {
                    report.sample(&[
                        step.servers.to_string(),
                        step.calls.to_string(),
                        load.name(),
                        subject.into(),
                        format!("{:.4}", sample.micros_per_message()),
                        format!("{:.4}", sample.busy()),
                        format!("{:.4}", sample.disturbed),
                    ]);
                }
            }
        }
    }
    report.save()
}
