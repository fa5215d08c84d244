//! A connection of a proxy that has not said yet who is behind it.

use std::net::SocketAddr;

use base::Time;
use sip::Transport;

use crate::tcp::Stream;

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Introducing {
    pub(super) stream: Stream,
    pub(super) place: (u8, Transport),
    pub(super) proxy: SocketAddr,
    pub(super) since: Time,
}
