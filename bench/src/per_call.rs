//! P8, P9: CPU per basic call (INVITE, 180, 200, ACK, BYE, 200) of the engine with each kind of state, saturated, beside a
//! floor that copies the same datagrams, the load manager, and other programs that keep calls.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use crate::calls::MESSAGES_PER_CALL;
use crate::farm::Idle;
use crate::measure::{Bench, Load, Plan, Sample, Spread, layout};
use crate::report::Report;
use crate::subject::{Places, Subject};

/// Most calls at a time; more than any window.
const SLOTS: usize = 4096;
/// Seconds that a measurement takes.
const SECONDS: f64 = 3.0;
const SECONDS_QUICK: f64 = 1.0;

type Samples = HashMap<Subject, Vec<Sample>>;

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let mut report = Report::new("calls", "CPU per call");
    let columns = ["subject", "repeat", "us_per_call", "calls_per_second", "messages_per_call", "disturbed"];
    report.sample(&columns.map(String::from));
    let measured = Duration::from_secs_f64(if quick { SECONDS_QUICK } else { SECONDS });
    let plan = Plan { measured, ..Plan::new(quick) };
    let subjects: Vec<Subject> =
        Subject::CALLS.into_iter().filter(|&subject| places.can_start(subject)).collect();
    for missing in Subject::CALLS.iter().filter(|subject| !subjects.contains(subject)) {
        eprintln!("left out, its program is not there: {}", missing.name());
    }
    let mut samples = Samples::new();
    for repeat in 0..plan.repeats {
        for &subject in &subjects {
            eprintln!("repeat {} of {}: {}", repeat + 1, plan.repeats, subject.name());
            let begun = Bench::start(places, subject, layout(port, subject, 1), SLOTS, false, Idle::Spin);
            let Some(mut bench) = begun.map_err(|error| eprintln!("  left out: {error}")).ok() else {
                continue;
            };
            let sample = bench.measure(Load::Saturated, plan)?;
            bench.finish()?;
            report.sample(&[
                subject.name().into(),
                repeat.to_string(),
                format!("{:.3}", sample.micros_per_call()),
                format!("{:.0}", calls_per_second(&sample)),
                format!("{:.2}", messages_per_call(&sample)),
                format!("{:.4}", sample.disturbed),
            ]);
            samples.entry(subject).or_default().push(sample);
        }
    }
    print(&mut report, &subjects, &samples);
    report.save()
}

fn calls_per_second(sample: &Sample) -> f64 {
    sample.messages_per_second() / MESSAGES_PER_CALL as f64
}

/// What the subject receives and sends for a call: each message twice, and its own 100.
fn messages_per_call(sample: &Sample) -> f64 {
    let calls = sample.counters.messages as f64 / MESSAGES_PER_CALL as f64;
    2.0 * MESSAGES_PER_CALL as f64 + sample.counters.trying as f64 / calls.max(1.0)
}

fn print(report: &mut Report, subjects: &[Subject], samples: &Samples) {
    report.header(&[
        "what",
        "CPU per call, µs",
        "× floor, two sides",
        "calls/s",
        "messages a call",
        "core used, %",
        "failed",
        "disturbed, %",
    ]);
    for subject in subjects {
        let Some(own) = samples.get(subject) else { continue };
        let floor = samples.get(&Subject::EngineFloor);
        let ratio = floor.and_then(|floor| {
            let pairs = own.iter().zip(floor);
            Spread::of(pairs.map(|(own, floor)| own.micros_per_call() / floor.micros_per_call()))
        });
        let spread = |figure: &dyn Fn(&Sample) -> f64| Spread::of(own.iter().map(figure));
        report.row(&[
            subject.name().into(),
            Spread::show(spread(&Sample::micros_per_call), 1),
            Spread::show(ratio, 2),
            Spread::show(spread(&calls_per_second), 0),
            Spread::show(spread(&messages_per_call), 1),
            Spread::show(spread(&|sample| 100.0 * sample.busy()), 0),
            own.iter().map(|sample| sample.counters.failures()).sum::<u64>().to_string(),
            Spread::show(spread(&|sample| 100.0 * sample.disturbed), 0),
        ]);
    }
}
