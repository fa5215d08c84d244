//! What a worker is made from, and how others reach it while it runs.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::Duration;
use mio::Waker;
use sip::Transport;
use turn::Core;

use super::asked::Asked;
use super::beside::Beside;
use crate::{Clock, Counters, Identities, Limits, Spread, UdpOptions};

/// What a worker is made from.
pub struct Setup<'a, C: Core> {
    /// Number of this worker, from 0, as in [`sip::ConnectionId`].
    pub index: u8,
    /// Processor to stay on. `None`: the kernel decides.
    pub pin: Option<usize>,
    pub clock: Clock,
    /// Transport and address of each listener, in the order of the configuration.
    pub listeners: &'a [(Transport, SocketAddr)],
    /// The sockets of these listeners that another process gave for this worker, in the same order; the others are opened.
    /// Empty: all are opened.
    pub given: Vec<Option<OwnedFd>>,
    pub udp: UdpOptions,
    pub limits: Limits,
    /// Certificates of TLS listeners; empty without such listeners.
    pub identities: Arc<Identities>,
    pub spread: Spread,
    /// What a turn that took longer than this wanted to send is thrown away: the process stood still, and others may have done
    /// its work. `None`: everything is sent.
    pub late: Option<Duration>,
    /// Who answers the core's questions and records its events.
    pub beside: Box<dyn Beside<C>>,
}

/// The way for others to reach a running worker.
#[derive(Clone)]
pub struct Handle {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) wake: Arc<Waker>,
    pub(super) counters: Arc<Counters>,
    pub(super) asked: Arc<Asked>,
}

impl Handle {
    /// The worker ends after its present turn.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // This fails only if the worker is gone, and then there is nobody to wake.
        let _ = self.wake.wake();
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
