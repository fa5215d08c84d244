//! What is known of the servers, as values for the load manager that goes on with them (see [`base::fields`]). The
//! configuration decides which servers there are and what they weigh; servers that came by heartbeat come along.

use base::Time;
use base::fields::{Reader, Writer};
use turn::stored::{transport_number, transport_of};

use super::ServerTable;

mod name {
    pub(super) const ADDRESS: u8 = 1;
    pub(super) const TRANSPORT: u8 = 2;
}

/// One row.
const ROW: u8 = 1;

impl ServerTable {
    pub fn write(&self, into: &mut Writer) {
        for row in &self.rows {
            let given = self.counters.admitted.count(row.seat.slot).saturating_sub(row.admitted_before);
            into.group(ROW, |into| {
                into.address(name::ADDRESS, row.address);
                into.number(name::TRANSPORT, transport_number(row.transport));
                row.write(given, into);
            });
        }
    }

    /// Takes over what was known. A server that is neither configured here nor sends heartbeats is known for as long as it has
    /// calls. One for which there is no room is left out.
    pub fn read(&mut self, from: Reader<'_>, now: Time) {
        for from in from.groups(ROW) {
            let (Some(address), Some(transport)) =
                (from.address(name::ADDRESS), from.number(name::TRANSPORT).and_then(transport_of))
            else {
                continue;
            };
            let found = self.find(address).or_else(|| self.make_row(now, address, transport).ok());
            let Some(row) = found.and_then(|at| self.rows.get_mut(at)) else { continue };
            row.read(from, now, self.decay);
        }
        (self.stale, self.look) = (true, true);
        self.tick(now);
    }
}
