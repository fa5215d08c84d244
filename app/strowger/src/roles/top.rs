//! The farm live: the figures of `status`, once a second, as rates.

use std::process::ExitCode;

use crate::roles::sockets::Where;
use crate::roles::status::unreachable_socket;
use crate::top::{self, Order};

const EXAMPLES: &str = "\
Keys: q quits, s sorts by the next column, the arrows or j and k scroll.

Examples:
  strowger top
  strowger top --sort load --every 5
  strowger top --seconds 10 | tee farm.txt      without a terminal: one table after the other
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// End after this many seconds; if left out, q or Ctrl-C ends it
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Column by which the servers are sorted
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let sockets = args.place.sockets();
    match top::run(&sockets, args.every, args.seconds, args.sort) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => unreachable_socket(&sockets[0], &error),
    }
}
