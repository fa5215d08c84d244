//! Prints what a running load manager, engine or state tier sees; or a whole farm on one screen.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::ctl::socket;
use crate::report::farm::{FarmReport, PartReport};
use crate::roles::sockets::Where;

const EXAMPLES: &str = "\
Examples:
  strowger status
  strowger status --control /run/strowger.sock --json
  strowger status --folder farm
  watch -n 1 strowger status
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    /// The whole report as one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let sockets = args.place.sockets();
    if let [path] = &sockets[..] {
        return match socket::ask_report(path) {
            Ok(report) if args.json => for_scripts(&report),
            Ok(report) => {
                out!("{}", report.for_people());
                ExitCode::SUCCESS
            }
            Err(error) => unreachable_socket(path, &error),
        };
    }
    let farm = FarmReport::new(sockets.iter().map(|path| ask(path)).collect());
    if args.json {
        return for_scripts(&farm);
    }
    out!("{}", farm.text());
    ExitCode::SUCCESS
}

fn ask(path: &Path) -> PartReport {
    let answer = socket::ask_report(path);
    let trouble = answer.as_ref().err().map(|error| format!("it does not answer: {error}"));
    PartReport { control: path.display().to_string(), report: answer.ok(), trouble }
}

/// The whole report as one JSON object.
pub(crate) fn for_scripts(report: &impl serde::Serialize) -> ExitCode {
    match serde_json::to_string_pretty(report) {
        Ok(text) => {
            outln!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what to do if nobody answers there.
pub(crate) fn unreachable_socket(path: &Path, error: &io::Error) -> ExitCode {
    errln!("error: {}: {error}\n  remedy: {}", path.display(), socket::remedy(error));
    ExitCode::FAILURE
}
