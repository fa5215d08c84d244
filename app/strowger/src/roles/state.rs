//! The state tier of one machine, and the check of a Redis or Valkey server that is the state tier of several (SPEC E1, E8).

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use ::state::configuration::{Setup, StartedBy};
use state_redis::link::{self, Address};
use state_redis::server::{Server, Settings};
use tracing::info;

use crate::ctl::http::counters::ApiCounters;
use crate::roles::control_options::ControlArgs;
use crate::roles::state_part::StatePart;

/// Less is no room for a farm, and more than a mistake in the unit.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  Records of calls on this machine, 4 GiB of them:
    strowger state --memory 4G

  A file for the servers of a Redis or Valkey cluster, each started by its systemd:
    strowger state --redis-conf --cluster --memory 4G > /etc/redis/strowger.conf

  Is a server that runs right?
    strowger state --check-redis 10.0.0.21:6379

Without Redis, engines may die or be replaced and no call is lost; with this process, or with the machine, the calls are
gone. Two machines or more: a Redis or Valkey cluster. All about both: docs/state.md

Exit status: 0 stopped, or nothing is wrong; 1 something is wrong, or a socket or file could not be opened; 64 bad options.
";

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Socket for engines; only this user and root may connect [default: strowger-state.sock in $XDG_RUNTIME_DIR; else in
    /// /run for root; else in /tmp, with the user's number in the name]
    #[arg(long, value_name = "unix:/PATH", value_parser = unix_path)]
    listen: Option<PathBuf>,
    /// Memory for records: from 80 % of it on, no new call begins. A call takes about 1 KiB
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    memory: u64,
    /// Connections at a time; an engine has three for each of its workers
    #[arg(long, value_name = "N", default_value_t = Settings::CLIENTS_MAX as u32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// File to which effects of calls are appended, a line of JSON each: call records, charges, mails. Without it they wait
    /// for an engine
    #[arg(long, value_name = "FILE")]
    effects: Option<PathBuf>,
    #[command(flatten)]
    control: ControlArgs,
    /// Print the configuration that a Redis or Valkey server must have, and start nothing
    #[arg(long, conflicts_with_all = ["listen", "clients", "effects", "check_redis"])]
    redis_conf: bool,
    /// Name each line of the configuration of this running server that loses calls or holds them up, and start nothing
    #[arg(long, value_name = "unix:/PATH or HOST:PORT", conflicts_with_all = ["listen", "clients", "effects", "memory"])]
    check_redis: Option<Address>,
    /// The server is part of a cluster
    #[arg(long, requires = "redis_conf")]
    cluster: bool,
    /// The server is started by `strowger agent`, which promotes its replica when it dies; otherwise by something that starts
    /// it again, as systemd does
    #[arg(long)]
    under_agent: bool,
    /// User at that server [default: the server's user `default`]
    #[arg(long, value_name = "NAME", requires = "check_redis")]
    user: Option<String>,
    /// File whose first line is the password at that server [default: the variable STROWGER_STATE_PASSWORD, if there is one]
    #[arg(long, value_name = "FILE", requires = "check_redis")]
    password_file: Option<PathBuf>,
}

fn unix_path(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(Address::Unix(path)) if path.is_absolute() => Ok(path),
        _ => Err("write unix:/PATH".to_owned()),
    }
}

