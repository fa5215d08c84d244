//! Reads the destinations of Kamailio or OpenSIPS and writes a configuration of the load manager.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::import::{Imported, Options, Program, import};

const EXAMPLES: &str = "\
Examples:
  strowger import kamailio /etc/kamailio/dispatcher.list --listen udp:192.0.2.1:5060 -o farm.toml
  strowger import kamailio dispatcher.list --set 2 --algorithm 9 -o trunks.toml
  mysqldump opensips load_balancer > lb.sql
  strowger import opensips lb.sql --resource pstn -o farm.toml
  strowger check farm.toml

Standard error tells, line by line, what is not carried over, why, and what to do instead.
docs/with-kamailio.md has the settings of both sides, and the way from one to the other.

Status: 0 when a configuration was written, 64 when there is none.
";

/// A file of ten thousand destinations has some megabytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The program that the file is of
    #[arg(value_enum)]
    program: Word,
    /// Kamailio: dispatcher.list or its table; OpenSIPS: the table dispatcher or load_balancer. Tables as a file of
    /// dbtext, an SQL dump, or CSV with a line of column names
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The set of destinations (setid, group_id); if left out the lowest, and the others are written as comments
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    set: Option<i64>,
    /// The algorithm that the script gives to ds_select_dst; if left out, it is guessed
    #[arg(long, value_name = "N")]
    algorithm: Option<u64>,
    /// OpenSIPS's load_balancer: the resource whose capacity limits the calls, if destinations have several
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// The address that calls arrive at; if left out, the local addresses that the file names
    #[arg(long, value_name = "udp:|tcp:ADDRESS:PORT", value_parser = endpoint)]
    listen: Vec<config::Endpoint>,
    /// Write the configuration to this new file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Word {
    Kamailio,
    Opensips,
}

fn endpoint(text: &str) -> Result<config::Endpoint, String> {
    config::parse_endpoint(text).map_err(|(what, remedy)| format!("{what}; {remedy}"))
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let shown = args.file.display();
    let text = match read(&args.file) {
        Ok(text) => text,
        Err(what) => return refuse(&format!("{shown} cannot be read: {what}"), "check the path"),
    };
    let program = match args.program {
        Word::Kamailio => Program::Kamailio,
        Word::Opensips => Program::OpenSips,
    };
    let options = Options {
        set: args.set,
        algorithm: args.algorithm,
        resource: args.resource.clone(),
        listen: args.listen.clone(),
    };
    let Imported { text, remarks } = import(program, &text, &options);
    for remark in &remarks {
        match remark.line {
            0 => errln!("{shown}: {}\n  instead: {}", remark.what, remark.instead),
            line => errln!("{shown}:{line}: {}\n  instead: {}", remark.what, remark.instead),
        }
    }
    let text = match text {
        Ok(text) => text,
        Err((what, remedy)) => return refuse(&format!("{shown}: {what}"), &remedy),
    };
    match &args.output {
        None => out!("{text}"),
        Some(path) => {
            let made = std::fs::File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
            if let Err(error) = made {
                return refuse(
                    &format!("{} cannot be written: {error}", path.display()),
                    "choose another name",
                );
            }
            errln!("{} is written; now: strowger check {}", path.display(), path.display());
        }
    }
    ExitCode::SUCCESS
}

fn refuse(what: &str, remedy: &str) -> ExitCode {
    errln!("error: {what}\n  remedy: {remedy}");
    ExitCode::from(config::EXIT_USAGE)
}

/// A name in another encoding than UTF-8 is shown with marks for what cannot be read.
fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes; dump only the one table"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
