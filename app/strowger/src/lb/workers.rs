//! The workers of a load manager: how many there are, what each is made from, and the threads that they run in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use config::Checked;
use lb::settings::{Settings, Threads};
use lb::way::router::Router;
use net::worker::{self, Setup, Worker};
use net::{Clock, Identities, Limits, Spread, UdpOptions};
use os::privilege::{self, Power};
use sip::Transport;
use tracing::warn;

use super::beside::Beside;
use super::control::Control;

/// The usual number of descriptors of a process (getrlimit(2)).
const DESCRIPTORS_USUAL: u64 = 1024;

/// If each worker may have fewer connections than this, the log says so at start.
const CONNECTIONS_FEW: usize = 10_000;

pub(crate) fn worker_count(threads: Threads) -> u8 {
    match threads {
        Threads::One | Threads::Two => 1,
        Threads::PerCore { workers } => workers.max(1),
    }
}

/// Bounds on the connections of each worker: the configuration's, within the process's number of descriptors.
pub(super) fn stream_limits(checked: &Checked, workers: u8) -> Limits {
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

/// Sockets that another process has given are taken, the others are opened.
pub(super) fn make_workers(
    settings: &Settings,
    limits: Limits,
    count: u8,
    clock: Clock,
    beside: impl Fn(u8) -> Beside,
    control: &Control,
    identities: &Arc<Identities>,
) -> io::Result<Vec<Worker<Router>>> {
    let sockets = control.sockets();
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
            given: listeners.iter().map(|listener| sockets.take(&name_of(*listener, index))).collect(),
            udp: UdpOptions { segments_max: settings.segments_max, ..UdpOptions::default() },
            spread: Spread::default(),
            late: None,
            limits,
            identities: Arc::clone(identities),
            beside: Box::new(beside(index)),
        };
        let router = Router::new(control.shared(), index, os::chance()?);
        let worker = Worker::new(setup, router)?;
        for (listener, socket) in worker.sockets()? {
            sockets.keep(&name_of(listeners[usize::from(listener)], index), socket);
        }
        workers.push(worker);
    }
    worker::introduce(&mut workers)?;
    Ok(workers)
}

/// The name of a worker's socket, as the next process asks for it.
pub(super) fn name_of((transport, bind): (Transport, SocketAddr), worker: u8) -> String {
    format!("{}:{bind} of worker {worker}", transport.word())
}

/// True: this thread had more powers than these. A thread that cannot give them up serves all the same.
pub(super) fn keep(powers: &[Power]) -> bool {
    privilege::keep(powers).unwrap_or_else(|error| {
        warn!("powers of root cannot be given up: {error}");
        false
    })
}

pub(super) fn start(worker: Worker<Router>) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name("worker".into()).spawn(move || {
        // This thread reads what strangers send.
        keep(&[]);
        worker.run()
    })
}

/// Ends the process when one worker fails; ends well when all have stopped.
pub(super) fn end_with_workers(
    threads: Vec<JoinHandle<io::Result<()>>>,
) -> io::Result<JoinHandle<io::Result<()>>> {
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
