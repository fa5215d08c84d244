//! The server's unanswered BYEs on streams, by the far end of the stream: when a connection is lost, its BYEs are found without
//! a search through all calls.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sip::Target;

use super::call::Call;

/// Slots of calls in the book. A BYE is listed under two addresses at most: the far end of the call's connection, and the
/// address to which a new connection would be opened.
#[derive(Debug, Default)]
pub(super) struct ByesOnStreams(BTreeSet<(SocketAddr, u64)>);

impl ByesOnStreams {
    pub(super) fn add(&mut self, slot: u64, call: &Call) {
        self.0.extend(far_ends(call).map(|end| (end, slot)));
    }

    /// The BYE needs no connection any more. A BYE over UDP is not listed, and nothing happens.
    pub(super) fn remove(&mut self, slot: u64, call: &Call) {
        for end in far_ends(call) {
            self.0.remove(&(end, slot));
        }
    }

    pub(super) fn at(&self, end: SocketAddr) -> impl Iterator<Item = u64> {
        self.0.range((end, 0)..=(end, u64::MAX)).map(|(_, slot)| *slot)
    }
}

fn far_ends(call: &Call) -> impl Iterator<Item = SocketAddr> + use<> {
    let ends = match call.target {
        Target::Datagram { .. } => [None, None],
        Target::Stream { to, .. } => [Some(to), None],
        Target::Connection { to, .. } => [Some(to), Some(call.remote)],
    };
    ends.into_iter().flatten()
}
