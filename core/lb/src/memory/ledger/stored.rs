//! What a ledger counts, as values for the load manager that goes on with it (see [`base::fields`]): seats are its own there,
//! so entries name their servers.

use base::Time;
use base::fields::{Reader, Writer};

use super::{Ledger, ONE, Remembered, Seat, Unit, flags, slot_of, weight_of};
use crate::farm::server::ServerId;

mod name {
    pub(super) const CALLS: u8 = 1;
    /// 24 bytes each: key, server, weight, end.
    pub(super) const ENTRIES: u8 = 2;
}

const ENTRY_BYTES: usize = 24;

impl Ledger {
    /// `server_of`: whose seat it is; entries of servers that are gone are not written.
    pub(crate) fn write(&self, now: Time, server_of: impl Fn(Seat) -> Option<ServerId>, into: &mut Writer) {
        let mut bytes = Vec::new();
        self.entries.visit(now, |key, entry| {
            let seat = Seat { slot: slot_of(entry), incarnation: entry.server };
            let Some(server) = server_of(seat) else { return };
            bytes.extend(key.to_be_bytes());
            bytes.extend(server.0.to_be_bytes());
            bytes.extend(u32::from(weight_of(entry)).to_be_bytes());
            bytes.extend(entry.until.as_micros().to_be_bytes());
        });
        into.flag(name::CALLS, self.unit == Unit::Calls);
        into.bytes(name::ENTRIES, &bytes);
    }

    /// Counts what was counted there, if it is the same that is counted here.
    pub(crate) fn read(&self, now: Time, seat_of: impl Fn(ServerId) -> Option<Seat>, from: Reader<'_>) {
        if from.flag(name::CALLS) != (self.unit == Unit::Calls) {
            return;
        }
        for entry in from.get(name::ENTRIES).unwrap_or_default().as_chunks::<ENTRY_BYTES>().0 {
            let (whole, rest) = entry.split_at(8);
            let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            let (key, server, weight) = (number(whole), number(&rest[..4]) as u32, number(&rest[4..8]));
            let Some(seat) = seat_of(ServerId(server)) else { continue };
            let until = Time::from_micros(number(&rest[8..]));
            // No request has a larger weight.
            let weight = u16::try_from(weight).unwrap_or(ONE);
            let made = self.entries.get_or_insert_with(now, key, until, || {
                self.add(seat, weight);
                Some((seat.incarnation, flags(seat.slot, weight)))
            });
            if let Remembered::New { ended: Some(ended), .. } = made {
                self.subtract(ended);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Duration;

    use super::*;

    #[test]
    fn counts_go_on_at_other_seats_and_end_there() {
        let (there, here) = (Ledger::new(Unit::Calls, 100, 4), Ledger::new(Unit::Calls, 100, 4));
        let seat = |slot: u16| Seat { slot, incarnation: u32::from(slot) + 1 };
        (0..4).for_each(|slot| [&there, &here].into_iter().for_each(|ledger| ledger.attach(seat(slot))));
        let now = Time::from_secs(100);
        let until = now + Duration::from_secs(60);
        for key in 0..10 {
            there.begin(now, key, seat(key as u16 % 2), true, until);
        }
        assert!(there.end(now, 0));
        let mut writer = Writer::default();
        there.write(now, |seat| Some(ServerId(u32::from(seat.slot))), &mut writer);
        let bytes = writer.into_bytes();
        here.read(now, |server| (server.0 < 2).then(|| seat(3 - server.0 as u16)), Reader::new(&bytes));
        assert_eq!(
            (here.count(3), here.count(2), here.count(0)),
            (4 * u32::from(ONE), 5 * u32::from(ONE), 0)
        );
        assert!(!here.end(now, 0) && here.end(now, 1));
        assert_eq!(
            here.begin(now, 0, seat(3), true, until),
            super::super::Begun::Known,
            "ended a moment ago"
        );
        (0..200).for_each(|second| _ = here.sweep(until + Duration::from_secs(second)));
        assert_eq!((here.count(3), here.count(2)), (0, 0));
        let transactions = Ledger::new(Unit::Transactions, 100, 4);
        transactions.read(now, |_| Some(seat(0)), Reader::new(&bytes));
        assert_eq!(transactions.entries().len(), 0, "something else is counted");
    }
}
