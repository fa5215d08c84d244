//! Runs the workers of an engine until a signal ends it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Key, Time};
use config::Tls;
use engine::application::Forward;
use engine::{Address, Counters, Engine, FarmSecret, Settings};
use lb::settings::Listener;
use net::worker::{Beside, Setup, Worker};
use net::{Clock, Identities, UdpOptions};
use os::notify::{self, Watchdog};
use sip::{Host, Uri};

use super::core::Core;
use super::keeper::Keeper;
use super::memory::Memory;
use super::part::{EnginePart, Kept};
use super::seen::Seen;
use super::store::Way;
use crate::ctl::http::counters::ApiCounters;
use crate::ctl::part::ControlOptions;
use crate::lb::certificates::identity;
use crate::process::signals::Signals;
use crate::report::engine::EngineReport;
use crate::report::table::aligned;

/// What a longer turn wanted to send is thrown away.
const LATE: Duration = Duration::from_millis(300);

/// How long an engine waits for the state tier at its start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time for the workers to end.
const END: Duration = Duration::from_secs(10);

/// What an engine is started with; the options are read and judged.
pub(crate) struct Start {
    pub(crate) mode: engine::Mode,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tls: Option<Tls>,
    pub(crate) to: Vec<String>,
    pub(crate) route: Option<SocketAddr>,
    pub(crate) ring_max: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) talk_max: Option<Duration>,
    /// 0: no bound.
    pub(crate) ringing_per_source: u32,
    pub(crate) workers: u8,
    /// Responses leave encapsulated, authenticated with this key.
    pub(crate) encapsulating_key: Option<Key>,
    /// The nodes of the state tier; none: the state lies in this process.
    pub(crate) state: Option<state_redis::link::Settings>,
    pub(crate) seconds: Option<u64>,
    /// How operators reach it.
    pub(crate) control: ControlOptions,
}

/// Who this engine is in its farm.
struct Identity {
    engine: u32,
    secret: [u8; 32],
    /// A moment, and the time of the state tier at it, in microseconds.
    clock: (Time, u64),
    /// Keeps the secret in the state tier.
    keeper: Option<Keeper>,
}

pub(crate) fn serve(start: Start) -> io::Result<()> {
    crate::process::ports::check(&start.listeners)?;
    let signals = Signals::hold(&[libc::SIGUSR1, libc::SIGINT, libc::SIGTERM]);
    let clock = Clock::start();
    let Some(state) = start.state.clone() else {
        let memory = Memory::new();
        let identity = Identity {
            engine: 1,
            secret: os::chance::bytes()?,
            clock: (clock.now(), os::since_1970().as_micros() as u64),
            keeper: None,
        };
        outln!(
            "the state lies in this process: calls end with it (--state names a state tier that keeps them)"
        );
        return run(start, &signals, clock, &identity, Kept::Here(memory.clone()), |_| {
            Ok((memory.beside(), None))
        });
    };
    let begun = state_redis::link::Start::wait(&state, &clock, PATIENCE, |error| {
        outln!("the state tier does not answer yet ({error}): waiting for {} s", PATIENCE.as_secs());
    })?;
    let keeper = Some(Keeper::start(state.clone(), begun.clone())?);
    let identity =
        Identity { engine: begun.engine, secret: *begun.secret.get(), clock: begun.clock(), keeper };
    run(start, &signals, clock, &identity, Kept::InStateTier(state.clone()), |_| {
        let way = Way::to(&state, &begun)?;
        let seen = way.seen();
        Ok((Box::new(way), Some(seen)))
    })
}

/// What a worker has beside its core, and what is seen of it.
type ToState = (Box<dyn Beside<Core>>, Option<Seen>);

fn run(
    mut start: Start,
    signals: &Signals,
    clock: Clock,
    farm: &Identity,
    records: Kept,
    beside: impl Fn(u8) -> io::Result<ToState>,
) -> io::Result<()> {
    let all: Vec<_> = start.listeners.iter().map(|listener| (listener.transport, listener.bind)).collect();
    let settings = settings(&start, farm)?;
    let identities = Arc::new(Identities::new(start.tls.take().map(identity)));
    let mut workers = Vec::new();
    let (mut counters, mut seen) = (Vec::new(), Vec::new());
    let fixed = fixed(&start, farm);
    for index in 0..start.workers {
        let engine = Engine::new(Settings { worker: index, ..settings.clone() }, farm.clock);
        counters.push(engine.counters());
        let core = Core { engine, encapsulating_key: start.encapsulating_key.clone() };
        let (beside, own) = beside(index)?;
        seen.extend(own);
        let setup = Setup {
            index,
            pin: None,
            clock,
            listeners: &all,
            given: Vec::new(),
            udp: UdpOptions::default(),
            limits: net::Limits::default(),
            identities: Arc::clone(&identities),
            spread: net::Spread::default(),
            late: Some(LATE),
            beside,
        };
        let worker = Worker::new(setup, core)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen: {error}")))?;
        workers.push(worker);
    }
    net::worker::introduce(&mut workers)?;
    let handles: Vec<_> = workers.iter().map(Worker::handle).collect();
    let api = Arc::new(ApiCounters::default());
    let part = EnginePart {
        clock,
        started: clock.now(),
        fixed,
        counters: counters.clone(),
        workers: handles.clone(),
        seen,
        api: Arc::clone(&api),
        records,
        secret: settings.secret.clone(),
    };
    let _control = start.control.open(part, api)?;
    let threads: Vec<_> = workers
        .into_iter()
        .enumerate()
        .map(|(index, worker)| {
            std::thread::Builder::new().name(format!("engine-{index}")).spawn(move || worker.run())
        })
        .collect::<io::Result<_>>()?;
    for listener in &start.listeners {
        outln!("engine {} takes calls on {}:{}", farm.engine, listener.transport.word(), listener.bind);
    }
    notify::ready(&format!("engine {} takes calls", farm.engine));
    let end = start.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let runs = || {
        !threads.iter().any(std::thread::JoinHandle::is_finished)
            && end.is_none_or(|end| Instant::now() < end)
    };
    let ended = until_ended(runs, signals, farm, &counters);
    notify::stopping(END, "ending");
    handles.iter().for_each(net::worker::Handle::stop);
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a worker failed"))??;
    }
    print(&counters);
    ended
}

