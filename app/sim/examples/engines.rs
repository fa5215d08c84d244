//! Runs seeds with engines by hand. Tells what failed and what the runs saw. Ends with status 1 if anything failed or was not seen.
//!
//! ```text
//! cargo run --release -p strowger-sim --example engines -- 10000 --from 0 [--only KIND] [--minutes N] [--trace]
//! cargo run --release -p strowger-sim --example engines -- 10000 --state FILE     goes on where the last one ended
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use strowger_sim::engines::{Case, Kind, Portion, Summary, World, run};

/// So many failed seeds are shown.
const SHOWN: usize = 30;
/// Seeds of each kind, if none are asked for.
const SEEDS: u64 = 1000;
/// Seeds of each kind that run before the next kind: what is known is written after each of these.
const STEP: u64 = 20;

struct Order {
    count: u64,
    from: u64,
    only: Option<String>,
    /// Where the search is kept.
    state: Option<String>,
    limit: Option<Duration>,
    /// Only the first seed, with all that happens in it.
    trace: bool,
}

fn main() -> ExitCode {
    let Some(order) = order() else {
        eprintln!(
            "usage: engines [how many of each kind, {SEEDS}] [--from SEED] [--only KIND] [--minutes N] [--state FILE] [--trace]"
        );
        return ExitCode::from(2);
    };
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| order.only.as_ref().is_none_or(|name| format!("{kind:?}") == *name))
        .collect();
    if order.trace {
        kinds.into_iter().for_each(|kind| trace(order.from, kind));
        return ExitCode::SUCCESS;
    }
    match search(&order, &kinds) {
        Ok(all) => {
            tell(&all);
            let good = all.failed.is_empty() && all.unseen().is_empty();
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("engines: {error}");
            ExitCode::from(2)
        }
    }
}

fn order() -> Option<Order> {
    let mut order = Order { count: SEEDS, from: 0, only: None, state: None, limit: None, trace: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--from" => order.from = arguments.next()?.parse().ok()?,
            "--only" => order.only = Some(arguments.next()?),
            "--state" => order.state = Some(arguments.next()?),
            "--minutes" => {
                order.limit = Some(Duration::from_secs(60 * arguments.next()?.parse::<u64>().ok()?));
            }
            "--trace" => order.trace = true,
            number => order.count = number.parse().ok()?,
        }
    }
    Some(order)
}

/// Runs the seeds in turns of all kinds; what a file keeps of earlier portions counts as well.
fn search(order: &Order, kinds: &[Kind]) -> Result<Summary, String> {
    let began = Instant::now();
    let mut portion = Portion { next: order.from, ..Portion::default() };
    if let Some(file) = &order.state
        && let Ok(text) = std::fs::read_to_string(file)
    {
        portion =
            Portion::read(&text).map_err(|line| format!("{file} has a line that means nothing: {line}"))?;
    }
    let end = portion.next + order.count;
    while portion.next < end && order.limit.is_none_or(|limit| began.elapsed() < limit) {
        let next = end.min(portion.next + STEP);
        for kind in kinds {
            let found = run(*kind, portion.next..next, |_| {});
            found.failed.iter().for_each(|failed| println!("{failed}"));
            portion.summary.join(&found);
        }
        portion.next = next;
        if let Some(file) = &order.state {
            // A portion that is killed leaves the old text or the new one.
            let new = format!("{file}.new");
            std::fs::write(&new, portion.text()).map_err(|error| format!("{new}: {error}"))?;
            std::fs::rename(&new, file).map_err(|error| format!("{file}: {error}"))?;
        }
    }
    println!("the next seed is {}; this portion took {} s", portion.next, began.elapsed().as_secs());
    Ok(portion.summary)
}

fn tell(all: &Summary) {
    let Summary { runs, calls, deaths, taken_over, conflicts, .. } = all;
    println!(
        "{runs} runs, {} failed; {calls} calls, {deaths} deaths of engines, {taken_over} taken over, {conflicts} conflicts",
        all.failed.len()
    );
    all.failed.iter().rev().take(SHOWN).for_each(|failed| println!("{failed}"));
    println!("kinds of faults, and in how many runs they happened:");
    all.seen.iter().for_each(|(name, runs)| println!("  {name:22} {runs}"));
    println!("  commands sent again {}, given up {}", all.again, all.given_up);
    all.unseen().iter().for_each(|name| println!("not one run saw: {name}"));
}

fn trace(seed: u64, kind: Kind) {
    let world = World::new(Case::drawn(seed, kind)).keep_trace().run();
    world.trace.iter().flatten().for_each(|line| println!("{line}"));
    world.wrong().iter().for_each(|line| println!("WRONG {line}"));
}
