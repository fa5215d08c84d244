//! Hash affinity (SPEC A5): the server of a call is computed from its Call-ID, and nothing is remembered. The result
//! changes only when a server fails, stops, returns, or is added or removed; never when a server drains or fills up.

use crate::farm::server::Server;
use crate::farm::snapshot::Snapshot;
use crate::selection::hash::first_usable;
use crate::settings::HashKind;

/// Hash of a Call-ID, the same on every load manager with the same seed. The seed should come from a secret that the load
/// managers share, so that nobody can choose Call-IDs that all fall on one server.
pub fn call_hash(seed: u64, call_id: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(call_id, seed)
}

/// The server of a known call, of the best priority at which a server can be reached. If none can be reached, a server on trial may get the call: it may be back. `None`: there is
/// none (503).
#[inline]
pub fn known(snapshot: &Snapshot, kind: HashKind, hash: u64) -> Option<&Server> {
    let servers = snapshot.servers();
    let best = snapshot.active().known_priority();
    let usable = |server: &Server| server.is_reachable() && server.priority == best;
    first_usable(snapshot, kind, hash, |position| usable(&servers[usize::from(position)]))
        .map(|position| &servers[usize::from(position)])
        .or_else(|| one_on_trial(snapshot, hash))
}

/// The server that takes over a call, of those that can be reached and are `usable`, in the order of the hash.
pub(crate) fn takes_over(
    snapshot: &Snapshot,
    kind: HashKind,
    hash: u64,
    usable: impl Fn(&Server) -> bool,
) -> Option<&Server> {
    let servers = snapshot.servers();
    let may_be = |server: &Server| server.is_reachable() && usable(server);
    first_usable(snapshot, kind, hash, |position| may_be(&servers[usize::from(position)]))
        .map(|position| &servers[usize::from(position)])
}

#[cold]
fn one_on_trial(snapshot: &Snapshot, hash: u64) -> Option<&Server> {
    let tried = || snapshot.servers().iter().filter(|server| server.awaits_answer());
    let at = hash.checked_rem(tried().count() as u64)?;
    tried().nth(at as usize)
}
