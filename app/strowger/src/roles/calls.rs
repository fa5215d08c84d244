//! Lists calls, and tells the story of one: from their records, which any engine and the state tier can read.

use std::process::ExitCode;

use engine::record::Phase;
use serde_json::{Map, Value, json};

use crate::ctl::{Answer, Refused, socket};
use crate::roles::sockets::Where;

const EXAMPLES: &str = "\
Examples:
  strowger calls
  strowger calls --state ringing --limit 1000
  strowger calls --engine 1796043518 --json
  strowger calls --control /run/strowger/engine-1.control.sock

The records say which calls there are, whichever engine has them. They are read in pieces, beside the calls, for at most 4 s.
";

const EXAMPLES_OF_ONE: &str = "\
Examples:
  strowger call 3848276298220188511@atlanta.example.com      the Call-ID of either side
  strowger call nbswy3dpeb3w64tmmq5a                         the key that `strowger calls` shows
  strowger call nbswy3dpeb3w64tmmq5a --json
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How many calls
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Only calls in this state: ringing, up, ending
    #[arg(long, value_name = "STATE", value_parser = Phase::ALL.map(Phase::name))]
    state: Option<String>,
    /// Only calls that the engine with this number has
    #[arg(long, value_name = "NUMBER")]
    engine: Option<u32>,
    #[command(flatten)]
    place: Where,
    /// The answer as a JSON object, for scripts
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES_OF_ONE)]
pub(crate) struct OneArgs {
    /// The Call-ID of either side, or the key that `strowger calls` shows
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    place: Where,
    /// The answer as a JSON object, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let mut given = Map::from_iter([("limit".to_owned(), json!(args.limit))]);
    given.extend(args.state.as_ref().map(|state| ("state".to_owned(), json!(state))));
    given.extend(args.engine.map(|engine| ("engine".to_owned(), json!(engine))));
    show(&args.place, "calls", &given, args.json)
}

pub(crate) fn run_one(args: &OneArgs) -> ExitCode {
    let given = Map::from_iter([("id".to_owned(), json!(args.id))]);
    show(&args.place, "call", &given, args.json)
}

fn show(place: &Where, verb: &str, given: &Map<String, Value>, json: bool) -> ExitCode {
    match ask(place, verb, given) {
        Ok(answer) if json => outln!("{:#}", answer.document),
        Ok(answer) => out!("{}", answer.text),
        Err((refused, status)) => {
            errln!("{refused}");
            return ExitCode::from(status);
        }
    }
    ExitCode::SUCCESS
}

/// Asks one part after the other until one has read the records: each engine knows all calls. The state tier comes last, because it
/// cannot find a Call-ID without reading all. The error has the exit status.
fn ask(place: &Where, verb: &str, given: &Map<String, Value>) -> Result<Answer, (Refused, u8)> {
    let mut first = None;
    for path in place.sockets() {
        let (refused, status, is_final) = match socket::ask_verb(&path, verb, given.clone()) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(refused)) => {
                let is_final = refused.what != crate::ctl::NO_CALLS;
                let status = refused.why.exit();
                (refused, status, is_final && status != crate::ctl::RefusalKind::Busy.exit())
            }
            Err(error) => {
                let what = format!("{}: {error}", path.display());
                (Refused::bad(what, socket::remedy(&error)), 1, false)
            }
        };
        if is_final {
            return Err((refused, status));
        }
        first.get_or_insert((refused, status));
    }
    Err(first.unwrap_or_else(|| (Refused::bad("nobody can be asked", "name a socket: --control"), 1)))
}
