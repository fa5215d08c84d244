//! The front for HTTP of converged sessions (SPEC A13): one thread with a runtime of its own, so that nothing that comes
//! here can hold a worker of SIP up. Which server a request goes to, [`lb::http`] says; here are the connections, both ways.
//!
//! Bounded: connections of clients at once, the head and the body of a request, each wait, idle connections to servers.
//! Bodies are passed on as they come, and the one side waits for the other.

mod body;
pub(crate) mod counters;
mod head;
mod patient;
mod pool;
mod request;
mod tunnel;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

use counters::{Counter, FrontCounters};
use patient::Patient;
use pool::Pool;
use request::Slot;

/// A server whose HTTP refused a connection is asked again after this: its SIP may live without.
const REST: Duration = Duration::from_secs(1);
/// Between two looks at connections and servers that rest.
const SWEEP: Duration = Duration::from_secs(1);

/// A third of what a worker gets, where both want all of a core.
const NICE: libc::c_int = 5;

pub(crate) struct Front {
    address: SocketAddr,
    clock: Clock,
    /// Under the terms that were published last.
    shared: Mutex<Shared>,
    settings: ArcSwap<Http>,
    chooser: Chooser,
    chance: Mutex<Chance>,
    pool: Pool,
    /// Servers whose HTTP did not take a connection, and until when they are passed over.
    resting: Mutex<HashMap<ServerId, Instant>>,
    pub(crate) counters: FrontCounters,
}

impl Front {
    /// Listens, and serves on a thread of its own until the process ends.
    pub(crate) fn serve(http: Http, shared: Shared, clock: Clock, chance: Chance) -> io::Result<Arc<Front>> {
        let listen = http.listen;
        let named = |error: io::Error| {
            let remedy = "another program may have that port (`ss -lntp`); or set http.listen otherwise";
            let what = format!("cannot listen for HTTP on {listen}: {error}\n  remedy: {remedy}");
            io::Error::new(error.kind(), what)
        };
        let listener = TcpListener::bind(listen).map_err(named)?;
        listener.set_nonblocking(true)?;
        let connections_max = http.connections_max;
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let served = Arc::clone(&front);
        std::thread::Builder::new().name("converged".into()).spawn(move || {
            give_way();
            runtime.block_on(served.accept(listener, connections_max));
        })?;
        Ok(front)
    }

    /// Other settings, for requests that come from now on. Listener and bound of connections stay.
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
                // Out of descriptors, most likely: no use in asking again at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            self.counters.add(Counter::Connections);
            // Answers are passed on as they come.
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
                // A client that breaks off is its own affair.
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

    /// What is shared, under the terms of this moment.
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

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Where a core is short, workers come before this thread: a page may wait, a call that is not answered is made again.
fn give_way() {
    // SAFETY: no memory is touched. With 0 Linux means the calling thread alone (setpriority(2)); a refusal changes nothing.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
