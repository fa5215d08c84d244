//! The start of a load manager: makes the control side and the workers, starts them, and ends them in order.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use base::Time;
use config::{Checked, Faults, NewCalls, Problems};
use fcaps::{FaultLog, Output};
use lb::settings::{Settings, Threads};
use lb::shared::Shared;
use lb::way::router::Router;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use net::{Clock, Identities, Limits, Spread, UdpOptions};
use os::notify::{self, Watchdog};
use os::privilege::{self, Power};

use crate::ctl::asked::Asked as _;
use crate::ctl::desk::{Desk, Tray};
use crate::ctl::http;
use crate::ctl::socket::{self, ControlSocket};
use crate::ctl::{self, Host};
use crate::lb::announce::announce;
use crate::lb::beside::Beside;
use crate::lb::certificates::Certificates;
use crate::lb::choices::ChoiceLog;
use crate::lb::control::{self, Control};
use crate::lb::converged::Front;
use crate::lb::first_answers;
use crate::lb::measuring::Measuring;
use crate::lb::memory_file;
use crate::lb::names::Names;
use crate::lb::peers::Peers;
use crate::process::lock::lock;
use crate::process::signals::Signals;
use net::worker::{self, Aside, Handle, Setup, Worker};
use tracing::{error, info, warn};

/// Time between two looks at what is left while the load manager ends.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);
/// A wait without end, in steps. After each step, the log says which certificates have ended.
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

/// Time for the workers to end, and for the memory file.
const END: std::time::Duration = std::time::Duration::from_secs(10);

/// Reads the configuration again, as at the start.
pub(crate) type Again<'a> = dyn Fn() -> Result<Checked, Problems> + 'a;

/// The usual number of descriptors of a process (getrlimit(2)).
const DESCRIPTORS_USUAL: u64 = 1024;

/// If each worker may have fewer connections than this, the log says so at start.
const CONNECTIONS_FEW: usize = 10_000;

/// Runs until it is told to stop. `again` reads the configuration again, for certificates that were changed.
pub(crate) fn serve(checked: Checked, again: &Again<'_>) -> io::Result<()> {
    let signals = Signals::hold(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    // This comes before any thread is made: a thread has the powers of its maker.
    let of_root = keep(&[Power::WriteAnyFile, Power::ReadAnyFile, Power::BindAnyPort]);
    let clock = Clock::start();
    let settings = checked.settings.clone();
    let count = worker_count(settings.threads);
    crate::process::ports::check(&settings.listeners)?;
    let faults = FaultLog::start(match checked.process.faults.clone() {
        Faults::Off => Output::Off,
        Faults::Stderr => Output::Stderr,
        Faults::File(path) => Output::File(path),
    })?;
    let mut control = Control::new(clock.now(), settings.clone(), count)?;
    if let Some(measuring) = Measuring::start(&settings.measures, settings.keys.heartbeat.clone(), clock)? {
        control.measure_by(measuring);
    }
    let by_name = Names::start(clock, &checked, Arc::clone(&control.shared().names))?;
    let resolver = by_name.resolver();
    control.find_by(by_name);
    let limits = stream_limits(&checked, count);
    let certificates = Certificates::new(checked.process.tls.clone());
    let peers = Peers::start(control.shared(), clock, os::chance()?.next_u64())?;
    let beside = |index| Beside {
        faults: faults.clone(),
        teller: peers.as_ref().map(|peers| peers.teller(index)),
        resolver: resolver.clone(),
        notices: Vec::new(),
    };
    let mut workers =
        make_workers(&settings, limits, count, clock, beside, &control, &certificates.identities)?;
    workers.iter_mut().for_each(|worker| worker.trust_proxies(checked.process.proxies.clone()));
    let handles: Vec<Handle> = workers.iter().map(Worker::handle).collect();
    let heartbeat_fd = control.heartbeat_fd();
    let control = Arc::new(Mutex::new(control));
    let choices = ChoiceLog::new(lock(&control).shared(), clock);
    choices.write_to(&checked.choices)?;
    let serve_http = |http: config::Http| {
        Front::serve(http, Shared::clone(&lock(&control).shared()), clock, os::chance()?)
    };
    let converged = checked.http.clone().map(serve_http).transpose()?;
    let host = Arc::new(Host {
        clock,
        started: clock.now(),
        shared: lock(&control).shared(),
        workers: handles.clone(),
        faults: faults.clone(),
        choices,
        file: checked.file.clone(),
        certificates,
        tokens: ArcSwap::from_pointee(
            checked.process.api.as_ref().map(|api| api.tokens.clone()).unwrap_or_default(),
        ),
        api: http::counters::ApiCounters::default(),
        https: Arc::new(ArcSwapOption::from_pointee(
            checked.process.api.as_ref().and_then(|api| api.https.clone()),
        )),
        converged: converged.clone(),
        peers,
    });
    let (desk, tray) = ctl::desk::open(host);
    lock(&control).run_as(checked.clone());
    let _socket = ControlSocket::serve(&checked.process.control, Arc::new(desk.clone()))
        .map_err(|error| socket::explained(&checked.process.control, &error))?;
    // Everything is open. A reload reads files, and may have the performance server listen.
    keep(&[Power::ReadAnyFile, Power::BindAnyPort]);
    if of_root {
        info!(
            "process started by root: it keeps only the powers to read files and to listen below port 1024"
        );
    }
    // With the powers that the process ends with: a file that could not be written then is an error now.
    if let Some(path) = &checked.memory_file {
        memory_file::restore(path, &lock(&control).shared(), clock.now())?;
    }
    first_answers::wait(&control, clock);
    let mut silent = None;
    if settings.threads == Threads::One {
        let source = match heartbeat_fd {
            Some(fd) => fd,
            None => silent.insert(never_readable()?).as_raw_fd(),
        };
        let watchdog = Watchdog::of_manager();
        let aside = SharedThread { control: Arc::clone(&control), source, tray, watchdog };
        workers[0].share_thread(Box::new(aside))?;
    } else {
        start_control_thread(Arc::clone(&control), clock, heartbeat_fd, tray)?;
    }
    if let Some(api) = &checked.process.api {
        let certificate = Arc::clone(&desk.host().https);
        let address = http::serve(api.listen, api.open_metrics, certificate, Arc::new(desk.clone()))?;
        info!("HTTP API at {}://{address}/", http::certificate::scheme(api.https.as_ref()));
    }
    announce(&settings, count, &checked.process.control);
    if let Some(front) = converged {
        info!("HTTP to the servers at http://{}/", front.address());
    }
    let threads: Vec<JoinHandle<io::Result<()>>> =
        workers.into_iter().map(start).collect::<io::Result<_>>()?;
    // A worker that ends by itself has failed. The whole process then ends, instead of serving half of its sockets.
    let ended = end_with_workers(threads)?;
    notify::ready("serving");
    wait_for_the_end(&signals, &control, &desk, again);
    for handle in &handles {
        handle.stop();
    }
    drop(silent);
    ended.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))?;
    // The workers have ended, so nothing changes the memory any more.
    let control = lock(&control);
    if let Some(path) = control.checked().and_then(|checked| checked.memory_file.clone()) {
        memory_file::write(&path, &control.shared(), clock.now());
    }
    Ok(())
}

