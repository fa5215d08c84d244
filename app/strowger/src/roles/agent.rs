//! The command line of the agent beside a SIP server. The crate `agent` does the work.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ::agent::Settings;
use ::agent::control::{self, Command};
use ::agent::settings::{Ready, ReadyCheck};
use ::agent::supervise::{GiveUp, Policy};
use base::Key;
use clap::{Subcommand, ValueEnum};
use config::KeyFile;

use super::addresses::{address, sip_address};
use super::agent_redis::RedisArgs;

/// How long `query` waits for the answer.
const QUERY_PATIENCE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  An agent beside Kamailio, its load manager at 192.0.2.1:
    strowger agent --sip 192.0.2.11:5060 --to 192.0.2.1:5777 \\
        --key-file farm.keys --state-file /run/strowger/kamailio \\
        --control /run/strowger/kamailio.sock -- kamailio -DD -E

  The same, for all load managers on the network:
    strowger agent --sip 192.0.2.11:5060 --to 255.255.255.255:5777 -- kamailio -DD -E

  An agent beside a server of a Redis cluster, whose replica is promoted when it dies:
    strowger agent --redis 10.0.0.21:6379 --password-file redis.password \\
        --state-file /run/strowger/redis -- redis-server /etc/redis/redis-6379.conf

  Stop new calls for this server, then end it:
    strowger agent drain --control /run/strowger/kamailio.sock
    strowger agent stop --control /run/strowger/kamailio.sock

Signals: SIGTERM and SIGINT drain and stop the server; a second signal stops it without draining. SIGHUP, SIGUSR1 and SIGUSR2 are \
passed to the server. An agent that is killed leaves its server running; the next agent with the same --state-file \
adopts it.

Exit status: 0 stopped or detached, 1 the server was given up, 2 a socket or file could not be opened, 64 bad options.
";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Address where the server receives SIP; load managers send to this address
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "redis", value_parser = sip_address)]
    sip: Option<SocketAddr>,
    /// Transport of that address
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// Number that distinguishes this server in the load manager's log [default: made from --sip]
    #[arg(long, value_name = "N")]
    id: Option<u32>,
    /// Heartbeat address of a load manager, a broadcast or a multicast address. May be repeated
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "redis", value_parser = address)]
    to: Vec<SocketAddr>,
    #[command(flatten)]
    redis: RedisArgs,
    /// Time between heartbeats
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    period_ms: u64,
    /// File with the line `heartbeat HEX` (see `strowger key --heartbeat`), the same as on the load manager
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// File that remembers the server, so that a restarted agent adopts it
    #[arg(long, value_name = "PATH")]
    state_file: Option<PathBuf>,
    /// Address at which to answer load queries
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    query: Option<SocketAddr>,
    /// Address at which to answer "get data" of performance servers, over TCP
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
    get_data: Option<SocketAddr>,
    /// Pause between two collections of figures [default: --period-ms, but at least 200 and at most 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    collect_ms: Option<u64>,
    /// Tell load managers and performance servers at once when CPU use reaches this
    #[arg(long, value_name = "PERCENT", default_value_t = 85, value_parser = clap::value_parser!(u16).range(1..=100))]
    cpu_high_percent: u16,
    /// Tell them at once when available memory falls to this
    #[arg(long, value_name = "MB", default_value_t = 10)]
    memory_low_mb: u64,
    /// Read figures from this file, too: lines of name and value, as `status` prints them; they replace measured figures
    #[arg(long, value_name = "PATH")]
    figures_from: Option<PathBuf>,
    /// Id of the state tier that keeps the server's calls; a line `state_tier` in the file of --figures-from replaces it
    #[arg(long, value_name = "NUMBER")]
    state_tier: Option<u64>,
    /// Speed of the host's links in each direction, for network_permille [default: the kernel's value]
    #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    network_mbit: Option<u64>,
    /// Unix socket for `strowger agent status`, `drain`, `resume`, `stop` and `detach`
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// When the server counts as started: when its port is bound (the agent sends nothing to it), when it answers OPTIONS
    /// (over TCP: when it accepts a connection), or at once
    #[arg(long, value_enum, default_value_t = ReadyWhen::Port)]
    ready: ReadyWhen,
    /// The server does not count as started before this time has passed
    #[arg(long, value_name = "MS", default_value_t = 0)]
    ready_delay_ms: u64,
    /// Kill a server that runs and answers no OPTIONS over UDP (with --redis: no question) for this time; it is started again. If
    /// left out, nothing is killed
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1000..=3_600_000))]
    hung_ms: Option<u64>,
    /// Pause before the first restart; it doubles with each further death soon after
    #[arg(long, value_name = "MS", default_value_t = 200)]
    restart_delay_ms: u64,
    /// The longest such pause
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    restart_delay_max_ms: u64,
    /// A server that ran this long ran well: the next pause is --restart-delay-ms again
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    ran_well_ms: u64,
    /// Give up at the next death after N restarts within this many seconds; `never`: never give up
    #[arg(long, value_name = "N/SECONDS", default_value = "5/60s", value_parser = limit)]
    give_up: Limit,
    /// How long the server drains before an orderly stop
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    drain_ms: u64,
    /// How long after SIGTERM the server is killed
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    stop_timeout_ms: u64,
    /// File to which the server's output is appended, instead of the agent's own output
    #[arg(long, value_name = "PATH")]
    server_log: Option<PathBuf>,
    /// Address of the interface for multicast heartbeats
    #[arg(long, value_name = "ADDRESS")]
    interface: Option<IpAddr>,
    /// How many routers a multicast heartbeat may pass, plus one
    #[arg(long, value_name = "N", default_value_t = 1)]
    multicast_ttl: u32,
    /// The server and its arguments; the server must stay in the foreground
    #[arg(last = true, value_name = "COMMAND", required = true)]
    command: Vec<OsString>,
}

