//! The table of P1: CPU per message of the floor, of Strowger in each affinity and of Kamailio in both modes.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::farm::Idle;
use crate::measure::{Bench, Load, Plan, Sample, Spread, layout};
use crate::plot::{self, Bar};
use crate::process;
use crate::report::Report;
use crate::subject::{Places, Subject};

/// Servers behind each subject except the floor.
const SERVERS: usize = 4;
/// Most calls at a time; more than any window.
const SLOTS: usize = 4096;

const FAST: Load = Load::MessagesPerSecond(100_000);
const SLOW: Load = Load::MessagesPerSecond(10_000);

/// Kamailio saturates far below 100,000 messages a second.
fn loads(subject: Subject) -> &'static [Load] {
    match subject {
        Subject::Floor | Subject::Strowger(_) => &[Load::Saturated, FAST, SLOW],
        Subject::KamailioStateless | Subject::KamailioStateful => &[Load::Saturated, SLOW],
        Subject::EngineFloor | Subject::Engine(_) | Subject::Sippy => &[],
    }
}

/// Samples by repeat; all subjects are measured within seconds of each other in a repeat.
type Samples = HashMap<(Subject, Load), Vec<Sample>>;

const COLUMNS: [&str; 10] = [
    "subject",
    "load",
    "generator",
    "repeat",
    "us_per_message",
    "messages_per_second",
    "busy",
    "disturbed",
    "failures",
    "dropped",
];

/// Both tables: with a generator that sleeps when it is idle, and with one that never sleeps.
pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let mut report = Report::new("table", "CPU per message");
    report.sample(&COLUMNS.map(String::from));
    report.line("The generator sleeps when nothing has arrived; the subject pays for waking it.\n");
    series(places, port, quick, Idle::Sleep, &mut report)?;
    report.line("\nThe generator never sleeps; the subject pays for itself alone.\n");
    let (subjects, samples) = series(places, port, quick, Idle::Spin, &mut report)?;
    report.save()?;
    plot::write(Path::new("docs/performance.svg"), &bars(&subjects, &samples))
}

fn series(
    places: &Places,
    port: u16,
    quick: bool,
    idle: Idle,
    report: &mut Report,
) -> io::Result<(Vec<Subject>, Samples)> {
    let plan = Plan::new(quick);
    let subjects: Vec<Subject> =
        Subject::ALL.into_iter().filter(|&subject| places.can_start(subject)).collect();
    for missing in Subject::ALL.iter().filter(|subject| !subjects.contains(subject)) {
        eprintln!("left out, its program is not there: {}", missing.name());
    }
    let mut samples = Samples::new();
    for repeat in 0..plan.repeats {
        for &subject in &subjects {
            eprintln!("repeat {} of {}: {}", repeat + 1, plan.repeats, subject.name());
            let begun = Bench::start(places, subject, layout(port, subject, SERVERS), SLOTS, false, idle);
            let Some(mut bench) = begun.map_err(|error| eprintln!("  left out: {error}")).ok() else {
                continue;
            };
            for &load in loads(subject) {
                let sample = bench.measure(load, plan)?;
                record(report, subject, load, idle, repeat, &sample, process::dropped(port));
                samples.entry((subject, load)).or_default().push(sample);
            }
            bench.finish()?;
        }
    }
    print(report, &subjects, &samples);
    Ok((subjects, samples))
}

fn record(
    report: &mut Report,
    subject: Subject,
    load: Load,
    idle: Idle,
    repeat: usize,
    sample: &Sample,
    dropped: u64,
) {
    report.sample(&[
        subject.name().into(),
        load.name(),
        format!("{idle:?}").to_lowercase(),
        repeat.to_string(),
        format!("{:.4}", sample.micros_per_message()),
        format!("{:.0}", sample.messages_per_second()),
        format!("{:.4}", sample.busy()),
        format!("{:.4}", sample.disturbed),
        sample.counters.failures().to_string(),
        dropped.to_string(),
    ]);
}

fn print(report: &mut Report, subjects: &[Subject], samples: &Samples) {
    report.header(&[
        "what",
        "load",
        "CPU per message, µs",
        "× floor at that load",
        "Kamailio forward() ÷ this",
        "calls/s",
        "core used, %",
        "failed",
        "disturbed, %",
    ]);
    for &subject in subjects {
        for &load in loads(subject) {
            let Some(own) = samples.get(&(subject, load)) else { continue };
            let ratio = |to: (Subject, Load), inverse: bool| {
                let others = samples.get(&to)?;
                let pairs = own.iter().zip(others).map(|(own, other)| {
                    let ratio = own.micros_per_message() / other.micros_per_message();
                    if inverse { 1.0 / ratio } else { ratio }
                });
                Spread::of(pairs)
            };
            let peer_load = if load == SLOW { SLOW } else { Load::Saturated };
            report.row(&[
                subject.name().into(),
                load.name(),
                Spread::show(Spread::of(own.iter().map(Sample::micros_per_message)), 2),
                Spread::show(ratio((Subject::Floor, load), false), 2),
                Spread::show(ratio((Subject::KamailioStateless, peer_load), true), 1),
                Spread::show(Spread::of(own.iter().map(|sample| sample.messages_per_second() / 6.0)), 0),
                Spread::show(Spread::of(own.iter().map(|sample| 100.0 * sample.busy())), 0),
                own.iter().map(|sample| sample.counters.failures()).sum::<u64>().to_string(),
                Spread::show(Spread::of(own.iter().map(|sample| 100.0 * sample.disturbed)), 0),
            ]);
        }
    }
}

fn bars(subjects: &[Subject], samples: &Samples) -> Vec<Bar> {
    let mut bars = Vec::new();
    for &subject in subjects {
        let spread = samples
            .get(&(subject, Load::Saturated))
            .and_then(|own| Spread::of(own.iter().map(Sample::micros_per_message)));
        if let Some(spread) = spread {
            bars.push(Bar { name: subject.name().into(), spread });
        }
    }
    bars
}
