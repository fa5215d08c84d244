//! Prints new key lines for a key file.

use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  A key file for all load managers and agents of a farm:
    (strowger key; strowger key --heartbeat) > farm.keys; chmod 600 farm.keys

  To change the key, put a new tag line first on every load manager, one after the other:
    (umask 077; strowger key | cat - farm.keys > new.keys) && mv new.keys farm.keys
    strowger ctl reload

  Tokens for the HTTP API, one that may change things and one for Prometheus:
    (strowger key --token; strowger key --token --read) > api.tokens; chmod 600 api.tokens
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print a key for heartbeats instead of a key for tags
    #[arg(long, conflicts_with = "id")]
    heartbeat: bool,
    /// Print a token for the HTTP API instead
    #[arg(long, conflicts_with_all = ["id", "heartbeat"])]
    token: bool,
    /// With --token: a token that may look but not change anything
    #[arg(long, requires = "token")]
    read: bool,
    /// Id of the tag key, which tags carry; random if left out
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
            errln!("error: the system gives no random numbers: {error}");
            ExitCode::FAILURE
        }
    }
}
