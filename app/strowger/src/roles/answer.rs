//! A small SIP server that answers calls, to try a farm.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clap::value_parser;
use config::{Endpoint, Tls, parse_endpoint};
use lb::settings::Listener;
use net::{Clock, Identities, UdpOptions};
use sip::Transport;

use crate::lb::certificates::identity;
use crate::process::signals::Signals;
use crate::report::table::aligned;
use crate::roles::answer_figures::Figures;
use answer::{Address, Answerer, Behaviour, Counters, Desk, Shifting};
use net::worker::{Setup, Worker};

const EXAMPLES: &str = "\
Examples:
  A server that answers at once:
    strowger answer --listen udp:127.0.0.1:7000 --listen tcp:127.0.0.1:7000

  Over TLS, behind a load manager that knows the authority by --server-ca:
    strowger answer --listen tls:127.0.0.1:7001 --certificate chain.pem --key key.pem

  A slow server that refuses every twentieth call and has room for ten:
    strowger answer --ring-ms 200 --answer-ms 3000 --failure-permille 50 --max-calls 10

  A server that takes over the calls of others, under an agent:
    strowger agent … -- strowger answer --listen udp:127.0.0.1:7000 --take-over

  One of two servers that shift workload to each other:
    strowger answer --listen udp:192.0.2.11:5060 --member one=192.0.2.11:5790 \\
        --peer two=192.0.2.12:5790 --key-file farm.keys --threshold calls=200

kill -USR1 prints the counters; the server also prints them when it ends.
";

/// How long the end waits for the server to leave its group.
const LEAVING: Duration = Duration::from_millis(500);

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Address to listen on: udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT. May be repeated
    #[arg(long, value_name = "ENDPOINT", default_values = ["udp:127.0.0.1:7000", "tcp:127.0.0.1:7000"])]
    listen: Vec<String>,
    /// Certificate chain of `tls:` listeners in PEM: the own certificate first, then the certificates of its signers
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key of that certificate in PEM, without a password
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Time from the INVITE to the 180, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u64).range(0..=600_000))]
    ring_ms: u64,
    /// Time from the 180 to the 200, milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u64).range(0..=600_000))]
    answer_ms: u64,
    /// Work for each call before its 200, milliseconds, one call after the other: the server can carry 1000 / MS calls a
    /// second. Nothing is computed: the processor for this work is a clock
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u64).range(0..=60_000))]
    work_ms: u64,
    /// A process that uses the same processor: work takes longer by this process's use, with its children, of one processor
    /// of the host (at most 95 %)
    #[arg(long, value_name = "PID", requires = "work_ms", value_parser = value_parser!(i32).range(1..))]
    neighbour: Option<i32>,
    /// File for the CPU use of that processor and the calls in progress, written four times a second, for `strowger agent
    /// --figures-from`
    #[arg(long, value_name = "FILE", requires = "work_ms")]
    figures_to: Option<PathBuf>,
    /// Hang up this long after the ACK, milliseconds; if left out, the caller hangs up
    #[arg(long, value_name = "MS", value_parser = value_parser!(u64).range(1..=14_400_000))]
    bye_after_ms: Option<u64>,
    /// Refuse this many of a thousand calls
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(0..=1000))]
    failure_permille: u32,
    /// Status of these refusals
    #[arg(long, value_name = "STATUS", default_value_t = 503, value_parser = value_parser!(u16).range(400..=699))]
    failure_status: u16,
    /// Most calls at once; a further call is refused
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u32).range(1..=500_000))]
    max_calls: u32,
    /// Status of these refusals
    #[arg(long, value_name = "STATUS", default_value_t = 503, value_parser = value_parser!(u16).range(400..=699))]
    full_status: u16,
    /// Answer requests of unknown calls with 200, to take over the calls of a server that died
    #[arg(long)]
    take_over: bool,
    /// Keep every processor busy for this part of its time, percent, besides the calls
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = value_parser!(u64).range(0..=100))]
    load: u64,
    /// End after this many seconds; if left out, run until a signal
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=1_000_000))]
    seconds: Option<u64>,
    /// Answer by encapsulated responses, which name the hop behind the load manager; needs the farm's key file
    #[arg(long, requires = "key_file")]
    encapsulate: bool,
    #[command(flatten)]
    shift: super::answer_shift::Args,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    crate::process::log::start_plainly();
    let listeners = match listeners(&args.listen) {
        Ok(listeners) => listeners,
        Err((what, remedy)) => {
            errln!("error: {what}\n  remedy: {remedy}");
            return ExitCode::from(config::EXIT_USAGE);
        }
    };
    let tls = match config::server_tls(&args.listen, args.certificate.as_deref(), args.key.as_deref()) {
        Ok((tls, warnings)) => {
            err!("{warnings}");
            tls
        }
        Err(problems) => {
            err!("{problems}");
            return ExitCode::from(config::EXIT_USAGE);
        }
    };
    match serve(args, &listeners, tls) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listeners(texts: &[String]) -> Result<Vec<Listener>, (String, String)> {
    let mut listeners = Vec::new();
    for text in texts {
        let Endpoint { transport, address } =
            parse_endpoint(text).map_err(|(what, remedy)| (format!("--listen {text}: {what}"), remedy))?;
        if address.ip().is_unspecified() {
            let remedy = "listen on one address: callers send to it, as the Contact says".to_owned();
            return Err((format!("--listen {text}: callers cannot send to {}", address.ip()), remedy));
        }
        let transport = transport.unwrap_or(Transport::Udp);
        if transport.is_websocket() {
            let remedy = "listen on udp, tcp or tls; the load manager in front speaks WebSocket".to_owned();
            return Err((format!("--listen {text}: this server does not support WebSocket"), remedy));
        }
        listeners.push(Listener { transport, bind: address, advertise: address, name: None });
    }
    Ok(listeners)
}

