//! Selection by hash of the Call-ID (SPEC A5): modulo over the active table (FIG. 5B), cascade over the server table
//! (FIG. 6), or consistent. The first choice is the server of hash affinity, as long as that server has room.

use base::Time;

use crate::farm::active_table::Tier;
use crate::farm::consistent::mix;
use crate::farm::server::Server;
use crate::farm::snapshot::Snapshot;
use crate::selection::{Ask, Selector};
use crate::settings::HashKind;

pub(crate) fn pick(ask: &Ask<'_>, kind: HashKind) -> Option<u16> {
    first_usable(ask.snapshot, kind, ask.hash, |position| ask.usable(position))
}

/// The first server in the order of the hash that may get one more new call, of the best priority that has one.
pub(crate) fn with_room<'a>(
    now: Time,
    snapshot: &'a Snapshot,
    kind: HashKind,
    hash: u64,
    selector: &Selector,
) -> Option<&'a Server> {
    let servers = snapshot.servers();
    let first_of = |tier: &Tier| {
        first_usable(snapshot, kind, hash, |position| {
            let server = &servers[usize::from(position)];
            server.priority == tier.priority() && selector.has_room(now, server)
        })
    };
    snapshot.active().tiers().iter().find_map(first_of).map(|position| &servers[usize::from(position)])
}

/// The first usable position in the order of the hash.
#[inline]
pub(crate) fn first_usable(
    snapshot: &Snapshot,
    kind: HashKind,
    hash: u64,
    usable: impl Fn(u16) -> bool,
) -> Option<u16> {
    let known = snapshot.active().known();
    match kind {
        HashKind::Modulo => {
            let first = *known.get(hash.checked_rem(known.len() as u64)? as usize)?;
            // The next entry would get all calls that this one cannot take; a second hash spreads them.
            if usable(first) { Some(first) } else { in_a_row(known, mix(hash), usable) }
        }
        HashKind::Cascade => {
            let size = snapshot.servers().len();
            let entry = hash.checked_rem(size as u64)? as usize;
            (entry..size).chain(0..entry).map(|position| position as u16).find(|&position| usable(position))
        }
        HashKind::Consistent => {
            let found = snapshot.consistent().walk(hash).find(|&position| usable(position));
            found.or_else(|| in_a_row(known, mix(hash), usable))
        }
    }
}

fn in_a_row(list: &[u16], hash: u64, usable: impl Fn(u16) -> bool) -> Option<u16> {
    let from = hash.checked_rem(list.len() as u64)? as usize;
    list[from..].iter().chain(&list[..from]).copied().find(|&position| usable(position))
}
