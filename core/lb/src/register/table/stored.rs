//! Registrations in progress, and answers that wait for the next attempt, as values for the load manager that goes on with
//! them.

use base::Time;
use base::fields::{Reader, Writer};

use super::{Alarms, Entry, Fanout, Registrations};
use crate::farm::server::ServerId;
use crate::register::challenge::{Known, Round};

mod name {
    pub(super) const KEY: u8 = 1;
    pub(super) const FANOUT: u8 = 2;
    pub(super) const UNTIL: u8 = 3;
    pub(super) const KNOWN: u8 = 4;
}

/// Names within what is known of a server.
mod known {
    pub(super) const SERVER: u8 = 1;
    pub(super) const STATUS: u8 = 2;
    pub(super) const RESPONSE: u8 = 3;
    pub(super) const TRIED: u8 = 4;
}

impl Registrations {
    /// One group of this name for each.
    pub(crate) fn write(&self, as_group: u8, into: &mut Writer) {
        self.table.visit(|key, entry| {
            into.group(as_group, |into| {
                into.number(name::KEY, key);
                match entry {
                    Entry::Fanout(fanout) => into.group(name::FANOUT, |into| fanout.write(into)),
                    Entry::Round(round) => {
                        into.time(name::UNTIL, round.until);
                        for known in &round.known {
                            into.group(name::KNOWN, |into| write_known(known, into));
                        }
                    }
                }
            });
        });
    }

    /// False: it is no registration, or there is no room.
    pub(crate) fn read(&self, now: Time, alarms: &mut Alarms, from: Reader<'_>) -> bool {
        let Some(key) = from.number(name::KEY) else { return false };
        let entry = match from.group(name::FANOUT) {
            Some(fanout) => Fanout::read(fanout).map(|fanout| Entry::Fanout(Box::new(fanout))),
            None => read_round(from).map(Entry::Round),
        };
        entry.is_some_and(|entry| self.table.lock(key).insert(now, alarms, key, entry).is_ok())
    }
}

fn write_known(of: &Known, into: &mut Writer) {
    into.number(known::SERVER, of.server.0.into());
    into.number(known::STATUS, of.status.into());
    into.bytes(known::RESPONSE, &of.response);
    into.flag(known::TRIED, of.tried);
}

fn read_round(from: Reader<'_>) -> Option<Round> {
    let one = |from: Reader<'_>| {
        Some(Known {
            server: ServerId(from.small(known::SERVER)?),
            status: from.small(known::STATUS)?,
            response: from.get(known::RESPONSE)?.into(),
            tried: from.flag(known::TRIED),
        })
    };
    let until = Time::from_micros(from.number(name::UNTIL)?);
    Some(Round { until, known: from.groups(name::KNOWN).map(one).collect::<Option<_>>()? })
}
