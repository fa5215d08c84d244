//! A load manager takes the place of another while calls go on: another build, or another configuration, on the same machine.
//! The sockets go over as they are, so nothing that waits in them is lost and no connection is closed; the memories go with
//! them ([`lb::hand_over`]).
//!
//! ```text
//!  new                                           old, over its control socket
//!   "take-over" ──────────────────────────────▶  is it of the same user, and not ending?
//!   the same workers, listeners, keys?  ◀──────  its offer
//!                                       ◀──────  its sockets
//!   makes everything of them, then READY ─────▶  all workers stand still
//!                                       ◀──────  its memories, and the connections of each worker
//!   has understood them, then TAKEN ──────────▶  from here on the new one serves
//!   starts its threads                  ◀──────  GO
//!   SERVING ──────────────────────────────────▶  tells the service manager, and ends
//! ```
//!
//! Until GO, any error, silence or death of the new process lets the old one go on with its own sockets: it has closed nothing.
//! After GO, a new process that dies is noticed, and one that is silent is killed, so that never both serve. Either of the two
//! may be the newer build.

mod give;
mod offer;
mod successor;
mod take;

pub(crate) use give::{Given, Giving};
pub(crate) use successor::Successor;
pub(crate) use take::Taking;

/// Kinds of parcels. A number is never used again for another kind.
mod kind {
    pub(super) const SOCKETS: u8 = 1;
    pub(super) const READY: u8 = 2;
    pub(super) const MEMORIES: u8 = 3;
    pub(super) const WORKER: u8 = 4;
    pub(super) const TAKEN: u8 = 5;
    pub(super) const GO: u8 = 6;
    pub(super) const SERVING: u8 = 7;
}

/// The next parcel, which must be of this kind.
fn expect(channel: &mut os::handing::Channel, kind: u8) -> std::io::Result<os::handing::Parcel> {
    let parcel = channel.receive()?;
    match parcel.kind == kind {
        true => Ok(parcel),
        false => {
            let what = format!("parcel {} came instead of {kind}", parcel.kind);
            Err(std::io::Error::new(std::io::ErrorKind::InvalidData, what))
        }
    }
}
