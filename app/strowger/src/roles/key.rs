//! Prints fresh key lines for a key file.

use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  A key file for all load managers and agents of a farm:
    (strowger key; strowger key --heartbeat) > farm.keys; chmod 600 farm.keys

  To rotate, put a new tag line before the old one on every load manager, one after the other:
    (umask 077; strowger key | cat - farm.keys > new.keys) && mv new.keys farm.keys
    strowger ctl reload

  Tokens for the HTTP API, one that may change things and one for Prometheus:
    (strowger key --token; strowger key --token --read) > api.tokens; chmod 600 api.tokens
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Key for heartbeats instead of one for tags
    #[arg(long, conflicts_with = "id")]
    heartbeat: bool,
    /// Token for the HTTP API instead
    #[arg(long, conflicts_with_all = ["id", "heartbeat"])]
    token: bool,
    /// With --token: one that may look and change nothing
    #[arg(long, requires = "token")]
    read: bool,
    /// Id of the tag key, by which tags name it; random when left out
    #[arg(long, value_name = "0-255")]
    id: Option<u8>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let grant = if args.read { config::Grant::Read } else { config::Grant::Change };
    let line = match (args.token, args.heartbeat) {
        (true, _) => config::fresh_token_line(grant),
        (false, true) => config::fresh_heartbeat_line(),
        (false, false) => config::fresh_tag_line(args.id),
    };
    match line {
        Ok(line) => {
            outln!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            errln!("error: no random numbers: {error}");
            ExitCode::FAILURE
        }
    }
}
