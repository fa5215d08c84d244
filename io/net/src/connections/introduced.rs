//! Connections that proxies for TCP have opened for their clients: each waits, bounded in number and time, until its header of the PROXY
//! protocol has come, and is then admitted as the client's own. The header is looked at in the socket and taken from there alone, so what
//! follows it is left to TLS or to the cutting of messages.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use base::{Network, Time};
use mio::Token;
use sip::Transport;

use super::introducing::Introducing;
use super::slots::Key;
use super::{Connections, INTRODUCED_TOKENS};
use crate::proxy_protocol::{self, HEADER_MAX, Introduction};
use crate::tcp::Stream;

impl Connections {
    /// `proxies`: by the index of the listener, whose connections begin with a header of the PROXY protocol. Any other
    /// connection has none.
    pub fn trust_proxies(&mut self, proxies: Vec<Vec<Network>>) {
        self.proxies = proxies;
    }

    pub(super) fn is_proxy(&self, listener: u8, ip: IpAddr) -> bool {
        let of_listener = self.proxies.get(usize::from(listener));
        of_listener.is_some_and(|proxies| proxies.iter().any(|network| network.contains(ip)))
    }

    pub(super) fn await_introduction(
        &mut self,
        stream: Stream,
        place: (u8, Transport),
        proxy: SocketAddr,
        now: Time,
    ) {
        let waiting = Introducing { stream, place, proxy, since: now };
        if self.wait_for_introduction(waiting).is_none() {
            self.counters.connections_refused_handshakes_full.add(1);
        }
    }

    /// `None`: no more may wait.
    pub(super) fn wait_for_introduction(&mut self, mut waiting: Introducing) -> Option<()> {
        let key = self.introducing.vacant()?;
        let token = Token(INTRODUCED_TOKENS | (key.generation as usize) << 16 | usize::from(key.slot));
        if waiting.stream.register(&self.registry, token).is_ok() {
            self.introducing.insert(key, waiting);
        }
        Some(())
    }

    /// More of a header may have come.
    pub(super) fn hear_introduction(&mut self, key: Key, now: Time) {
        let mut bytes = [0; HEADER_MAX];
        let Some(waiting) = self.introducing.get_mut(key) else { return };
        let heard = match waiting.stream.peek(&mut bytes) {
            // The proxy has looked whether somebody is here, or its client is gone.
            Ok(0) => return drop(self.introducing.remove(key)),
            Ok(length) => proxy_protocol::read(&bytes[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => Introduction::Wrong,
        };
        let (length, client) = match heard {
            Introduction::Partial => return,
            Introduction::Of { length, client } => (length, client),
            Introduction::Wrong => (0, None),
        };
        let Some(mut waiting) = self.introducing.remove(key) else { return };
        let taken = length > 0 && waiting.stream.skip(&mut bytes[..length]);
        if !taken || waiting.stream.deregister(&self.registry).is_err() {
            return self.counters.introductions_failed.add(1);
        }
        self.admit(waiting.stream, waiting.place, client.unwrap_or(waiting.proxy), now);
    }

    pub(super) fn end_slow_introductions(&mut self, now: Time) {
        if self.introducing.len() == 0 {
            return;
        }
        let is_slow = |waiting: &Introducing| now.since(waiting.since) >= self.limits.handshake_time;
        let slow: Vec<Key> =
            self.introducing.iter().filter(|(_, waiting)| is_slow(waiting)).map(|(key, _)| key).collect();
        for key in slow {
            self.introducing.remove(key);
            self.counters.introductions_slow.add(1);
        }
    }
}