/// SIGHUP reloads. At SIGTERM, known calls go on for a time; SIGINT or a second SIGTERM ends at once.
fn wait_for_the_end(signals: &Signals, control: &Mutex<Control>, desk: &Desk, again: &Again<'_>) {
    let clock = desk.host().clock;
    loop {
        match signals.wait(LONG) {
            Some(libc::SIGHUP) => {
                notify::reloading();
                reload(desk, again);
                notify::ready("serving");
            }
            Some(libc::SIGTERM) => break,
            Some(_) => {
                notify::stopping(END, "ending");
                return info!("stop: SIGINT received, ending at once");
            }
            None => desk.host().certificates.complain(SystemTime::now()),
        }
    }
    let Some(drain) = lock(control).checked().map(|checked| checked.drain) else { return };
    notify::stopping(
        drain.time + END,
        "known calls go on until they end, or until the time for them is over",
    );
    if drain.time.is_zero() {
        return info!("stop: SIGTERM received, ending at once");
    }
    lock(control).end(clock.now(), drain.new_calls);
    let serves = match drain.new_calls {
        NewCalls::Refuse => "new calls are refused",
        NewCalls::Serve => "new calls are still served",
    };
    let seconds = drain.time.as_secs();
    info!("stop: SIGTERM received; known calls go on for at most {seconds} s, {serves}");
    let end = clock.now() + drain.time;
    loop {
        match signals.wait(LOOK) {
            Some(libc::SIGHUP) => warn!("reload refused: this load manager is ending"),
            Some(_) => return warn!("stop: second signal received, ending at once"),
            None => {}
        }
        let now = clock.now();
        let left = lock(control).left_in_all(now);
        if left == 0 && drain.new_calls == NewCalls::Refuse {
            return info!("drain complete: no call is left that only this load manager remembers");
        }
        if now >= end {
            return warn!("drain timeout: ending with {left} calls in progress");
        }
    }
}

fn reload(desk: &Desk, again: &Again<'_>) {
    if desk.host().file.is_none() {
        // The options of the command line stay; the files that they name may hold other certificates.
        return desk.host().certificates.read_again(again());
    }
    match desk.ask("reload", serde_json::Map::new()) {
        Ok(answer) => info!("configuration reloaded: {}", answer.text.trim_end().replace('\n', "; ")),
        Err(refused) => error!("configuration not reloaded\n{refused}"),
    }
}

fn worker_count(threads: Threads) -> u8 {
    match threads {
        Threads::One | Threads::Two => 1,
        Threads::PerCore { workers } => workers.max(1),
    }
}

