//! What an engine is made from.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::Duration;
use sip::headers::address;
use sip::{Host, SIP_PORT, SIPS_PORT, Target, Transport, Uri};
use transaction::Timers;

use crate::application::Application;
use crate::record::Mode;
use crate::secret::FarmSecret;

/// A listener as other parties see it.
#[derive(Clone, Debug)]
pub struct Address {
    pub transport: Transport,
    /// `host:port` for Via and Contact: the same at all engines that share an address.
    pub sent_by: Box<[u8]>,
    /// Whether the listener has IPv4 addresses: a message to such an address leaves there.
    pub is_ipv4: bool,
}

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the engine is for new calls.
    pub mode: Mode,
    pub secret: FarmSecret,
    /// The number that the store gave to this start of the engine.
    pub engine: u32,
    /// This worker, from 0, and how many there are.
    pub worker: u8,
    pub workers: u8,
    /// In the order of the worker's listeners.
    pub listeners: Vec<Address>,
    /// Where letters of other engines come in: `host:port`.
    pub letters: Box<[u8]>,
    /// What becomes of calls.
    pub application: Arc<dyn Application>,
    /// SIP URIs that a new call goes to, all at the same time. A URI without a user gets the user of the request.
    pub to: Vec<Box<[u8]>>,
    /// The load manager that requests outside a dialog leave by, and those of a dialog without a route set: the value of a Route.
    pub route: Option<Box<[u8]>>,
    /// Addresses of host names, in lower case. The names of the configuration are looked up at start.
    pub hosts: HashMap<Box<[u8]>, IpAddr>,
    pub timers: Timers,
    /// How long a call may ring (RFC 3261 §16.6, timer C).
    pub ring_max: Duration,
    /// How long a call may be up before both sides are asked whether they still have it.
    pub silence_max: Duration,
    pub bounds: Bounds,
}

/// Bounds of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Calls whose record is kept in memory, besides in the store.
    pub calls_max: usize,
    /// Requests outside dialogs that wait for their answer.
    pub requests_max: usize,
    /// Calls of one source that are not answered yet; more are refused without a record.
    pub ringing_per_source: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { calls_max: 200_000, requests_max: 20_000, ringing_per_source: 10_000 }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) to: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) listener: u8,
}

impl Hop {
    pub(crate) fn target(self) -> Target {
        let Hop { to, transport, listener } = self;
        match transport.is_reliable() {
            true => Target::Stream { listener, to },
            false => Target::Datagram { listener, to },
        }
    }
}

impl Settings {
    /// Where a request with these routes and this target goes: to the first route, else to the target (RFC 3261 §8.1.2). `None`:
    /// the host has no known address, or no listener speaks its transport.
    pub(crate) fn hop(&self, routes: &[Box<[u8]>], target: &[u8]) -> Option<Hop> {
        match routes.first() {
            Some(route) => self.hop_to(address::first(route).ok()?.uri),
            None => self.hop_to(target),
        }
    }

    pub(crate) fn hop_to(&self, uri: &[u8]) -> Option<Hop> {
        let uri = Uri::parse(uri).ok()?;
        let ip = match uri.host {
            Host::Ip(ip) => ip,
            Host::Name(name) => *self.hosts.get(&name.to_ascii_lowercase()[..])?,
        };
        let named = uri.parameter(b"transport").unwrap_or_default();
        let is = |word: &str| named.eq_ignore_ascii_case(word.as_bytes());
        let transport = match () {
            () if uri.secure || is("tls") => Transport::Tls,
            () if is("tcp") => Transport::Tcp,
            () if is("ws") => Transport::Ws,
            () => Transport::Udp,
        };
        let port = uri.port.unwrap_or(if transport.is_secure() { SIPS_PORT } else { SIP_PORT });
        let fits = |own: &Address| own.transport == transport && own.is_ipv4 == ip.is_ipv4();
        let listener = self.listeners.iter().position(fits)?;
        Some(Hop { to: SocketAddr::new(ip, port), transport, listener: listener as u8 })
    }

    /// The worker that has the calls of a key: the same for all calls of one Call-ID, so that an INVITE that comes on two ways
    /// is noticed.
    pub(crate) fn worker_of(&self, key: state::Key) -> u8 {
        key.partition() % self.workers.max(1)
    }

    /// Whether a URI names a listener.
    pub(crate) fn is_own(&self, uri: &Uri<'_>) -> bool {
        let is_here = |own: &Address| {
            let text = [b"sip:", &own.sent_by[..]].concat();
            let default = if own.transport.is_secure() { SIPS_PORT } else { SIP_PORT };
            Uri::parse(&text).is_ok_and(|own| {
                let same_host = match (own.host, uri.host) {
                    (Host::Ip(own), Host::Ip(other)) => own == other,
                    (Host::Name(own), Host::Name(other)) => own.eq_ignore_ascii_case(other),
                    _ => false,
                };
                same_host && own.port.unwrap_or(default) == uri.port.unwrap_or(default)
            })
        };
        self.listeners.iter().any(is_here)
    }

    pub(crate) fn address(&self, listener: u8) -> Option<&Address> {
        self.listeners.get(usize::from(listener))
    }
}
