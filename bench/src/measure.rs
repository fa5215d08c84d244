//! One measurement: a subject under a load for some time, and the cost of each of its messages.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::calls::{Kind, MESSAGES_PER_CALL};
use crate::counters::Counters;
use crate::farm::{Farm, Idle, Layout, Pace, Until};
use crate::process::{self, GENERATOR_CORE, Program, SUBJECT_CORE};
use crate::subject::{Places, Subject};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Load {
    /// The most that the subject takes: a closed loop with the subject's window of calls outstanding.
    Saturated,
    MessagesPerSecond(u32),
}

impl Load {
    pub(crate) fn name(self) -> String {
        match self {
            Load::Saturated => "saturated".into(),
            Load::MessagesPerSecond(rate) => format!("{rate}/s"),
        }
    }

    fn pace(self, subject: Subject) -> Pace {
        match self {
            Load::Saturated => Pace::Closed(subject.window()),
            Load::MessagesPerSecond(rate) => Pace::CallsPerSecond(f64::from(rate) / MESSAGES_PER_CALL as f64),
        }
    }
}

/// The durations of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) repeats: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

impl Plan {
    pub(crate) fn new(quick: bool) -> Plan {
        let (repeats, warm_up, measured) = if quick { (3, 200, 600) } else { (5, 400, 2000) };
        Plan { repeats, warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
    pub(crate) counters: Counters,
    /// Share of the two cores' time that other programs took; the worse of the two. A figure is good only if this is small.
    pub(crate) disturbed: f64,
}

impl Sample {
    pub(crate) fn micros_per_message(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.counters.messages.max(1) as f64
    }

    /// A call counts with its six messages.
    pub(crate) fn micros_per_call(&self) -> f64 {
        self.micros_per_message() * MESSAGES_PER_CALL as f64
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        self.counters.messages as f64 / self.elapsed.as_secs_f64()
    }

    /// Share of its core that the subject used.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// A running subject and the farm behind it.
pub(crate) struct Bench {
    pub(crate) subject: Subject,
    pub(crate) program: Program,
    pub(crate) farm: Farm,
}

impl Bench {
    pub(crate) fn start(
        places: &Places,
        subject: Subject,
        layout: Layout,
        slots: usize,
        timed: bool,
        idle: Idle,
    ) -> io::Result<Bench> {
        process::sleep_exactly();
        let program = places.start(subject, &layout)?;
        process::pin(GENERATOR_CORE)?;
        let farm = Farm::new(layout, subject.kind(), slots, timed, idle)?;
        Ok(Bench { subject, program, farm })
    }

    pub(crate) fn measure(&mut self, load: Load, plan: Plan) -> io::Result<Sample> {
        let pace = load.pace(self.subject);
        self.farm.run(pace, Until::Elapsed(plan.warm_up))?;
        self.farm.calls.clear_times();
        let before = self.clocks();
        let interval = self.farm.run(pace, Until::Elapsed(plan.measured))?;
        let after = self.clocks();
        let spent = |index: usize| after[index].saturating_sub(before[index]);
        let cpu = spent(0);
        let disturbed = spent(1).saturating_sub(cpu).max(spent(2).saturating_sub(spent(3)));
        let disturbed = disturbed.as_secs_f64() / interval.elapsed.as_secs_f64();
        Ok(Sample { cpu, elapsed: interval.elapsed, counters: interval.counters, disturbed })
    }
}

impl Bench {
    /// Lets the last calls end; prints the total of failures at once, beside the subject that caused them.
    pub(crate) fn finish(&mut self) -> io::Result<u64> {
        self.farm.drain()?;
        let counters = self.farm.calls.counters;
        if counters.failures() > 0 {
            eprintln!("  {}: {}", self.subject.name(), counters.describe_failures());
        }
        if counters.without_record_route > 0 && self.subject.kind() == (Kind::Passes { vias: 2 }) {
            eprintln!(
                "  {}: {} INVITEs without Record-Route",
                self.subject.name(),
                counters.without_record_route
            );
        }
        Ok(counters.failures())
    }

    /// Run times of the subject, of its core, of the generator's core and of the generator.
    fn clocks(&self) -> [Duration; 4] {
        let cores = [SUBJECT_CORE, GENERATOR_CORE].map(process::core_busy);
        [self.program.cpu(), cores[0], cores[1], process::own_cpu()]
    }
}

/// The ports of a run: the subject's, the client's and the servers'.
pub(crate) fn layout(port: u16, subject: Subject, servers: usize) -> Layout {
    let servers = if subject.has_one_server() { 1 } else { servers };
    Layout {
        target: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port),
        client: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port + 1),
        server_port: port + 2,
        servers,
    }
}

/// Middle, smallest and largest of repeated figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, least, most })
    }

    pub(crate) fn show(spread: Option<Spread>, decimals: usize) -> String {
        match spread {
            Some(Spread { median, least, most }) => {
                format!("{median:.decimals$} ({least:.decimals$} to {most:.decimals$})")
            }
            None => "-".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::show(Spread::of([]), 2), "-");
    }
}
