//! Runs seeds of every kind by hand: `cargo run --release -p strowger-sim --example seeds -- 10000`, and a second number says
//! from which seed on. Tells how far it is, what failed, and at the end what the runs saw; a kind of fault that none of them
//! saw is named, since the runs have proved nothing of it. Ends with status 1 if anything failed or was not seen.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use strowger_sim::kinds::Kind;
use strowger_sim::runs::{Summary, run};

/// Of each kind, so many failed seeds are shown.
const SHOWN: usize = 10;
/// Seeds of each kind, if none are asked for.
const SEEDS: u64 = 1000;

fn main() -> ExitCode {
    let numbers: Result<Vec<u64>, _> = std::env::args().skip(1).map(|number| number.parse()).collect();
    let Ok(numbers) = numbers else {
        eprintln!("usage: seeds [how many of each kind, {SEEDS}] [from which on, 0]");
        return ExitCode::from(2);
    };
    let count = numbers.first().copied().unwrap_or(SEEDS);
    let first = numbers.get(1).copied().unwrap_or_default();
    let (began, mut all) = (Instant::now(), Summary::default());
    for kind in Kind::ALL {
        let summary = run(kind, first..first + count, |summary| {
            if summary.runs.is_multiple_of(100) {
                let seconds = began.elapsed().as_secs();
                print!(
                    "\r{kind:?}: {} of {count}, {} failed, {seconds} s ",
                    summary.runs,
                    summary.failed.len()
                );
                let _ = std::io::stdout().flush();
            }
        });
        let Summary { runs, lost, taken_over, conflicts, .. } = summary;
        println!(
            "\r{kind:?}: {runs} runs, {} failed, {lost} lost a server, {taken_over} taken over, {conflicts} conflicts",
            summary.failed.len()
        );
        summary.failed.iter().take(SHOWN).for_each(|failed| println!("{failed}"));
        all.join(&summary);
    }
    println!(
        "\n{} runs in {} s; kinds of faults, and in how many runs they happened:",
        all.runs,
        began.elapsed().as_secs()
    );
    all.seen.iter().for_each(|(name, runs)| println!("  {name:22} {runs}"));
    println!("  taken over {}, conflicts {}\n  held: {:?}", all.taken_over, all.conflicts, all.held);
    let mut unseen = all.unseen();
    unseen.extend((all.taken_over == 0).then_some("a take-over"));
    unseen.iter().for_each(|name| println!("not one run saw: {name}"));
    let good = all.failed.is_empty() && unseen.is_empty();
    println!("{}", if good { "all is well".into() } else { format!("{} failed", all.failed.len()) });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
