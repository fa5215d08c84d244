//! A connection of a proxy that has not said yet who is behind it; also as values for the process that goes on with it (see
//! [`base::fields`]). What came of its header is still in the socket, so nothing of that is among them.

use std::net::SocketAddr;

use base::Time;
use base::fields::{Reader, Writer};
use sip::Transport;
use turn::stored::{transport_number, transport_of};

use crate::tcp::Stream;

mod name {
    pub(super) const LISTENER: u8 = 1;
    pub(super) const TRANSPORT: u8 = 2;
    pub(super) const PROXY: u8 = 3;
    pub(super) const SINCE: u8 = 4;
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Introducing {
    pub(super) stream: Stream,
    pub(super) place: (u8, Transport),
    pub(super) proxy: SocketAddr,
    pub(super) since: Time,
}

impl Introducing {
    pub(super) fn write(&self, into: &mut Writer) {
        into.number(name::LISTENER, self.place.0.into());
        into.number(name::TRANSPORT, transport_number(self.place.1));
        into.address(name::PROXY, self.proxy);
        into.time(name::SINCE, self.since);
    }

    /// `None`: the bytes are no such connection.
    pub(super) fn read(from: Reader<'_>, stream: Stream, now: Time) -> Option<Introducing> {
        let place = (from.small(name::LISTENER)?, transport_of(from.number(name::TRANSPORT)?)?);
        let (proxy, since) = (from.address(name::PROXY)?, from.time(name::SINCE).min(now));
        Some(Introducing { stream, place, proxy, since })
    }
}
