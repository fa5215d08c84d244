//! The start of a load manager: makes the control side and the workers, starts them, and ends them in order.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use base::Time;
use config::{Checked, Faults, NewCalls, Problems};
use fcaps::{FaultLog, Output};
use lb::settings::{Listener, Settings, Threads};
use lb::shared::Shared;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use net::Clock;
use os::notify::{self, Watchdog};
use os::privilege::Power;

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
use crate::lb::hand_over::{Giving, Successor, Taking};
use crate::lb::memory_file;
use crate::lb::names::Names;
use crate::lb::origin::Origin;
use crate::lb::over::Over;
use crate::lb::peers::Peers;
use crate::lb::sockets::Sockets;
use crate::lb::workers::{self, end_with_workers, keep, make_workers, name_of, stream_limits, worker_count};
use crate::process::lock::lock;
use crate::process::signals::Signals;
use net::worker::{Aside, Handle, Worker};
use tracing::{error, info, warn};

/// Time between two looks at what is left while the load manager ends.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);
/// A wait without end, in steps. After each step, the log says which certificates have ended.
const LONG: std::time::Duration = std::time::Duration::from_secs(3600);

/// Time for the workers to end, and for the memory file.
const END: std::time::Duration = std::time::Duration::from_secs(10);

/// Reads the configuration again, as at the start.
pub(crate) type Again<'a> = dyn Fn() -> Result<Checked, Problems> + 'a;

/// Runs until it is told to stop. `again` reads the configuration again, for certificates that were changed. `before`: the
/// control socket of the load manager whose place this one takes.
pub(crate) fn serve(mut checked: Checked, again: &Again<'_>, before: Option<&Path>) -> io::Result<()> {
    let signals = Signals::hold(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP]);
    // This comes before any thread is made: a thread has the powers of its maker.
    let of_root = keep(&[Power::WriteAnyFile, Power::ReadAnyFile, Power::BindAnyPort]);
    let (mut taking, sockets) = match before.map(|path| ask(path, &mut checked)).transpose()? {
        Some((taking, sockets)) => (Some(taking), sockets),
        None => (None, Sockets::default()),
    };
    let clock = taking.as_ref().map_or_else(|| Ok(Clock::start()), Taking::clock)?;
    let origin = taking.as_ref().map_or_else(|| Origin::fresh(clock.now()), |taking| Ok(taking.origin()))?;
    let settings = checked.settings.clone();
    let count = worker_count(settings.threads);
    crate::process::ports::check(&to_open(&settings, &sockets))?;
    let faults = FaultLog::start(match checked.process.faults.clone() {
        Faults::Off => Output::Off,
        Faults::Stderr => Output::Stderr,
        Faults::File(path) => Output::File(path),
    })?;
    let mut control = Control::begin(clock.now(), settings.clone(), count, origin, &sockets)?;
    let over = control.over.clone();
    control.measure(settings.measures.clone(), settings.keys.heartbeat.clone(), clock)?;
    let by_name = Names::start(clock, &checked, Arc::clone(&control.shared().names))?;
    let resolver = by_name.resolver();
    control.find_by(by_name);
    let limits = stream_limits(&checked, count);
    let certificates = Certificates::new(checked.process.tls.clone());
    let peers = Peers::open(control.shared(), os::chance()?.next_u64(), &sockets)?;
    let beside = |index| Beside {
        faults: faults.clone(),
        teller: peers.as_ref().map(|peers| peers.teller(index)),
        resolver: resolver.clone(),
        notices: Vec::new(),
    };
    let identities = &certificates.identities;
    let mut workers = make_workers(&settings, limits, count, clock, beside, &control, identities)?;
    workers.iter_mut().for_each(|worker| worker.trust_proxies(checked.process.proxies.clone()));
    let handles: Vec<Handle> = workers.iter().map(Worker::handle).collect();
    let heartbeat_fd = control.heartbeat_fd();
    let choices = ChoiceLog::new(control.shared(), clock);
    choices.write_to(&checked.choices)?;
    let open_http = |http: config::Http| {
        let shared = Shared::clone(&control.shared());
        Front::open(http, shared, clock, os::chance()?, &sockets)
    };
    let converged = checked.http.clone().map(open_http).transpose()?;
    let api = match &checked.process.api {
        None => None,
        Some(api) => {
            let listener = sockets.take_or(&format!("API at {}", api.listen), || http::listen(api.listen))?;
            Some((listener, api.open_metrics))
        }
    };
    let path = &checked.process.control;
    let listener = sockets
        .take_or(&format!("control socket {}", path.display()), || os::unix::listen(path))
        .map_err(|error| socket::explained(path, &error))?;
    // Everything is open. A reload reads files, and may have the performance server listen.
    keep(&[Power::ReadAnyFile, Power::BindAnyPort]);
    if of_root {
        info!(
            "process started by root: it keeps only the powers to read files and to listen below port 1024"
        );
    }
    // With the powers that the process ends with: a file that could not be written then is an error now.
    if let Some(path) = &checked.memory_file {
        memory_file::restore(path, &control.shared(), clock.now())?;
    }
    control.run_as(checked.clone());
    // The load manager whose place this one takes serves meanwhile, and gives the servers of its names.
    if !first_answers::wait(&mut control, clock) && taking.is_none() {
        warn!("names of servers: no answer yet; calls for them are refused until it comes");
    }
    if let Some(taking) = &mut taking {
        taking.take(&mut control, &mut workers, clock)?;
        sockets.close_unwanted();
    }
    let shared = control.shared();
    let control = Arc::new(Mutex::new(control));
    let giving = Giving {
        clock,
        origin,
        control: Arc::clone(&control),
        workers: handles.clone(),
        sockets,
        over: over.clone(),
        successor: Successor::of_this(path, over.clone())?,
    };
    let host = Arc::new(Host {
        clock,
        started: clock.now(),
        shared,
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
        converged: converged.as_ref().map(|(front, _)| Arc::clone(front)),
        peers: peers.clone(),
        giving: Some(giving),
    });
    let (desk, tray) = ctl::desk::open(host);
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
        start_control_thread(Arc::clone(&control), clock, heartbeat_fd, tray, over.clone())?;
    }
    let threads: Vec<JoinHandle<io::Result<()>>> =
        workers.into_iter().map(workers::start).collect::<io::Result<_>>()?;
    if let Some(taking) = taking {
        taking.serves(path);
    }
    let _socket = ControlSocket::serve_at(listener, path, Arc::new(desk.clone()))?;
    if let Some(peers) = &peers {
        peers.start(clock, over.clone())?;
    }
    if let Some((listener, open_metrics)) = api {
        let certificate = Arc::clone(&desk.host().https);
        let scheme = http::certificate::scheme(certificate.load().as_deref());
        let address =
            http::serve_at(listener, open_metrics, certificate, Arc::new(desk.clone()), over.clone())?;
        info!("HTTP API at {scheme}://{address}/");
    }
    announce(&settings, count, path);
    if let Some((front, listener)) = converged {
        info!("HTTP to the servers at http://{}/", front.address());
        front.start(listener, over.clone())?;
    }
    // A worker that ends by itself has failed. The whole process then ends, instead of serving half of its sockets.
    let ended = end_with_workers(threads)?;
    notify::ready("serving");
    wait_for_the_end(&signals, &control, &desk, again);
    if over.is_so() {
        // Another process serves, and has the memories.
        std::process::exit(0);
    }
    for handle in &handles {
        handle.stop();
    }
    drop(silent);
    ended.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))?;
    if over.is_so() {
        std::process::exit(0);
    }
    // The workers have ended, so nothing changes the memory any more.
    let control = lock(&control);
    if let Some(path) = control.checked().and_then(|checked| checked.memory_file.clone()) {
        memory_file::write(&path, &control.shared(), clock.now());
    }
    Ok(())
}

