//! P15: CPU per call of one engine and of three on one state. All share a core, as does the state, and each has a farm of its own;
//! the generator turns from one farm to the next. Programs that share a core cost each other their caches and make smaller
//! batches, whatever they do: one floor and three show how much of it.

use std::io;
use std::time::{Duration, Instant};

use crate::calls::MESSAGES_PER_CALL;
use crate::farm::{Farm, Idle, Layout, Pace, Until};
use crate::measure::{Spread, layout};
use crate::process::{self, GENERATOR_CORE, Program};
use crate::report::Report;
use crate::subject::{Places, State, Subject};

const ENGINES: [usize; 2] = [1, 3];
const SUBJECTS: [Subject; 3] =
    [Subject::EngineFloor, Subject::Engine(State::Process), Subject::Engine(State::Redis)];
/// Ports that one farm has for itself.
const PORTS: u16 = 20;
const SLOTS: usize = 4096;
const WARM_UP: Duration = Duration::from_millis(500);
/// How long the generator stays with one farm: an engine has work for as long.
const SLICE: Duration = Duration::from_millis(1);

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let (repeats, measured) = if quick { (3, 1) } else { (5, 3) };
    let mut report = Report::new("engines", "Engines on one state");
    report.header(&[
        "programs",
        "CPU per call, µs",
        "against one, %",
        "× as many floors",
        "against one, of × floor, %",
        "failed",
    ]);
    let mut floors = None;
    for subject in SUBJECTS {
        if !places.can_start(subject) {
            eprintln!("left out, its program is not there: {}", subject.name());
            continue;
        }
        let mut costs: [Vec<f64>; ENGINES.len()] = Default::default();
        let mut failures = [0; ENGINES.len()];
        for repeat in 0..repeats {
            for (index, &count) in ENGINES.iter().enumerate() {
                eprintln!("repeat {} of {repeats}: {count} of {}", repeat + 1, subject.name());
                let mut together = Together::start(places, subject, port, count)?;
                costs[index].push(together.cost(Duration::from_secs(measured))?);
                failures[index] += together.failures()?;
            }
        }
        let middle = costs
            .each_ref()
            .map(|costs| Spread::of(costs.iter().copied()).map_or(0.0, |spread| spread.median));
        let floors = *floors.get_or_insert(middle);
        for (index, count) in ENGINES.iter().enumerate() {
            let against = costs[index].iter().zip(&costs[0]).map(|(own, one)| 100.0 * (own / one - 1.0));
            let ratio = |index: usize| middle[index] / floors[index];
            report.row(&[
                format!("{}, {count}", subject.name()),
                Spread::show(Spread::of(costs[index].iter().copied()), 1),
                Spread::show(Spread::of(against), 1),
                format!("{:.2}", ratio(index)),
                format!("{:+.1}", 100.0 * (ratio(index) / ratio(0) - 1.0)),
                failures[index].to_string(),
            ]);
        }
    }
    report.save()
}

struct Together {
    farms: Vec<Farm>,
    programs: Vec<Program>,
    /// Ends after the programs.
    state: Vec<Program>,
}

impl Together {
    fn start(places: &Places, subject: Subject, port: u16, count: usize) -> io::Result<Together> {
        let layouts: Vec<Layout> =
            (0..count as u16).map(|number| layout(port + number * PORTS, subject, 1)).collect();
        let home = &layouts[0];
        let state = match subject {
            Subject::Engine(state) => places.start_state(state, home)?,
            _ => Vec::new(),
        };
        let start = |layout: &Layout| match subject {
            Subject::Engine(state) => {
                let command = places.engine(state, layout, home);
                places.launch(subject, command, "udp", layout.target.port())
            }
            _ => places.start(subject, layout),
        };
        let programs = layouts.iter().map(start).collect::<io::Result<Vec<_>>>()?;
        process::pin(GENERATOR_CORE)?;
        let farm = |layout: &Layout| Farm::new(layout.clone(), subject.kind(), SLOTS, false, Idle::Sleep);
        let farms = layouts.iter().map(farm).collect::<io::Result<Vec<_>>>()?;
        Ok(Together { farms, programs, state })
    }

    /// Microseconds of a call, of all programs.
    fn cost(&mut self, measured: Duration) -> io::Result<f64> {
        self.run(WARM_UP)?;
        let before = self.clock();
        let messages = self.run(measured)?;
        let spent = self.clock() - before;
        Ok(spent.as_secs_f64() * 1e6 * MESSAGES_PER_CALL as f64 / messages.max(1) as f64)
    }

    fn clock(&self) -> Duration {
        self.programs.iter().chain(&self.state).map(Program::cpu).sum()
    }

    /// Returns how many messages arrived.
    fn run(&mut self, time: Duration) -> io::Result<u64> {
        let window = Subject::Engine(State::Own).window();
        let (begin, mut messages) = (Instant::now(), 0);
        while begin.elapsed() < time {
            for farm in &mut self.farms {
                messages += farm.run(Pace::Closed(window), Until::Elapsed(SLICE))?.counters.messages;
            }
        }
        Ok(messages)
    }

    fn failures(&mut self) -> io::Result<u64> {
        self.farms.iter_mut().try_for_each(Farm::drain)?;
        Ok(self.farms.iter().map(|farm| farm.calls.counters.failures()).sum())
    }
}