/// Bytes, or a number with K, M, G.
fn size(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().last() {
        Some((end, 'K' | 'k')) => (&text[..end], 10),
        Some((end, 'M' | 'm')) => (&text[..end], 20),
        Some((end, 'G' | 'g')) => (&text[..end], 30),
        _ => (text, 0),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    match bytes {
        Some(bytes) if bytes >= MEMORY_BYTES_MIN && usize::try_from(bytes).is_ok() => Ok(bytes),
        _ => Err("write 512M or 4G; the least is 16M".to_owned()),
    }
}

impl Args {
    fn started_by(&self) -> StartedBy {
        if self.under_agent { StartedBy::Agent } else { StartedBy::Other }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    if args.redis_conf {
        let setup =
            Setup { cluster: args.cluster, started_by: args.started_by(), memory_max_bytes: args.memory };
        out!("{}", setup.file());
        return ExitCode::SUCCESS;
    }
    let done = match &args.check_redis {
        Some(address) => check_redis(args, address),
        None => serve(args).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|why| {
        errln!("error: {why}");
        ExitCode::FAILURE
    })
}

fn serve(args: &Args) -> Result<(), String> {
    let signals =
        os::Signals::hold(&[libc::SIGTERM, libc::SIGINT]).map_err(|error| format!("signals: {error}"))?;
    crate::process::log::start_plainly();
    // Each connection is a descriptor. If the limit cannot be raised, there are fewer connections.
    let _ = net::option::raise_descriptor_limit();
    let path = args.listen.clone().unwrap_or_else(config::state_path);
    let control = args.control.read()?;
    let settings = Settings {
        memory_bytes: usize::try_from(args.memory).unwrap_or(usize::MAX),
        clients_max: args.clients as usize,
        effects: args.effects.clone(),
        ..Settings::new(&path)
    };
    let file = args.effects.as_deref();
    // Opened before the socket: so an error of it has its own name.
    if let Some(path) = file {
        let opened = std::fs::File::options().create(true).append(true).open(path);
        opened.map_err(|error| {
            format!(
                "--effects {}: {error}\n  remedy: name a file in a folder that this user may write",
                path.display()
            )
        })?;
    }
    let mut server = Server::open(settings).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "end the other process, or give another --listen",
            ErrorKind::NotFound => "make the folder, or give another --listen",
            _ => "give another --listen, in a folder that this user may write",
        };
        format!("--listen unix:{}: {error}\n  remedy: {remedy}", path.display())
    })?;
    let effects = file.map_or_else(
        || "effects wait for an engine".to_owned(),
        |file| format!("effects go to {}", file.display()),
    );
    let api = Arc::new(ApiCounters::default());
    let part = StatePart {
        started: Instant::now(),
        path: path.clone(),
        effects: args.effects.clone(),
        figures: server.figures(),
        api: Arc::clone(&api),
    };
    let _control = control.open(part, api).map_err(|error| error.to_string())?;
    info!("state tier at unix:{} with {} MiB; {effects}", path.display(), args.memory >> 20);
    os::notify::ready(&format!("keeps records at unix:{}", path.display()));
    server.run(signals.fd()).map_err(|error| error.to_string())?;
    info!("stop: signal received; the records of {} calls are gone", server.figures().records.get());
    Ok(())
}

fn check_redis(args: &Args, address: &Address) -> Result<ExitCode, String> {
    let node = node(args, address)?;
    let checked = link::check(&node, args.started_by()).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("{error}\n  remedy: a --user that may ask (+info +config|get), and its password")
        }
        _ => format!("{error}\n  remedy: start the server, or name another address"),
    })?;
    for wrong in &checked.wrong {
        outln!("{}\n  why: {}\n  remedy: {}", wrong.line, wrong.why, wrong.remedy);
    }
    let part = if checked.cluster { ", in a cluster" } else { "" };
    if checked.wrong.is_empty() {
        outln!("{address}: good ({}{part})", checked.server);
        return Ok(ExitCode::SUCCESS);
    }
    let lines = if checked.wrong.len() == 1 { "line is" } else { "lines are" };
    outln!("{address}: {} {lines} wrong ({}{part})", checked.wrong.len(), checked.server);
    Ok(ExitCode::FAILURE)
}

/// The server, and who we are there.
fn node(args: &Args, address: &Address) -> Result<link::Settings, String> {
    let file = args.password_file.as_deref();
    let password = crate::process::password::of_state_tier(file, args.user.is_some())?;
    let user = args.user.as_deref().map(Box::from);
    let password = password.map(base::Key::from);
    Ok(link::Settings { nodes: vec![address.clone()], user, password, ..link::Settings::default() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        let words = std::iter::once("state").chain(line.split_whitespace());
        CommandLine::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn sizes_have_units_and_a_least() {
        let memory = |size: &str| parse(&format!("--memory {size}")).map(|args| args.memory);
        assert_eq!(parse("").map(|args| args.memory), Ok(1 << 30));
        assert_eq!(memory("512M"), Ok(512 << 20));
        assert_eq!(memory("4g"), Ok(4 << 30));
        assert_eq!(memory("16777216"), Ok(16 << 20));
        for bad in ["1M", "4", "G", "4GB", "4.5G", "-1", "99999999999999999999G", "1ä"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_of_another_task_are_refused() {
        for good in
            ["--listen unix:/run/a", "--redis-conf --cluster --under-agent --memory 2G", "--check-redis a:1"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "--listen a:1",
            "--listen unix:a",
            "--redis-conf --check-redis a:1",
            "--cluster",
            "--check-redis a:1 --effects f",
            "--user a",
            "--clients 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_comes_from_its_file_and_a_user_needs_one() {
        let path = std::env::temp_dir().join(format!("strowger-password-{}", std::process::id()));
        std::fs::write(&path, "secret\nrest\n").expect("a file");
        let line = format!("--check-redis a:1 --user me --password-file {}", path.display());
        let at = |line: &str| {
            let args = parse(line).expect("options");
            node(&args, args.check_redis.as_ref().expect("an address"))
        };
        let found = at(&line).expect("a password");
        assert_eq!(found.user.as_deref(), Some("me"));
        assert_eq!(found.password.map(|password| password.get().clone()).as_deref(), Some("secret"));
        std::fs::write(&path, "\n").expect("a file");
        assert!(at(&line).is_err());
        std::fs::remove_file(&path).expect("the file");
        assert!(at(&line).is_err());
    }
}
