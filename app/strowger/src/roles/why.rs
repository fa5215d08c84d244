//! Explains why a call went to its server.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ctl::socket;
use crate::roles::status::{for_scripts, unreachable_socket};

const EXAMPLES: &str = "\
Examples:
  strowger why 3848276298220188511@client.example.com
  strowger why --last 10
  strowger why --last 1000 --json
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The Call-ID of the call
    #[arg(value_name = "CALL-ID", required_unless_present = "last")]
    call_id: Option<String>,
    /// Show the newest N choices instead of those of one call
    #[arg(long, value_name = "N", conflicts_with = "call_id")]
    last: Option<usize>,
    #[arg(long, value_name = "PATH", help = config::help("control.path"))]
    control: Option<PathBuf>,
    /// The whole report as one JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let path = args.control.clone().unwrap_or_else(config::control_path_to_ask);
    let asked = match (&args.call_id, args.last) {
        (Some(call_id), _) => socket::ask_why(&path, call_id),
        (None, last) => socket::ask_choices(&path, last.unwrap_or(1)),
    };
    match asked {
        Ok(report) if args.json => for_scripts(&report),
        Ok(report) => {
            out!("{}", report.text());
            // As with `grep`: finding nothing is not a success.
            if report.choices.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => unreachable_socket(&path, &error),
    }
}