/// Asks the load manager at this control socket for its place.
fn ask(path: &Path, checked: &mut Checked) -> io::Result<(Taking, Sockets)> {
    let named = |what: String| {
        io::Error::other(format!("cannot take over from the load manager at {}: {what}", path.display()))
    };
    let reached = |error: io::Error| {
        named(format!(
            "{error}\n  remedy: {}; without --take-over this one starts alone",
            socket::remedy(&error)
        ))
    };
    let (stream, answer) = socket::ask_and_stay(path, socket::TAKE_OVER).map_err(reached)?;
    let answer =
        answer.map_err(|refused| named(format!("{}\n  remedy: {}", refused.what, refused.remedy)))?;
    Taking::begin(stream, answer.document, checked).map_err(|error| named(error.to_string()))
}

/// The listeners that no other process has given.
fn to_open(settings: &Settings, sockets: &Sockets) -> Vec<Listener> {
    let given = |listener: &&Listener| !sockets.has(&name_of((listener.transport, listener.bind), 0));
    settings.listeners.iter().filter(given).cloned().collect()
}

/// SIGHUP reloads. At SIGTERM, known calls go on for a time; SIGINT or a second SIGTERM ends at once.
fn wait_for_the_end(signals: &Signals, control: &Mutex<Control>, desk: &Desk, again: &Again<'_>) {
    let clock = desk.host().clock;
    loop {
        match signals.wait(LONG) {
            Some(libc::SIGHUP) if desk.host().is_over() => {}
            Some(_) if desk.host().is_over() => return,
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
            None if desk.host().is_over() => return,
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

fn start_control_thread(
    control: Arc<Mutex<Control>>,
    clock: Clock,
    heartbeats: Option<i32>,
    tray: Tray,
    over: Over,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    if let Some(fd) = heartbeats {
        poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    }
    let mut watchdog = Watchdog::of_manager();
    std::thread::Builder::new().name("control".into()).spawn(move || {
        let mut events = Events::with_capacity(4);
        while !over.is_so() {
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
