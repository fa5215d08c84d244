//! All that a load manager remembers, as bytes for the one that takes its place while calls go on, and back. Both have one
//! clock, the same tag keys, and the same numbers of workers, listeners and connections. Either may be the newer build: see
//! [`base::fields`].
//!
//! What is not among it begins anew: counters, delays, notes of choices.

use std::collections::HashMap;

use base::Time;
use base::fields::{Reader, Writer};

use crate::farm::server::{Seat, ServerId};
use crate::farm::server_table::ServerTable;
use crate::memory::ledger::Ledger;
use crate::memory::stored::{self, NotRestored};
use crate::shared::Shared;
use crate::way::router::Router;

/// Names of the parts; a name is never used again for another part.
mod name {
    /// As in a memory file.
    pub(super) const CALLS: u8 = 1;
    pub(super) const SERVERS: u8 = 2;
    pub(super) const LEDGER: u8 = 3;
    pub(super) const CENSUS: u8 = 4;
    pub(super) const FLOWS: u8 = 5;
    pub(super) const ALIASES: u8 = 6;
    /// One group for each.
    pub(super) const HELD: u8 = 7;
    pub(super) const REGISTRATION: u8 = 8;
}

/// How much there is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    pub calls: usize,
    pub held: usize,
    pub registrations: usize,
    /// What found no room, or was not understood.
    pub left_out: usize,
}

/// Nobody may change any of it meanwhile. `wall_us`: microseconds since 1970 at `now`.
pub fn write(shared: &Shared, table: &ServerTable, now: Time, wall_us: u64) -> (Vec<u8>, Amount) {
    let terms = shared.terms();
    let mut writer = Writer::default();
    writer.bytes(name::CALLS, &stored::to_bytes(&terms.calls, &terms.keys, now, wall_us));
    writer.group(name::SERVERS, |into| table.write(into));
    let servers: HashMap<Seat, ServerId> = table.seats().map(|(server, seat)| (seat, server)).collect();
    let server_of = |seat: Seat| servers.get(&seat).copied();
    let census =
        terms.tables.census.as_ref().filter(|census| !is_same(census, terms.tables.ledger.as_deref()));
    for (name, ledger) in [(name::LEDGER, terms.tables.ledger.as_ref()), (name::CENSUS, census)] {
        if let Some(ledger) = ledger {
            writer.group(name, |into| ledger.write(now, server_of, into));
        }
    }
    writer.group(name::FLOWS, |into| shared.flows.write(into));
    writer.group(name::ALIASES, |into| shared.aliases.write(into));
    shared.held.write(name::HELD, &mut writer);
    shared.registrations.write(name::REGISTRATION, &mut writer);
    let amount = Amount {
        calls: terms.calls.known_calls().len(),
        held: shared.held.len(),
        registrations: shared.registrations.len(),
        left_out: 0,
    };
    (writer.into_bytes(), amount)
}

/// The part that all workers share; [`Router::take_over`] takes what each works on. The snapshot that the
/// table makes of it is for the caller to publish.
pub fn read(
    bytes: &[u8],
    shared: &Shared,
    table: &mut ServerTable,
    now: Time,
    wall_us: u64,
) -> Result<Amount, NotRestored> {
    let (from, terms) = (Reader::new(bytes), shared.terms());
    let calls = from.get(name::CALLS).ok_or(NotRestored::NoMemory)?;
    let restored = stored::restore(calls, &terms.calls, &terms.keys, now, wall_us)?;
    if let Some(servers) = from.group(name::SERVERS) {
        table.read(servers, now);
    }
    let seats: HashMap<ServerId, Seat> = table.seats().collect();
    let seat_of = |server: ServerId| seats.get(&server).copied();
    let ledger = terms.tables.ledger.as_ref();
    let census = terms.tables.census.as_ref();
    // What was counted for the selection there may be counted for the operator here, and the other way round.
    for from in from.groups(name::LEDGER).chain(from.groups(name::CENSUS)) {
        let own = ledger.filter(|ledger| !census.is_some_and(|census| is_same(census, Some(ledger))));
        own.into_iter().chain(census).for_each(|ledger| ledger.read(now, seat_of, from));
    }
    if let Some(flows) = from.group(name::FLOWS) {
        shared.flows.read(flows);
    }
    if let Some(aliases) = from.group(name::ALIASES) {
        shared.aliases.read(aliases);
    }
    Ok(Amount { calls: restored.calls, left_out: restored.left_out, ..Amount::default() })
}

impl Router {
    /// Takes over the part that each worker works on: what this worker sent last is repeated by this worker. Call it for the
    /// routers of all workers, in any order. `workers`: how many there are.
    pub fn take_over(&mut self, bytes: &[u8], workers: u8, now: Time) -> Amount {
        let (from, core) = (Reader::new(bytes), self.core_mut());
        let (worker, mut amount) = (core.view.worker, Amount::default());
        let is_own = |sent_by: u8| sent_by == worker || worker == 0 && sent_by >= workers;
        for held in from.groups(name::HELD) {
            match core.view.shared.held.read(now, &mut core.alarms, held, is_own) {
                None => {}
                Some(true) => amount.held += 1,
                Some(false) => amount.left_out += 1,
            }
        }
        if worker == 0 {
            for registration in from.groups(name::REGISTRATION) {
                let alarms = &mut core.alarms_of_registrations;
                match core.view.shared.registrations.read(now, alarms, registration) {
                    true => amount.registrations += 1,
                    false => amount.left_out += 1,
                }
            }
        }
        amount
    }
}

fn is_same(census: &Ledger, ledger: Option<&Ledger>) -> bool {
    ledger.is_some_and(|ledger| std::ptr::eq(census, ledger))
}
