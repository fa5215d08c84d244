//! The side of the running load manager: it gives its place away, or goes on as if nobody had asked.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use net::worker::Handle;
use net::{Clock, Standstill};
use os::handing::Channel;
use tracing::{info, warn};

use super::offer::Offer;
use super::successor::Successor;
use super::{expect, kind};
use crate::lb::control::Control;
use crate::lb::origin::Origin;
use crate::lb::over::Over;
use crate::lb::sockets::Sockets;
use crate::process::lock::lock;

/// How long the new process may take to make everything of the sockets. Nothing stands still meanwhile.
const PREPARES: Duration = Duration::from_secs(30);
/// How long it may take for the memories, and to begin. Messages wait so long at most.
const TAKES: Duration = Duration::from_secs(3);
/// How long a worker may take to end its turn.
const TURN: Duration = Duration::from_secs(1);
/// Time for the threads that write fault records and choices to write what they have.
const WRITERS: Duration = Duration::from_millis(300);
/// Time between two log lines about connections that are still served.
const SAY: Duration = Duration::from_secs(600);

/// All that the running load manager gives.
pub(crate) struct Giving {
    pub(crate) clock: Clock,
    pub(crate) origin: Origin,
    pub(crate) control: Arc<Mutex<Control>>,
    pub(crate) workers: Vec<Handle>,
    pub(crate) sockets: Sockets,
    pub(crate) over: Over,
    pub(crate) successor: Successor,
}

impl Giving {
    /// What is offered to whoever asks. `None`: this load manager is starting or ending.
    pub(crate) fn offer(&self) -> Option<serde_json::Value> {
        let control = lock(&self.control);
        let shared = control.shared();
        let checked = control.checked().filter(|_| !shared.terms().ending && !self.over.is_so())?;
        let keys = Arc::clone(&shared.terms().keys);
        serde_json::to_value(Offer::of(&checked, &keys, self.origin, self.clock.began_us())).ok()
    }

    /// Gives everything to the process at the other end, which has the offer. `None`: this process goes on as if nobody had
    /// asked.
    pub(crate) fn give(&self, stream: UnixStream) -> Option<Given> {
        match Channel::over(stream).and_then(|channel| self.try_give(channel)) {
            Ok(given) => Some(given),
            Err(error) => {
                warn!("hand-over: it was given up, and this load manager goes on: {error}");
                None
            }
        }
    }

    fn try_give(&self, mut channel: Channel) -> io::Result<Given> {
        let pid = channel.peer()?.pid;
        channel.set_patience(PREPARES)?;
        self.sockets.with(|names, descriptors| {
            channel.send(kind::SOCKETS, &serde_json::to_vec(names)?, descriptors)
        })?;
        let told = |error: io::Error, what: &str| io::Error::new(error.kind(), format!("{what}: {error}"));
        expect(&mut channel, kind::READY)
            .map_err(|error| told(error, "the other process could not start"))?;
        let began = Instant::now();
        channel.set_patience(TAKES)?;
        let standstill = Standstill::of(&self.workers, TURN)?;
        let mut control = lock(&self.control);
        let now = self.clock.now();
        let (memories, amount) = control.memories(now);
        channel.send(kind::MEMORIES, &memories, &[])?;
        for part in &standstill.parts {
            channel.send(kind::WORKER, &part.bytes, &part.descriptors)?;
        }
        expect(&mut channel, kind::TAKEN)
            .map_err(|error| told(error, "the other process did not take it"))?;
        channel.send(kind::GO, b"", &[])?;
        if let Err(error) = expect(&mut channel, kind::SERVING) {
            // Never both: a process that is only slow must not begin later.
            kill(pid);
            return Err(told(error, "the other process did not begin, and was killed"));
        }
        self.over.set();
        control.let_go();
        drop(control);
        self.sockets.close();
        let connections: usize = standstill.parts.iter().map(|part| part.descriptors.len()).sum();
        let lost: usize = standstill.parts.iter().map(|part| part.left_out).sum();
        info!(
            "hand-over: process {pid} serves from now on; it has {} calls, {} held requests, {} registrations in progress and \
             {connections} connections; messages waited for {} ms",
            amount.calls,
            amount.held,
            amount.registrations,
            began.elapsed().as_millis()
        );
        if lost > 0 {
            warn!(
                "hand-over: {lost} connections are closed, because this process had no descriptors left for them"
            );
        }
        os::notify::handed_to(pid);
        Ok(Given(standstill))
    }
}

/// Another process has the place of this one.
pub(crate) struct Given(Standstill);

impl Given {
    /// Ends this process when the last of its connections with TLS has ended.
    pub(crate) fn end(self) -> ! {
        let ending = self.0.end();
        if !ending.wait(TURN) {
            info!("hand-over: this process still does the TLS of connections that the other process serves");
        }
        while !ending.wait(SAY) {
            info!("hand-over: connections with TLS are still open here");
        }
        info!("hand-over: this process ends");
        std::thread::sleep(WRITERS);
        std::process::exit(0)
    }
}

fn kill(pid: u32) {
    // A process of another namespace has no number here, and zero would be this process and all that were started with it.
    if let Ok(pid @ 2..) = libc::pid_t::try_from(pid) {
        // SAFETY: numbers alone. The process is the peer of a connection that is still open, so the number is still its own.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}