/// Bounds on the connections of each worker: the configuration's, within the process's number of descriptors.
fn stream_limits(checked: &Checked, workers: u8) -> Limits {
    let streams = checked.process.streams;
    // HTTP has one connection to a server for each connection of a client.
    let http = checked.http.as_ref().map_or(0, |http| 2 * http.connections_max as u64);
    let wanted = Limits {
        idle_accepted: streams.client_idle,
        idle_opened: streams.server_idle,
        keep_alive: streams.keep_alive,
        stray_bytes: checked.settings.stray_bytes,
        buffered_bytes: streams.buffered_bytes_max / usize::from(workers),
        ..Limits::default()
    };
    // If the system does not tell, the usual number is safe.
    let descriptors = net::option::raise_descriptor_limit().unwrap_or(DESCRIPTORS_USUAL);
    let limits = wanted.within(descriptors.saturating_sub(http), workers);
    if limits.connections < CONNECTIONS_FEW {
        warn!(
            "descriptors: the process may open {descriptors}, so each of {workers} workers has {} connections, {} of them for \
             clients; remedy: raise the limit (LimitNOFILE= of systemd, ulimit -Hn)",
            limits.connections, limits.accepted
        );
    }
    limits
}

fn make_workers(
    settings: &Settings,
    limits: Limits,
    count: u8,
    clock: Clock,
    beside: impl Fn(u8) -> Beside,
    control: &Control,
    identities: &Arc<Identities>,
) -> io::Result<Vec<Worker<Router>>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut workers = Vec::new();
    let listeners: Vec<_> =
        settings.listeners.iter().map(|listener| (listener.transport, listener.bind)).collect();
    for index in 0..count {
        let setup = Setup {
            index,
            // With one worker per core, each worker gets its own core; otherwise the kernel distributes them.
            pin: (usize::from(count) == cores && cores > 1).then_some(usize::from(index)),
            clock,
            listeners: &listeners,
            udp: UdpOptions { segments_max: settings.segments_max, ..UdpOptions::default() },
            spread: Spread::default(),
            late: None,
            limits,
            identities: Arc::clone(identities),
            beside: Box::new(beside(index)),
        };
        let router = Router::new(control.shared(), index, os::chance()?);
        workers.push(Worker::new(setup, router)?);
    }
    worker::introduce(&mut workers)?;
    Ok(workers)
}

/// True: this thread had more powers than these. A thread that cannot give them up serves all the same.
fn keep(powers: &[Power]) -> bool {
    privilege::keep(powers).unwrap_or_else(|error| {
        warn!("powers of root cannot be given up: {error}");
        false
    })
}

fn start(worker: Worker<Router>) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name("worker".into()).spawn(move || {
        // This thread reads what strangers send.
        keep(&[]);
        worker.run()
    })
}

/// Ends the process when one worker fails; ends well when all have stopped.
fn end_with_workers(threads: Vec<JoinHandle<io::Result<()>>>) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name("workers".into()).spawn(move || {
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")));
            if let Err(error) = ended {
                errln!("error: a worker ended: {error}");
                std::process::exit(1);
            }
        }
        Ok(())
    })
}

fn start_control_thread(
    control: Arc<Mutex<Control>>,
    clock: Clock,
    heartbeats: Option<i32>,
    tray: Tray,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    if let Some(fd) = heartbeats {
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    }
    let mut watchdog = Watchdog::of_manager();
    std::thread::Builder::new().name("control".into()).spawn(move || {
        let mut events = Events::with_capacity(4);
        loop {
            let wait = lock(&control).next_deadline().since(clock.now());
            // Interrupted or not, a turn does no harm.
            let _ = poll.poll(&mut events, Some(wait));
            let work = |now, control: &mut Control| tray.work_on(now, control);
            while lock(&control).turn(clock.now(), control::BUDGET, work) == control::BUDGET {}
            watchdog.iter_mut().for_each(Watchdog::beat);
        }
    })?;
    Ok(())
}

/// The control side in the worker's thread (SPEC A7: one thread for both ports).
struct SharedThread {
    control: Arc<Mutex<Control>>,
    /// Stands for the heartbeat port if there is none: never readable.
    source: RawFd,
    tray: Tray,
    watchdog: Option<Watchdog>,
}

impl Aside for SharedThread {
    fn source(&self) -> RawFd {
        self.source
    }

    fn turn(&mut self, now: Time, budget: usize) -> usize {
        self.watchdog.iter_mut().for_each(Watchdog::beat);
        lock(&self.control).turn(now, budget, |now, control| self.tray.work_on(now, control))
    }

    fn next_deadline(&self) -> Option<Time> {
        Some(lock(&self.control).next_deadline())
    }
}

/// The read end of a pipe that nobody writes to.
fn never_readable() -> io::Result<OwnedFd> {
    let (read, write) = io::pipe()?;
    // The write end stays open as long as the process runs: a closed end would make the pipe readable.
    std::mem::forget(write);
    Ok(read.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_models_have_as_many_workers_as_they_say() {
        assert_eq!(worker_count(Threads::One), 1);
        assert_eq!(worker_count(Threads::Two), 1);
        assert_eq!(worker_count(Threads::PerCore { workers: 3 }), 3);
        assert_eq!(worker_count(Threads::PerCore { workers: 0 }), 1);
    }
}
