//! P13: the time from a caller's INVITE to its 200 at a fifth of the engine's limit. The callee answers at once, so all of it is
//! the program's and the kernel's.

use std::io;
use std::time::Duration;

use crate::farm::Idle;
use crate::measure::{Bench, Load, Plan, Spread, layout};
use crate::report::Report;
use crate::subject::{Affinity, Places, State, Subject};

const SLOTS: usize = 65_536;
const LB: Subject = Subject::Strowger(Affinity::Tag);
const SUBJECTS: [Subject; 3] =
    [Subject::Engine(State::Own), Subject::Engine(State::Process), Subject::Engine(State::Redis)];
/// The share of the limit that is offered.
const SHARE: f64 = 5.0;
/// An engine's memory grows until the first tombstones are forgotten, after 32 s; a page that is touched for the first time is
/// no part of a set-up.
const GROWN: Duration = Duration::from_secs(33);

/// What is measured at one load: the load manager, and a program whose limit gives the load.
struct Pair {
    subject: Subject,
    load: Load,
    calls_per_second: f64,
    /// p50 and p99 in milliseconds, of each repeat.
    load_manager: [Vec<f64>; 2],
    own: [Vec<f64>; 2],
    failures: u64,
}

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let plan = Plan::new(quick);
    let subjects = SUBJECTS.into_iter().filter(|&subject| places.can_start(subject));
    let mut pairs =
        subjects.map(|subject| Pair::new(places, port, subject, plan)).collect::<io::Result<Vec<_>>>()?;
    for repeat in 0..plan.repeats {
        for pair in &mut pairs {
            eprintln!("repeat {} of {}: {}", repeat + 1, plan.repeats, pair.subject.name());
            pair.failures += measure(places, port, LB, (pair.load, plan), &mut pair.load_manager)?;
            pair.failures += measure(places, port, pair.subject, (pair.load, plan), &mut pair.own)?;
        }
    }
    let mut report = Report::new("setup", "Set-up time");
    report.line("Each engine gets a fifth of the calls that saturate it, and the load manager beside it gets as many.\n");
    report.header(&[
        "what",
        "calls/s",
        "p50, ms",
        "p99, ms",
        "lb's p50, ms",
        "lb's p99, ms",
        "p99 × lb",
        "p99 - lb, ms",
        "failed",
    ]);
    for pair in &pairs {
        let show = |values: &[f64]| Spread::show(Spread::of(values.iter().copied()), 3);
        let against = |with: fn(f64, f64) -> f64| {
            Spread::of(pair.own[1].iter().zip(&pair.load_manager[1]).map(|(own, lb)| with(*own, *lb)))
        };
        report.row(&[
            pair.subject.name().into(),
            format!("{:.0}", pair.calls_per_second),
            show(&pair.own[0]),
            show(&pair.own[1]),
            show(&pair.load_manager[0]),
            show(&pair.load_manager[1]),
            Spread::show(against(|own, lb| own / lb), 2),
            Spread::show(against(|own, lb| own - lb), 3),
            pair.failures.to_string(),
        ]);
    }
    report.save()
}

impl Pair {
    fn new(places: &Places, port: u16, subject: Subject, plan: Plan) -> io::Result<Pair> {
        eprintln!("limit: {}", subject.name());
        let mut bench = Bench::start(places, subject, layout(port, subject, 1), SLOTS, false, Idle::Spin)?;
        let offered = bench.measure(Load::Saturated, plan)?.messages_per_second() / SHARE;
        Ok(Pair {
            subject,
            load: Load::MessagesPerSecond(offered as u32),
            calls_per_second: offered / crate::calls::MESSAGES_PER_CALL as f64,
            load_manager: Default::default(),
            own: Default::default(),
            failures: bench.finish()?,
        })
    }
}

/// Adds the quantiles of one run; gives its failures.
fn measure(
    places: &Places,
    port: u16,
    subject: Subject,
    (load, plan): (Load, Plan),
    times: &mut [Vec<f64>; 2],
) -> io::Result<u64> {
    let mut bench = Bench::start(places, subject, layout(port, subject, 1), SLOTS, true, Idle::Spin)?;
    let is_engine = matches!(subject, Subject::Engine(_));
    let warm_up = if is_engine { GROWN } else { plan.warm_up };
    bench.measure(load, Plan { warm_up, ..plan })?;
    if let Some(taken) = bench.farm.calls.set_up_times() {
        for (quantile, values) in [0.5, 0.99].into_iter().zip(times) {
            values.push(taken.quantile(quantile) as f64 / 1e6);
        }
    }
    bench.finish()
}
