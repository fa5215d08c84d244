//! HTTP of converged sessions (SPEC A13): one thread with a runtime of its own, so that no HTTP request can delay a worker
//! of SIP. [`lb::http`] chooses the server of a request; this module has the connections on both sides.
//!
//! Bounds: connections of clients at once, the head and the body of a request, each wait, idle connections to servers.
//! Bodies are forwarded as they come; each side waits for the other.

mod body;
pub(crate) mod counters;
mod head;
mod patient;
mod pool;
mod request;
mod slot;
mod tunnel;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use base::Chance;
use config::Http;
use hyper_util::rt::{TokioIo, TokioTimer};
use lb::farm::server::ServerId;
use lb::http::Chooser;
use lb::shared::Shared;
use net::Clock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::lb::over::Over;
use crate::lb::sockets::Sockets;
use crate::process::lock::lock;
use counters::{Counter, FrontCounters};
use patient::Patient;
use pool::Pool;
use slot::Slot;

/// A server whose HTTP port refused a connection is asked again after this time. Its SIP may work all the same.
const REST: Duration = Duration::from_secs(1);
/// Time between two looks at connections and resting servers.
const SWEEP: Duration = Duration::from_secs(1);

/// A third of a worker's share, when both want a whole core.
const NICE: libc::c_int = 5;

pub(crate) struct Front {
    address: SocketAddr,
    clock: Clock,
    /// The chooser, with the terms that were published last.
    shared: Mutex<Shared>,
    settings: ArcSwap<Http>,
    chooser: Chooser,
    chance: Mutex<Chance>,
    pool: Pool,
    /// Servers whose HTTP port did not accept a connection, and until when they are passed over.
    resting: Mutex<HashMap<ServerId, Instant>>,
    pub(crate) counters: FrontCounters,
}

impl Front {
    /// Listens, and serves on a thread of its own until the process ends.
    #[cfg(test)]
    pub(crate) fn serve(http: Http, shared: Shared, clock: Clock, chance: Chance) -> io::Result<Arc<Front>> {
        let (front, listener) = Front::open(http, shared, clock, chance, &Sockets::default())?;
        front.start(listener, Over::default())?;
        Ok(front)
    }

    /// Listens, and serves nobody yet.
    pub(crate) fn open(
        http: Http,
        shared: Shared,
        clock: Clock,
        chance: Chance,
        sockets: &Sockets,
    ) -> io::Result<(Arc<Front>, TcpListener)> {
        let listen = http.listen;
        let named = |error: io::Error| {
            let remedy =
                "another program may use that port (`ss -lntp` shows it): stop it, or change http.listen";
            let what = format!("cannot listen for HTTP on {listen}: {error}\n  remedy: {remedy}");
            io::Error::new(error.kind(), what)
        };
        let name = format!("HTTP of converged sessions at {listen}");
        let listener: TcpListener = sockets.take_or(&name, || TcpListener::bind(listen).map_err(named))?;
        listener.set_nonblocking(true)?;
        let front = Arc::new(Front {
            address: listener.local_addr()?,
            clock,
            shared: Mutex::new(shared),
            settings: ArcSwap::from_pointee(http),
            chooser: Chooser::default(),
            chance: Mutex::new(chance),
            pool: Pool::default(),
            resting: Mutex::default(),
            counters: FrontCounters::default(),
        });
        Ok((front, listener))
    }

    /// Serves on a thread of its own, until another process does.
    pub(crate) fn start(self: &Arc<Front>, listener: TcpListener, over: Over) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let connections_max = self.settings.load().connections_max;
        let served = Arc::clone(self);
        std::thread::Builder::new().name("converged".into()).spawn(move || {
            give_way();
            runtime.block_on(over.or(served.accept(listener, connections_max)));
        })?;
        Ok(())
    }

    /// Other settings, for requests from now on. The listener and the bound on connections stay.
    pub(crate) fn set(&self, http: Http) {
        self.settings.store(Arc::new(http));
    }

    async fn accept(self: Arc<Front>, listener: TcpListener, connections_max: usize) {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let places = Arc::new(Semaphore::new(connections_max));
        tokio::spawn(Arc::clone(&self).sweep());
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, client)) = listener.accept().await else {
                // Most likely the process has no descriptors left: asking again at once is no use.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            self.counters.add(Counter::Connections);
            // Answers are forwarded as they come.
            let _ = stream.set_nodelay(true);
            let (front, settings, place) = (Arc::clone(&self), self.settings.load_full(), Slot::new(place));
            tokio::spawn(async move {
                let stream = Patient::of_client(stream, settings.idle, Arc::clone(&place));
                let service = hyper::service::service_fn(|asked| {
                    request::answer(Arc::clone(&front), client, Arc::clone(&place), asked)
                });
                let ended = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(settings.head_time)
                    .max_header_size(settings.head_bytes_max)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
                // A client that breaks off harms nobody else.
                if ended.is_err_and(|error| error.is_timeout()) {
                    front.counters.add(Counter::SlowClients);
                }
            });
        }
    }

    async fn sweep(self: Arc<Front>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            self.pool.sweep(now);
            lock(&self.resting).retain(|_, until| *until > now);
        }
    }

    /// The shared state, with the terms of this moment.
    fn terms(&self) -> Shared {
        let mut shared = lock(&self.shared);
        if let Some(renewed) = shared.renewed() {
            *shared = renewed;
        }
        shared.clone()
    }

    fn rest(&self, server: ServerId) {
        lock(&self.resting).insert(server, Instant::now() + REST);
    }

    fn resting(&self) -> Vec<ServerId> {
        let now = Instant::now();
        lock(&self.resting).iter().filter(|(_, until)| **until > now).map(|(server, _)| *server).collect()
    }

    fn chance(&self) -> MutexGuard<'_, Chance> {
        lock(&self.chance)
    }

    /// The address of the listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// If cores are short, workers run before this thread: a web page may wait, but a call without an answer is lost.
fn give_way() {
    // SAFETY: no memory is touched. 0 means the calling thread alone on Linux (setpriority(2)); a refusal changes nothing.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

#[cfg(test)]
mod tests;
