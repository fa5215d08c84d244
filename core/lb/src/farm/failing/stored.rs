//! The judgement on a server as values for the load manager that goes on with it (see [`base::fields`]).

use base::fields::{Reader, Writer};
use base::{Duration, Time};

use super::{ASIDE_MAX, ASIDE_MIN, Failing, Share, Stage};

mod name {
    /// A time: set aside until then.
    pub(super) const ASIDE_UNTIL: u8 = 1;
    pub(super) const TRIAL: u8 = 2;
    pub(super) const SINCE: u8 = 3;
    pub(super) const GOOD: u8 = 4;
    pub(super) const BAD: u8 = 5;
    pub(super) const RUN: u8 = 6;
    pub(super) const HALVED: u8 = 7;
    pub(super) const ASIDE_US: u8 = 8;
    pub(super) const FAILED: u8 = 9;
    pub(super) const OF: u8 = 10;
}

impl Failing {
    pub(in crate::farm) fn write(&self, into: &mut Writer) {
        match self.stage {
            Stage::Trusted => {}
            Stage::Aside(until) => into.time(name::ASIDE_UNTIL, until),
            Stage::Trial => into.flag(name::TRIAL, true),
        }
        into.time(name::SINCE, self.since);
        for (name, number) in [(name::GOOD, self.good), (name::BAD, self.bad), (name::RUN, self.run)] {
            into.number(name, number.into());
        }
        into.time(name::HALVED, self.halved);
        into.number(name::ASIDE_US, self.aside.as_micros() as u64);
        into.number(name::FAILED, self.share.failed.into());
        into.number(name::OF, self.share.of.into());
    }

    pub(in crate::farm) fn read(from: Reader<'_>, now: Time) -> Failing {
        let count = |name| from.small(name).unwrap_or_default();
        let aside = from.number(name::ASIDE_US).map_or(ASIDE_MIN, Duration::from_micros);
        Failing {
            stage: match from.number(name::ASIDE_UNTIL) {
                Some(until) => Stage::Aside(Time::from_micros(until).min(now + ASIDE_MAX)),
                None if from.flag(name::TRIAL) => Stage::Trial,
                None => Stage::Trusted,
            },
            since: from.time(name::SINCE).min(now),
            good: count(name::GOOD),
            bad: count(name::BAD),
            run: count(name::RUN),
            halved: from.time(name::HALVED).min(now),
            aside: aside.clamp(ASIDE_MIN, ASIDE_MAX),
            share: Share {
                failed: from.small(name::FAILED).unwrap_or_default(),
                of: from.small(name::OF).unwrap_or_default(),
            },
        }
    }
}
