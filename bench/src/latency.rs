//! P5: the time that a message takes from one end to the other at a fifth of the load manager's limit, and the time through the
//! floor at the same rate.

use std::io;

use crate::farm::Idle;
use crate::histogram::Histogram;
use crate::measure::{Bench, Load, Plan, Spread, layout};
use crate::report::Report;
use crate::subject::{Affinity, Places, Subject};

const SERVERS: usize = 4;
const SLOTS: usize = 65_536;
const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let plan = Plan::new(quick);
    let own = Subject::Strowger(Affinity::Tag);
    let mut bench = Bench::start(places, own, layout(port, own, SERVERS), SLOTS, false, Idle::Spin)?;
    let limit = bench.measure(Load::Saturated, plan)?.messages_per_second();
    drop(bench);
    let rate = (limit / 5.0) as u32;
    let subjects = [Subject::Floor, own, Subject::KamailioStateless];
    let subjects: Vec<Subject> = subjects.into_iter().filter(|&subject| places.can_start(subject)).collect();
    let mut times: Vec<[Vec<f64>; 3]> = vec![Default::default(); subjects.len()];
    let mut failures = vec![0; subjects.len()];
    for repeat in 0..plan.repeats {
        for (index, &subject) in subjects.iter().enumerate() {
            eprintln!("repeat {} of {}: {}", repeat + 1, plan.repeats, subject.name());
            let mut bench =
                Bench::start(places, subject, layout(port, subject, SERVERS), SLOTS, true, Idle::Spin)?;
            bench.measure(Load::MessagesPerSecond(rate_for(subject, rate)), plan)?;
            if let Some(taken) = bench.farm.calls.times() {
                note(taken, &mut times[index]);
            }
            failures[index] += bench.finish()?;
        }
    }
    let mut report = Report::new("latency", "Time of a message from one end to the other");
    report.line(&format!(
        "Saturated at {limit:.0} messages/s; offered {rate}/s (Kamailio {KAMAILIO_RATE}/s).\n"
    ));
    report.header(&["what", "p50, µs", "p99, µs", "p99.9, µs", "p99 × floor", "failed"]);
    for (index, subject) in subjects.iter().enumerate() {
        let ratio = times[index][1].iter().zip(&times[0][1]).map(|(own, floor)| own / floor);
        report.row(&[
            subject.name().into(),
            Spread::show(Spread::of(times[index][0].iter().copied()), 1),
            Spread::show(Spread::of(times[index][1].iter().copied()), 1),
            Spread::show(Spread::of(times[index][2].iter().copied()), 1),
            Spread::show(Spread::of(ratio), 2),
            failures[index].to_string(),
        ]);
    }
    report.save()
}

/// About a fifth of Kamailio's limit on one core.
const KAMAILIO_RATE: u32 = 8_000;

fn rate_for(subject: Subject, rate: u32) -> u32 {
    match subject {
        Subject::Floor
        | Subject::Strowger(_)
        | Subject::EngineFloor
        | Subject::Engine(_)
        | Subject::Sippy => rate,
        Subject::KamailioStateless | Subject::KamailioStateful => KAMAILIO_RATE,
    }
}

fn note(taken: &Histogram, into: &mut [Vec<f64>; 3]) {
    for (quantile, values) in QUANTILES.into_iter().zip(into) {
        values.push(taken.quantile(quantile) as f64 / 1000.0);
    }
}
