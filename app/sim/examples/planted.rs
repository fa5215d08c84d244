//! Plants faults in engines and in the state tier, one at a time, and tells how long it took until a run found each:
//! `cargo run --release -p strowger-sim --example planted -- [SECONDS] [NAME] [KIND]`. Ends with status 1 if one was not found.

use std::process::ExitCode;
use std::time::Duration;

use state::planted::Bug;
use strowger_sim::engines::Kind;
use strowger_sim::engines::planted::find;

/// Seconds for each fault, if none are given.
const SECONDS: u64 = 600;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let only = arguments.next();
    let kind = arguments.next();
    let is_meant = |one: &Kind| kind.as_ref().is_none_or(|name| format!("{one:?}") == *name);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(is_meant).collect();
    let mut missed = 0;
    for bug in Bug::ALL.into_iter().filter(|bug| only.as_ref().is_none_or(|name| format!("{bug:?}") == *name))
    {
        match find(bug, &kinds, Duration::from_secs(seconds)) {
            Some(found) => println!(
                "{bug:?}: {:.1} s, {} runs, {:?} seed {}: {}",
                found.took.as_secs_f64(),
                found.runs,
                found.kind,
                found.seed,
                found.wrong
            ),
            None => {
                missed += 1;
                println!("{bug:?}: not found");
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
