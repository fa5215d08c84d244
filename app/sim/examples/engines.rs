//! Runs seeds with engines by hand: `cargo run --release -p strowger-sim --example engines -- 10000 --from 0 [--only NAME]`.
//! Tells what failed and what the runs saw. Ends with status 1 if anything failed or was not seen.

use std::process::ExitCode;
use std::time::Instant;

use strowger_sim::engines::{Kind, Summary, run};

/// Of each kind, so many failed seeds are shown.
const SHOWN: usize = 10;
/// Seeds of each kind, if none are asked for.
const SEEDS: u64 = 1000;

fn main() -> ExitCode {
    let (mut count, mut from, mut only) = (SEEDS, 0, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let good = match argument.as_str() {
            "--from" => arguments.next().and_then(|text| text.parse().ok()).map(|number| from = number),
            "--only" => arguments.next().map(|name| only = Some(name)),
            number => number.parse().ok().map(|number| count = number),
        };
        if good.is_none() {
            eprintln!("usage: engines [how many of each kind, {SEEDS}] [--from SEED] [--only KIND]");
            return ExitCode::from(2);
        }
    }
    let mut all = Summary::default();
    let chosen = |kind: &Kind| only.as_ref().is_none_or(|name| format!("{kind:?}") == *name);
    for kind in Kind::ALL.into_iter().filter(chosen) {
        let began = Instant::now();
        let summary = run(kind, from..from + count, |_| {});
        let Summary { runs, calls, deaths, taken_over, conflicts, .. } = summary;
        println!(
            "{kind:?}: {runs} runs in {} s, {} failed; {calls} calls, {deaths} deaths, {taken_over} taken over, {conflicts} conflicts",
            began.elapsed().as_secs(),
            summary.failed.len()
        );
        summary.failed.iter().take(SHOWN).for_each(|failed| println!("{failed}"));
        all.join(&summary);
    }
    println!("kinds of faults, and in how many runs they happened:");
    all.seen.iter().for_each(|(name, runs)| println!("  {name:22} {runs}"));
    println!("  commands sent again {}, given up {}", all.again, all.given_up);
    let unseen = all.unseen();
    unseen.iter().for_each(|name| println!("not one run saw: {name}"));
    let good = all.failed.is_empty() && unseen.is_empty();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