fn serve(args: &Args, listeners: &[Listener], tls: Option<Tls>) -> io::Result<()> {
    crate::process::ports::check(listeners)?;
    let signals = Signals::hold(&[libc::SIGUSR1, libc::SIGINT, libc::SIGTERM]);
    let behaviour = Behaviour {
        ring_after: Duration::from_millis(args.ring_ms),
        answer_after: Duration::from_millis(args.answer_ms),
        work: Duration::from_millis(args.work_ms),
        hang_up_after: args.bye_after_ms.map(Duration::from_millis),
        failure_permille: args.failure_permille,
        failure_status: args.failure_status,
        calls_max: args.max_calls as usize,
        full_status: args.full_status,
        take_over: args.take_over,
        ..Behaviour::default()
    };
    let addresses: Vec<Address> = listeners
        .iter()
        .map(|listener| Address { transport: listener.transport, address: listener.advertise })
        .collect();
    let clock = Clock::start();
    let cpu_permille = Arc::new(AtomicU32::new(0));
    let shifting = args
        .shift
        .shifting(listeners, clock, Arc::clone(&cpu_permille))
        .map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let desk = shifting.as_ref().map(Shifting::desk);
    let mut answerer = Answerer::new(behaviour, addresses, os::chance()?);
    if let Some(shifting) = shifting {
        answerer = answerer.with_shifting(shifting);
    }
    if args.encapsulate {
        let key = args.shift.key().map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        answerer = answerer.with_encapsulation(key);
    }
    let counters = answerer.counters();
    let mut figures = Figures::new(answerer.load(), args.neighbour, args.figures_to.as_deref(), clock.now());
    let all: Vec<_> = listeners
        .iter()
        .cloned()
        .chain(args.shift.listener())
        .map(|listener| (listener.transport, listener.bind))
        .collect();
    let worker = Worker::new(
        Setup {
            index: 0,
            pin: None,
            clock,
            listeners: &all,
            given: Vec::new(),
            udp: UdpOptions::default(),
            limits: net::Limits::default(),
            identities: Arc::new(Identities::new(tls.map(identity))),
            spread: net::Spread::default(),
            late: None,
            beside: Box::new(()),
        },
        answerer,
    )
    .map_err(|error| io::Error::new(error.kind(), format!("cannot listen: {error}")))?;
    let handle = worker.handle();
    let thread = std::thread::Builder::new().name("answer".into()).spawn(move || worker.run())?;
    let stop = Arc::new(AtomicBool::new(false));
    let load = burn(args.load, &stop)?;
    for listener in listeners {
        outln!("answers calls on {}:{}", listener.transport.word(), listener.bind);
    }
    let mut collector = agent::collect::Collector::default();
    let end = args.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    while !thread.is_finished() && end.is_none_or(|end| Instant::now() < end) {
        match signals.wait(Duration::from_millis(200)) {
            Some(libc::SIGUSR1) => print(&counters, desk.as_deref()),
            Some(_) => break,
            None => {}
        }
        if desk.is_some() {
            let measured = collector.collect(None).cpu_permille;
            cpu_permille.store(measured.map_or(0, u32::from), Ordering::Relaxed);
        }
        if let Some(figures) = &mut figures {
            figures.measure(clock.now(), counters.live.get());
        }
    }
    stop.store(true, Ordering::Relaxed);
    if let Some(desk) = &desk {
        leave(desk);
    }
    handle.stop();
    let result = thread.join().map_err(|_| io::Error::other("the worker failed"))?;
    for thread in load {
        let _ = thread.join();
    }
    print(&counters, desk.as_deref());
    result
}

/// Threads that are busy for `percent` of each twentieth of a second, one per processor.
fn burn(percent: u64, stop: &Arc<AtomicBool>) -> io::Result<Vec<std::thread::JoinHandle<()>>> {
    const ROUND: Duration = Duration::from_millis(50);
    let threads = if percent == 0 { 0 } else { std::thread::available_parallelism().map_or(1, usize::from) };
    (0..threads)
        .map(|_| {
            let stop = Arc::clone(stop);
            std::thread::Builder::new().name("load".into()).spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let busy = ROUND * percent as u32 / 100;
                    while start.elapsed() < busy {
                        std::hint::spin_loop();
                    }
                    std::thread::sleep(ROUND.saturating_sub(start.elapsed()));
                }
            })
        })
        .collect()
}

/// Makes the server tell its group that it leaves. Does not wait for a worker that hangs.
fn leave(desk: &Desk) {
    desk.leave();
    let end = Instant::now() + LEAVING;
    while !desk.has_left() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn print(counters: &Counters, desk: Option<&Desk>) {
    let rows: Vec<Vec<String>> = counters
        .read()
        .into_iter()
        .map(|(text, value)| (text.to_owned(), value))
        .chain(desk.map(Desk::read).unwrap_or_default())
        .filter(|(_, value)| *value > 0)
        .map(|(text, value)| vec![text, value.to_string()])
        .collect();
    if !rows.is_empty() {
        out!("{}", aligned(&["what", "count"], &rows));
    }
}