#[derive(Subcommand)]
enum Action {
    /// Show state and figures of a running agent
    Status(At),
    /// Give the server no new calls; it goes on running
    Drain(At),
    /// Give the server new calls again
    Resume(At),
    /// Drain, then end server and agent
    Stop(At),
    /// End the agent and leave the server running, for another agent to adopt
    Detach(At),
    /// Ask an agent for its figures over the network (its --query address)
    Query {
        #[arg(value_name = "ADDRESS:PORT", value_parser = address)]
        agent: SocketAddr,
        /// The key file of the agent
        #[arg(long, value_name = "PATH")]
        key_file: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct At {
    /// Control socket of the agent
    #[arg(long, value_name = "PATH")]
    control: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Transport {
    Udp,
    Tcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReadyWhen {
    Port,
    Options,
    None,
}

/// A value of --give-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(Option<GiveUp>);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "never" {
        return Ok(Limit(None));
    }
    let parsed = text.split_once('/').and_then(|(restarts, seconds)| {
        let seconds: u64 = seconds.strip_suffix('s').unwrap_or(seconds).parse().ok()?;
        Some(GiveUp { restarts: restarts.parse().ok()?, window: Duration::from_secs(seconds) })
    });
    parsed.map(|give_up| Limit(Some(give_up))).ok_or_else(|| "write 5/60s, or never".to_owned())
}

pub(crate) fn run(args: Args) -> ExitCode {
    match &args.action {
        Some(Action::Status(at)) => tell(at, Command::Status),
        Some(Action::Drain(at)) => tell(at, Command::Drain),
        Some(Action::Resume(at)) => tell(at, Command::Resume),
        Some(Action::Stop(at)) => tell(at, Command::Stop),
        Some(Action::Detach(at)) => tell(at, Command::Detach),
        Some(Action::Query { agent, key_file }) => query(*agent, key_file.as_deref()),
        None => match settings(args) {
            Ok(settings) => {
                crate::process::log::start_plainly();
                ::agent::run(settings)
            }
            Err(why) => {
                errln!("error: {why}");
                ExitCode::from(config::EXIT_USAGE)
            }
        },
    }
}

fn tell(at: &At, command: Command) -> ExitCode {
    said(control::tell(&at.control, command))
}

fn query(agent: SocketAddr, key_file: Option<&Path>) -> ExitCode {
    let answer = key_file.map(key).transpose().and_then(|key| {
        let heartbeat = ::agent::get_data::ask(agent, key.as_deref(), QUERY_PATIENCE)?;
        Ok(::agent::figures(&heartbeat))
    });
    said(answer)
}

fn said(answer: Result<String, String>) -> ExitCode {
    match answer {
        Ok(text) => {
            out!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            errln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

pub(super) fn key(path: &Path) -> Result<Key, String> {
    let file = KeyFile::read(path).map_err(|(line, what, remedy)| match line {
        0 => format!("key file {}: {what}\n  remedy: {remedy}", path.display()),
        line => format!("{}:{line}: {what}\n  remedy: {remedy}", path.display()),
    })?;
    if file.readable_by_others {
        errln!("warning: others can read the key file {0}\n  remedy: chmod 600 {0}", path.display());
    }
    file.heartbeat.ok_or_else(|| {
        format!(
            "the key file {0} has no heartbeat key\n  remedy: strowger key --heartbeat >> {0}, and the same line for \
             the load manager",
            path.display()
        )
    })
}

fn settings(args: Args) -> Result<Settings, String> {
    let mut drain = Duration::from_millis(args.drain_ms);
    let mut settings = match args.redis.settings(args.command.clone())? {
        Some(settings) => {
            drain = settings.policy.drain;
            settings
        }
        None => {
            // clap has checked this: only a subcommand may do without.
            let sip = args.sip.ok_or_else(|| "--sip is missing".to_owned())?;
            let mut settings = Settings::new(sip, args.to, args.command);
            settings.transport = match args.transport {
                Transport::Udp => heartbeat::Transport::Udp,
                Transport::Tcp => heartbeat::Transport::Tcp,
            };
            settings
        }
    };
    settings.server_id = args.id.unwrap_or(settings.server_id);
    settings.period = Duration::from_millis(args.period_ms);
    settings.key = args.key_file.as_deref().map(key).transpose()?;
    settings.state_file = args.state_file;
    settings.query = args.query;
    settings.get_data = args.get_data;
    settings.collect = args.collect_ms.map(Duration::from_millis);
    settings.cpu_high_permille = args.cpu_high_percent * 10;
    settings.memory_low_kib = args.memory_low_mb.saturating_mul(1024);
    settings.figures_from = args.figures_from;
    settings.state_tier = args.state_tier;
    settings.network_mbit = args.network_mbit;
    settings.control = args.control;
    settings.ready = Ready {
        check: match args.ready {
            ReadyWhen::Port => ReadyCheck::Port,
            ReadyWhen::Options => ReadyCheck::Options,
            ReadyWhen::None => ReadyCheck::None,
        },
        delay: Duration::from_millis(args.ready_delay_ms),
    };
    settings.hung_after = args.hung_ms.map(Duration::from_millis);
    settings.policy = Policy {
        restart_delay: Duration::from_millis(args.restart_delay_ms),
        restart_delay_max: Duration::from_millis(args.restart_delay_max_ms),
        ran_well: Duration::from_millis(args.ran_well_ms),
        give_up: args.give_up.0,
        drain,
        stop_timeout: Duration::from_millis(args.stop_timeout_ms),
    };
    settings.server_log = args.server_log;
    settings.interface = args.interface;
    settings.multicast_ttl = args.multicast_ttl;
    if settings.key.is_some() && settings.sip.ip().is_unspecified() {
        return Err("--sip is a wildcard, but a signed heartbeat must name the address; give the address at which load managers reach the \
                    server (behind a NAT, the address of the NAT)"
            .to_owned());
    }
    settings.check()?;
    Ok(settings)
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
        let words = std::iter::once("agent").chain(line.split_whitespace());
        CommandLine::try_parse_from(words).map(|line| line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_command_line_becomes_settings() {
        let line = "--sip 127.0.0.1:7000 --transport tcp --id 3 --to 127.0.0.1:5777 --to 255.255.255.255:5777 \
                    --give-up 2/10s --drain-ms 0 -- kamailio -DD --sip x";
        let settings = settings(parse(line).unwrap()).map_err(|why| panic!("{why}")).unwrap();
        assert_eq!(settings.sip.port(), 7000);
        assert_eq!(settings.transport, heartbeat::Transport::Tcp);
        assert_eq!((settings.server_id, settings.to.len()), (3, 2));
        assert_eq!(settings.command, ["kamailio", "-DD", "--sip", "x"]);
        let give_up = Some(GiveUp { restarts: 2, window: Duration::from_secs(10) });
        assert_eq!(settings.policy, Policy { give_up, drain: Duration::ZERO, ..Policy::default() });
    }

    #[test]
    fn defaults_of_the_command_line_are_those_of_the_policy() {
        let settings = settings(parse("--sip 127.0.0.1:7000 --to 127.0.0.1:5777 -- true").unwrap());
        assert_eq!(settings.map(|settings| settings.policy).ok(), Some(Policy::default()));
    }

    #[test]
    fn a_server_of_a_cluster_is_no_sip_server() {
        let settings = settings(parse("--redis 127.0.0.1:6379 --hung-ms 2000 -- redis-server x").unwrap());
        let settings = settings.map_err(|why| panic!("{why}")).unwrap();
        assert!(settings.shard.is_some() && settings.to.is_empty());
        assert_eq!((settings.sip.port(), settings.policy.drain), (6379, Duration::ZERO));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (line, named) in [
            ("--to 127.0.0.1:5777 -- true", "--sip"),
            ("--sip 127.0.0.1:7000 -- true", "--to"),
            ("--sip 127.0.0.1:7000 --to 127.0.0.1:5777", "COMMAND"),
            ("--sip 127.0.0.1:7000 --to 127.0.0.1:5777 --give-up often -- true", "write 5/60s, or never"),
            ("drain", "--control"),
            ("--redis 127.0.0.1:6379 --to 127.0.0.1:5777 -- true", "--to"),
            ("--sip 127.0.0.1:0 --to 127.0.0.1:5777 -- true", "port 0"),
            ("--sip 127.0.0.1:7000 --to 127.0.0.1:0 -- true", "--to"),
        ] {
            let error = parse(line).err().unwrap_or_default();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (line, named) in [
            ("--sip 127.0.0.1:7000 --to 127.0.0.1:5777 --period-ms 1 -- true", "--period-ms"),
            ("--redis 0.0.0.0:6379 -- true", "--redis"),
            ("--sip 127.0.0.1:7000 --to 127.0.0.1:5777 --user me -- true", "--redis"),
            ("--redis 127.0.0.1:6379 --user me -- true", "--user"),
            ("--sip 127.0.0.1:7000 --to 127.0.0.1:5777 --key-file /nonexistent -- true", "/nonexistent"),
        ] {
            let error = settings(parse(line).unwrap()).err().unwrap_or_default();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn a_subcommand_needs_its_own_options_only() {
        let args = parse("status --control /run/agent.sock").unwrap();
        assert!(matches!(args.action, Some(Action::Status(_))));
    }

    #[test]
    fn limits_are_read() {
        assert_eq!(limit("never"), Ok(Limit(None)));
        let five = Limit(Some(GiveUp { restarts: 5, window: Duration::from_secs(60) }));
        assert_eq!(limit("5/60s"), Ok(five));
        assert_eq!(limit("5/60"), Ok(five));
        for wrong in ["5", "5/", "/60s", "-1/60s", "5/60m"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
