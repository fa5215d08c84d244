//! Prints fresh key lines for a key file.

use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  A key file for all load managers and agents of a farm:
    (strowger key; strowger key --heartbeat) > farm.keys; chmod 600 farm.keys

  To rotate, put a new tag line in front of the old one on every load manager, and restart them one after the other:
    strowger key | cat - farm.keys > new.keys
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Key for heartbeats instead of one for tags
    #[arg(long, conflicts_with = "id")]
    heartbeat: bool,
    /// Id of the tag key, by which tags name it; random when left out
    #[arg(long, value_name = "0-255")]
    id: Option<u8>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let line = if args.heartbeat { config::fresh_heartbeat_line() } else { config::fresh_tag_line(args.id) };
    match line {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: no random numbers: {error}");
            ExitCode::FAILURE
        }
    }
}
