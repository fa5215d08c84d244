//! P13: the time from a caller's INVITE to its 200 at a fifth of the engine's limit. The callee answers at once, so all of it is
//! the program's and the kernel's.

use std::io;

use crate::farm::Idle;
use crate::measure::{Bench, Load, Plan, Spread, layout};
use crate::report::Report;
use crate::subject::{Affinity, Places, State, Subject};

const SLOTS: usize = 65_536;
const LB: Subject = Subject::Strowger(Affinity::Tag);
const SUBJECTS: [Subject; 4] =
    [LB, Subject::Engine(State::Own), Subject::Engine(State::Process), Subject::Engine(State::Redis)];
/// The share of the limit that is offered.
const SHARE: f64 = 5.0;

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let plan = Plan::new(quick);
    let own = Subject::Engine(State::Own);
    let mut bench = Bench::start(places, own, layout(port, own, 1), SLOTS, false, Idle::Spin)?;
    let limit = bench.measure(Load::Saturated, plan)?.messages_per_second();
    drop(bench);
    let load = Load::MessagesPerSecond((limit / SHARE) as u32);
    let subjects: Vec<Subject> = SUBJECTS.into_iter().filter(|&subject| places.can_start(subject)).collect();
    let mut times: Vec<[Vec<f64>; 2]> = vec![Default::default(); subjects.len()];
    let mut failures = vec![0; subjects.len()];
    for repeat in 0..plan.repeats {
        for (index, &subject) in subjects.iter().enumerate() {
            eprintln!("repeat {} of {}: {}", repeat + 1, plan.repeats, subject.name());
            let layout = layout(port, subject, 1);
            let mut bench = Bench::start(places, subject, layout, SLOTS, true, Idle::Spin)?;
            bench.measure(load, plan)?;
            if let Some(taken) = bench.farm.calls.set_up_times() {
                for (quantile, values) in [0.5, 0.99].into_iter().zip(&mut times[index]) {
                    values.push(taken.quantile(quantile) as f64 / 1e6);
                }
            }
            failures[index] += bench.finish()?;
        }
    }
    let mut report = Report::new("setup", "Set-up time");
    let calls = limit / SHARE / crate::calls::MESSAGES_PER_CALL as f64;
    report.line(&format!("Offered: {calls:.0} calls/s, a fifth of what saturates the engine.\n"));
    report.header(&["what", "p50, ms", "p99, ms", "p99 × lb", "p99 - lb, ms", "failed"]);
    for (index, subject) in subjects.iter().enumerate() {
        let against = |with: fn(f64, f64) -> f64| {
            Spread::of(times[index][1].iter().zip(&times[0][1]).map(|(own, lb)| with(*own, *lb)))
        };
        report.row(&[
            subject.name().into(),
            Spread::show(Spread::of(times[index][0].iter().copied()), 3),
            Spread::show(Spread::of(times[index][1].iter().copied()), 3),
            Spread::show(against(|own, lb| own / lb), 2),
            Spread::show(against(|own, lb| own - lb), 3),
            failures[index].to_string(),
        ]);
    }
    report.save()
}
