//! An engine: calls whose record outlives it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::value_parser;
use config::{Endpoint, parse_endpoint};
use lb::settings::Listener;
use sip::{Host, Transport, Uri};
use state_redis::link::NoAddress;

use crate::engine::serve::{Start, serve};
use crate::roles::control_options::ControlArgs;

const EXAMPLES: &str = "\
Examples:
  A back-to-back user agent in front of a server:
    strowger engine --listen udp:192.0.2.1:5060 --to sip:192.0.2.9

  Two targets that ring at the same time; the first that answers gets the call:
    strowger engine --listen udp:192.0.2.1:5060 --to sip:192.0.2.9 --to sip:192.0.2.10

  A proxy that forks to both; the call goes on without it as soon as one has answered:
    strowger engine --mode proxy --listen udp:192.0.2.1:5060 --to sip:192.0.2.9 --to sip:192.0.2.10

  Behind a load manager, over UDP and TCP:
    strowger engine --listen udp:192.0.2.11:5060 --listen tcp:192.0.2.11:5060 \\
        --to sip:192.0.2.9 --lb 192.0.2.1:5060

kill -USR1 prints the counters; the engine also prints them when it ends.
";

/// What the engine is for new calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// A back-to-back user agent: each side has a dialog with the engine (RFC 7092)
    B2bua,
    /// A proxy that keeps a call until it is answered or has failed (RFC 3261 §16)
    Proxy,
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address to listen on: udp:, tcp:, tls:, ws: or wss:ADDRESS:PORT. May be repeated
    #[arg(long, value_name = "ENDPOINT", default_values = ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"])]
    listen: Vec<String>,
    /// What the engine is for new calls; the same at all engines of a farm
    #[arg(long, value_enum, default_value_t = Mode::B2bua)]
    mode: Mode,
    /// SIP URI that calls go to. A URI without a user gets the user that was called. If repeated, all ring at the same time
    #[arg(long, value_name = "URI", required = true)]
    to: Vec<String>,
    /// The load manager in front: new calls leave through it, so that it brings back their answers after the death of
    /// this engine
    #[arg(long, value_name = "ADDRESS:PORT")]
    lb: Option<String>,
    /// A node of the state tier that keeps the calls: unix:PATH or ADDRESS:PORT. May be repeated. If left out, the state lies
    /// in this process, and calls end with it
    #[arg(long, value_name = "NODE")]
    state: Vec<String>,
    /// User of the state tier; the password comes from the file
    #[arg(long, value_name = "NAME", requires_all = ["state", "state_password_file"])]
    state_user: Option<String>,
    /// File with the password of the state tier
    #[arg(long, value_name = "FILE", requires = "state")]
    state_password_file: Option<PathBuf>,
    /// Certificate chain of `tls:` and `wss:` listeners in PEM: the own certificate first, then those of its signers
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key of that certificate in PEM, without a password
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Time that a call may ring, seconds. A proxy counts it from the last provisional response on (RFC 3261 §16.6, timer C)
    #[arg(long, value_name = "SECONDS", default_value_t = 180, value_parser = value_parser!(u64).range(1..=3600))]
    ring_max: u64,
    /// Time that a call may last after its answer, seconds; then the engine hangs up. If left out, any time
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=31_536_000))]
    talk_max: Option<u64>,
    /// Time that a call may be up before both sides are asked with OPTIONS whether they still have it, seconds. If one of them
    /// has not, the engine hangs up; else it asks again after the same time. A proxy does not ask
    #[arg(long, value_name = "SECONDS", default_value_t = 43_200, value_parser = value_parser!(u64).range(60..=31_536_000))]
    silence_max: u64,
    /// Calls that one source may have at a time that are not answered yet, at each worker; more get 503. The source is an IPv4
    /// address or an IPv6 network of 64 bits; behind --lb, it is that of the client. 0: no bound
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    ringing_per_source: u32,
    /// Answer by encapsulated responses, which name the hop behind the load manager; needs the farm's key file
    #[arg(long, requires = "key_file")]
    encapsulate: bool,
    /// Key file with the heartbeat line of the farm
    #[arg(long, value_name = "PATH", requires = "encapsulate")]
    key_file: Option<PathBuf>,
    /// Threads for calls
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u8).range(1..=64))]
    workers: u8,
    #[command(flatten)]
    control: ControlArgs,
    /// End after this many seconds; if left out, run until a signal
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000))]
    seconds: Option<u64>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    crate::process::log::start_plainly();
    let start = match start(args) {
        Ok(start) => start,
        Err(problem) => {
            err!("{problem}");
            return ExitCode::from(config::EXIT_USAGE);
        }
    };
    match serve(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Judges the options.
fn start(args: Args) -> Result<Start, String> {
    let mut listeners = Vec::new();
    for text in &args.listen {
        let Endpoint { transport, address } = parse_endpoint(text)
            .map_err(|(what, remedy)| problem(format!("--listen {text}: {what}"), remedy))?;
        if address.ip().is_unspecified() {
            let remedy = "listen on one address: other parties send to it, as Via and Contact say".to_owned();
            return Err(problem(format!("--listen {text}: nobody can send to {}", address.ip()), remedy));
        }
        let transport = transport.unwrap_or(Transport::Udp);
        listeners.push(Listener { transport, bind: address, advertise: address, name: None });
    }
    let lb = args.lb.as_deref().map(load_manager).transpose()?;
    callees(&args.to, &listeners, lb)?;
    if let Some(text) = config::twice(&args.listen).or_else(|| config::twice(&args.state)) {
        return Err(problem(format!("{text} is given twice"), "remove one of the two"));
    }
    if !args.state.is_empty() && !listeners.iter().any(|listener| listener.transport == Transport::Udp) {
        let remedy = "add --listen udp:ADDRESS:PORT";
        return Err(problem(
            "--state: engines hand messages to each other over UDP, and there is no listener for it",
            remedy,
        ));
    }
    let (tls, warnings) =
        match config::server_tls(&args.listen, args.certificate.as_deref(), args.key.as_deref()) {
            Ok((tls, warnings)) => (tls, warnings),
            Err(problems) => return Err(problems.to_string()),
        };
    err!("{warnings}");
    let encapsulating_key = args.key_file.as_deref().map(super::agent::key).transpose();
    Ok(Start {
        encapsulating_key: encapsulating_key.map_err(|problem| format!("error: {problem}\n"))?,
        mode: match args.mode {
            Mode::B2bua => engine::Mode::B2bua,
            Mode::Proxy => engine::Mode::Proxy,
        },
        listeners,
        tls,
        to: args.to,
        route: lb,
        state: state(&args.state, args.state_user.as_deref(), args.state_password_file.as_deref())?,
        ring_max: Duration::from_secs(args.ring_max),
        talk_max: args.talk_max.map(Duration::from_secs),
        silence_max: Duration::from_secs(args.silence_max),
        ringing_per_source: args.ringing_per_source,
        workers: args.workers,
        control: args.control.read()?,
        seconds: args.seconds,
    })
}

/// The load manager in front.
fn load_manager(text: &str) -> Result<SocketAddr, String> {
    let read =
        parse_endpoint(text).map_err(|(what, remedy)| problem(format!("--lb {text}: {what}"), remedy))?;
    match read.transport {
        None | Some(Transport::Udp) => Ok(read.address),
        Some(_) => Err(problem(
            format!("--lb {text}: calls leave over UDP"),
            "name a listener of lb for UDP: ADDRESS:PORT",
        )),
    }
}

/// Judges who is called.
fn callees(to: &[String], listeners: &[Listener], lb: Option<SocketAddr>) -> Result<(), String> {
    let own: Vec<SocketAddr> = listeners.iter().map(|listener| listener.bind).chain(lb).collect();
    for uri in to {
        config::callee(uri, &own).map_err(|(what, remedy)| problem(format!("--to {uri}: {what}"), remedy))?;
        let Some((transport, is_ipv4)) =
            lb.map(|lb| (Transport::Udp, Some(lb.is_ipv4()))).or_else(|| needs(uri))
        else {
            continue;
        };
        let fits = |listener: &Listener| {
            listener.transport == transport
                && is_ipv4.is_none_or(|is_ipv4| is_ipv4 == listener.bind.is_ipv4())
        };
        if !listeners.iter().any(fits) {
            let word = transport.word();
            let family = match is_ipv4 {
                Some(true) => " and IPv4",
                Some(false) => " and IPv6",
                None => "",
            };
            return Err(problem(
                format!("--to {uri}: no listener is for {word}{family}, so nothing can be sent there"),
                format!("add --listen {word}:ADDRESS:PORT, or add ;transport= to the URI"),
            ));
        }
    }
    match config::twice(to) {
        Some(uri) => {
            Err(problem(format!("--to {uri} is given twice: it would ring twice"), "remove one of the two"))
        }
        None => Ok(()),
    }
}

/// The transport to a callee; whether it has an IPv4 address, if that is known.
fn needs(uri: &str) -> Option<(Transport, Option<bool>)> {
    let uri = Uri::parse(uri.as_bytes()).ok()?;
    let named = uri.parameter(b"transport").unwrap_or_default();
    let word = if uri.secure { "tls" } else { std::str::from_utf8(named).ok()? };
    let all = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    let transport =
        all.into_iter().find(|known| known.word().eq_ignore_ascii_case(word)).unwrap_or(Transport::Udp);
    let is_ipv4 = match uri.host {
        Host::Ip(ip) => Some(ip.is_ipv4()),
        Host::Name(_) => None,
    };
    Some((transport, is_ipv4))
}

fn problem(what: impl std::fmt::Display, remedy: impl std::fmt::Display) -> String {
    format!("error: {what}\n  remedy: {remedy}\n")
}

/// The way to the state tier.
pub(super) fn state(
    nodes: &[String],
    user: Option<&str>,
    password: Option<&Path>,
) -> Result<Option<state_redis::link::Settings>, String> {
    if nodes.is_empty() {
        return Ok(None);
    }
    let read = |text: &String| {
        // It says what to write, too.
        text.parse().map_err(|why: NoAddress| format!("error: --state {why}\n"))
    };
    let nodes = nodes.iter().map(read).collect::<Result<_, _>>()?;
    let read = |path| {
        let remedy = "name a file that this user can read";
        crate::process::password::of_file(path)
            .map_err(|what| problem(format!("--state-password-file: {what}"), remedy))
    };
    let password = password.map(read).transpose()?.map(base::Key::from);
    Ok(Some(state_redis::link::Settings { nodes, user: user.map(Box::from), password, ..Default::default() }))
}