/// Waits for a signal that ends the engine, or until it no longer runs. An error: another secret lies in the state tier.
fn until_ended(
    runs: impl Fn() -> bool,
    signals: &Signals,
    farm: &Identity,
    counters: &[Arc<Counters>],
) -> io::Result<()> {
    let mut watchdog = Watchdog::of_manager();
    while runs() {
        watchdog.iter_mut().for_each(Watchdog::beat);
        if farm.keeper.as_ref().is_some_and(Keeper::is_foreign) {
            return Err(io::Error::other(
                "another secret lies in the state tier\n  remedy: start the engine again",
            ));
        }
        match signals.wait(Duration::from_millis(200)) {
            Some(libc::SIGUSR1) => print(counters),
            Some(_) => break,
            None => {}
        }
    }
    Ok(())
}

/// What does not change while the engine runs.
fn fixed(start: &Start, farm: &Identity) -> EngineReport {
    let mode = match start.mode {
        engine::Mode::B2bua => "b2bua",
        engine::Mode::Proxy => "proxy",
    };
    let listener = |listener: &Listener| format!("{}:{}", listener.transport.word(), listener.bind);
    EngineReport {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        engine: farm.engine,
        mode: mode.into(),
        listeners: start.listeners.iter().map(listener).collect(),
        to: start.to.clone(),
        lb: start.route.map(|lb| lb.to_string()),
        ..EngineReport::default()
    }
}

/// The settings of the first worker; the others differ in their number.
fn settings(start: &Start, farm: &Identity) -> io::Result<Settings> {
    Ok(Settings {
        mode: start.mode,
        secret: FarmSecret::new(farm.secret),
        engine: farm.engine,
        worker: 0,
        workers: start.workers,
        listeners: start.listeners.iter().map(|listener| address_of(listener, start.route)).collect(),
        letters: letters(&start.listeners),
        application: Arc::new(Forward { talk_max: start.talk_max }),
        to: start.to.iter().map(|to| to.as_bytes().into()).collect(),
        route: start.route.map(|lb| format!("<sip:{lb};lr>").into_bytes().into()),
        hosts: hosts(&start.to)?,
        timers: transaction::Timers::default(),
        ring_max: start.ring_max,
        silence_max: start.silence_max,
        bounds: bounds(start),
    })
}

fn bounds(start: &Start) -> engine::Bounds {
    let ringing_per_source = match start.ringing_per_source {
        0 => usize::MAX,
        most => most as usize,
    };
    engine::Bounds { ringing_per_source, ..engine::Bounds::default() }
}

/// What other parties know of a listener. All engines behind a load manager have its address: what one of them repeats for
/// another is the same request only if Via and Contact are the same.
fn address_of(listener: &Listener, lb: Option<SocketAddr>) -> Address {
    Address {
        transport: listener.transport,
        sent_by: lb.unwrap_or(listener.advertise).to_string().into_bytes().into(),
        is_ipv4: listener.bind.is_ipv4(),
    }
}

/// Where other engines send what they hand over: the first listener for datagrams.
fn letters(listeners: &[Listener]) -> Box<[u8]> {
    let udp = listeners.iter().find(|listener| !listener.transport.is_reliable());
    udp.map(|listener| listener.bind.to_string().into_bytes()).unwrap_or_default().into()
}

const UNKNOWN: &str =
    "\n  remedy: write the IP address, or a name that this machine finds (getent hosts NAME)";

/// The addresses of the names in URIs.
pub(crate) fn hosts(uris: &[String]) -> io::Result<HashMap<Box<[u8]>, IpAddr>> {
    let mut hosts = HashMap::new();
    for uri in uris {
        let Ok(Uri { host: Host::Name(name), .. }) = Uri::parse(uri.as_bytes()) else { continue };
        let text = String::from_utf8_lossy(name).into_owned();
        let unknown = |why: &dyn std::fmt::Display| {
            io::Error::other(format!("{uri}: no address of {text}: {why}{UNKNOWN}"))
        };
        let found = (text.as_str(), 0).to_socket_addrs().map_err(|error| unknown(&error))?.next();
        let found = found.ok_or_else(|| unknown(&"the name has none"))?;
        hosts.insert(name.to_ascii_lowercase().into(), found.ip());
    }
    Ok(hosts)
}

fn print(counters: &[Arc<Counters>]) {
    let all: Vec<_> = counters.iter().map(|counters| counters.read()).collect();
    let Some(first) = all.first() else { return };
    let sum = |row: usize| all.iter().map(|counts| counts[row].2).sum::<u64>();
    let rows = first.iter().enumerate().map(|(row, (_, text, _))| ((*text).to_owned(), sum(row)));
    let rows: Vec<Vec<String>> =
        rows.filter(|(_, count)| *count > 0).map(|(text, count)| vec![text, count.to_string()]).collect();
    if !rows.is_empty() {
        out!("{}", aligned(&["what", "count"], &rows));
    }
}
