//! Prints what a running load manager sees.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::ctl::socket;

const EXAMPLES: &str = "\
Examples:
  strowger status
  strowger status --control /run/strowger.sock --json
  watch -n 1 strowger status
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[arg(long, value_name = "PATH", help = config::help("control.path"))]
    control: Option<PathBuf>,
    /// The whole report as one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let path = args.control.clone().unwrap_or_else(config::control_path);
    match socket::ask_report(&path) {
        Ok(report) if args.json => for_scripts(&report),
        Ok(report) => {
            out!("{}", report.for_people());
            ExitCode::SUCCESS
        }
        Err(error) => unreachable_socket(&path, &error),
    }
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

/// Says what to do if a load manager cannot be asked.
pub(crate) fn unreachable_socket(path: &Path, error: &io::Error) -> ExitCode {
    errln!("error: {}: {error}\n  remedy: {}", path.display(), socket::remedy(error));
    ExitCode::FAILURE
}
