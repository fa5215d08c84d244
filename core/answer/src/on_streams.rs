//! BYEs of the server that went by a stream and are unanswered, by the far end of the stream: what a connection that is lost
//! takes with it is found without a look at all calls.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sip::Target;

use super::call::Call;

/// Calls by their slots in the book. A BYE is under way to two addresses at most: the far end of the call's connection, and where a new one
/// would be opened to.
#[derive(Debug, Default)]
pub(super) struct ByesOnStreams(BTreeSet<(SocketAddr, u64)>);

impl ByesOnStreams {
    pub(super) fn add(&mut self, slot: u64, call: &Call) {
        self.0.extend(far_ends(call).map(|end| (end, slot)));
    }

    /// The BYE needs no connection any more. Nothing happens if it was by datagram.
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
