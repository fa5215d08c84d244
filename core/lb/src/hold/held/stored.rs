//! All held requests as values for the load manager that goes on with them.

use base::Time;
use base::fields::{Reader, Writer};

use super::{Alarms, Entry, Held};

mod name {
    pub(super) const KEY: u8 = 1;
    pub(super) const ENTRY: u8 = 2;
}

impl Held {
    /// One group of this name for each.
    pub(crate) fn write(&self, as_group: u8, into: &mut Writer) {
        self.table.visit(|key, entry| {
            into.group(as_group, |into| {
                into.number(name::KEY, key);
                into.group(name::ENTRY, |into| entry.write(into));
            });
        });
    }

    /// Takes one in, if `is_for` its worker. `Some(false)`: it is no held request, or there is no room.
    pub(crate) fn read(
        &self,
        now: Time,
        alarms: &mut Alarms,
        from: Reader<'_>,
        is_for: impl FnOnce(u8) -> bool,
    ) -> Option<bool> {
        let (Some(key), Some(entry)) =
            (from.number(name::KEY), from.group(name::ENTRY).and_then(Entry::read))
        else {
            // Counted once, by the worker that takes what no other takes.
            return is_for(u8::MAX).then_some(false);
        };
        is_for(entry.worker()).then(|| self.table.lock(key).insert(now, alarms, key, entry).is_ok())
    }
}
