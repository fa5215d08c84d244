//! The limit of RFC 7502: the largest rate of session attempts at which none of many fails. The search doubles the rate until a
//! session fails, and then halves the gap.

use std::io;

use crate::farm::{Idle, Pace, Until};
use crate::measure::{Bench, layout};
use crate::report::Report;
use crate::subject::{Affinity, Places, Subject};

const SERVERS: usize = 4;
/// Calls that can wait when a subject falls behind for a whole test.
const SLOTS: usize = 65_536;
const FIRST_RATE: f64 = 1_000.0;
/// The search ends when the gap is this share of the rate.
const PRECISION: f64 = 0.04;
/// Most doublings: 1,000 · 2^8 is above the limit of any forwarder on one core.
const DOUBLINGS_MAX: usize = 8;

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let attempts = if quick { 10_000 } else { 50_000 };
    let mut report = Report::new("limit", "Largest rate without a failed session (RFC 7502)");
    report.header(&["what", "sessions/s", "messages/s", "attempts at each rate"]);
    let subjects = [
        Subject::Floor,
        Subject::Strowger(Affinity::Tag),
        Subject::KamailioStateless,
        Subject::KamailioStateful,
    ];
    for subject in subjects.into_iter().filter(|&subject| places.can_start(subject)) {
        let found = search(|rate| passes(places, port, subject, rate, attempts));
        let Some(limit) = found.map_err(|error| eprintln!("left out: {error}")).ok() else { continue };
        let cells = [format!("{limit:.0}"), format!("{:.0}", limit * 6.0), attempts.to_string()];
        report.row(&[&[subject.name().to_string()], &cells[..]].concat());
    }
    report.save()
}

/// Zero if even the first rate fails.
fn search(mut passes: impl FnMut(f64) -> io::Result<bool>) -> io::Result<f64> {
    let (mut good, mut bad) = (0.0, FIRST_RATE);
    for _ in 0..DOUBLINGS_MAX {
        if !passes(bad)? {
            break;
        }
        (good, bad) = (bad, bad * 2.0);
    }
    while good > 0.0 && (bad - good) / good > PRECISION {
        let middle = (good + bad) / 2.0;
        if passes(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(good)
}

/// Whether every attempt became a whole call, and the attempts were made at the required rate.
fn passes(places: &Places, port: u16, subject: Subject, rate: f64, attempts: u64) -> io::Result<bool> {
    let mut bench = Bench::start(places, subject, layout(port, subject, SERVERS), SLOTS, false, Idle::Spin)?;
    bench.farm.run(Pace::CallsPerSecond(rate.min(1_000.0)), Until::Attempts(200))?;
    bench.farm.drain()?;
    let before = bench.farm.calls.counters;
    let interval = bench.farm.run(Pace::CallsPerSecond(rate), Until::Attempts(attempts))?;
    bench.farm.drain()?;
    let counters = bench.farm.calls.counters.since(&before);
    let offered = interval.counters.attempts as f64 / interval.elapsed.as_secs_f64();
    let passed = counters.failures() == 0 && offered > 0.97 * rate;
    eprintln!(
        "{} at {rate:.0}/s: {}; {offered:.0}/s offered, {:.0}/s completed",
        subject.name(),
        counters.describe_failures(),
        counters.calls as f64 / interval.elapsed.as_secs_f64()
    );
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_just_below_the_limit() {
        let found = search(|rate| Ok(rate <= 7_777.0)).unwrap();
        assert!((7_400.0..=7_777.0).contains(&found), "{found}");
        assert_eq!(search(|_| Ok(false)).unwrap(), 0.0);
    }
}
