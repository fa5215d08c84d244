//! The callers of the demo on their thread.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use net::worker::{Handle, Setup, Worker};
use net::{Clock, UdpOptions};
use sip::Transport;

use super::callers::{Callers, Pacing, Tally};

/// See the head of this module.
pub(crate) struct Running {
    pub(crate) tally: Arc<Tally>,
    handle: Handle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Calls from `own` to `to` begin at once.
    pub(crate) fn start(pacing: Pacing, own: SocketAddr, to: SocketAddr) -> io::Result<Running> {
        let clock = Clock::start();
        let run = u64::from(std::process::id());
        let callers = Callers::new(pacing, own, to, run, clock.now());
        let tally = callers.tally();
        let listeners = [(Transport::Udp, own)];
        let setup = Setup {
            index: 0,
            pin: None,
            clock,
            listeners: &listeners,
            given: Vec::new(),
            udp: UdpOptions::default(),
            limits: net::Limits::default(),
            identities: Arc::default(),
            spread: net::Spread::default(),
            late: None,
            beside: Box::new(()),
        };
        let worker = Worker::new(setup, callers)?;
        let handle = worker.handle();
        let thread = std::thread::Builder::new().name("callers".into()).spawn(move || worker.run())?;
        Ok(Running { tally, handle, thread: Some(thread) })
    }

    /// Ends the thread; the counts stay.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        self.handle.stop();
        match self.thread.take() {
            Some(thread) => thread.join().map_err(|_| io::Error::other("the callers failed"))?,
            None => Ok(()),
        }
    }
}
