//! Health as values for the load manager that goes on with the server (see [`base::fields`]). What is in flight is left out:
//! an OPTIONS without an answer is asked again, and silence is counted anew.

use base::fields::{Reader, Writer};
use base::{Duration, Time};

use super::{Health, PAUSE_MAX, PAUSE_MIN, Reason, State};

mod name {
    pub(super) const STATE: u8 = 1;
    pub(super) const REASON: u8 = 2;
    pub(super) const STATUS: u8 = 3;
    pub(super) const SINCE: u8 = 4;
    pub(super) const PAUSE_US: u8 = 5;
    pub(super) const LAST_ANSWER: u8 = 6;
    pub(super) const FULL_UNTIL: u8 = 7;
    pub(super) const FULL_BY_HEARSAY: u8 = 8;
    pub(super) const NEXT_PROBE: u8 = 9;
    pub(super) const ANSWERS_OPTIONS: u8 = 10;
    pub(super) const ANSWERS_TRAFFIC: u8 = 11;
}

/// In the order of their numbers.
const STATES: [State; 4] = [State::Up, State::Suspect, State::Failed, State::Trial];

impl Health {
    pub fn write(&self, into: &mut Writer) {
        let state = STATES.iter().position(|known| *known == self.state).unwrap_or_default();
        into.number(name::STATE, state as u64);
        let reason = match self.reason {
            Reason::Fresh => 0,
            Reason::Answered => 1,
            Reason::ProbeAnswered(status) => {
                into.number(name::STATUS, status.into());
                2
            }
            Reason::Unreachable => 3,
            Reason::Silence => 4,
            Reason::ProbeSilence => 5,
            Reason::PauseOver => 6,
        };
        into.number(name::REASON, reason);
        into.time(name::SINCE, self.since);
        into.number(name::PAUSE_US, self.pause.as_micros() as u64);
        into.time(name::LAST_ANSWER, self.last_answer.unwrap_or(Time::NEVER));
        into.time(name::FULL_UNTIL, self.full_until.unwrap_or(Time::NEVER));
        into.flag(name::FULL_BY_HEARSAY, self.full_by_hearsay);
        if self.probe_sent.is_none() {
            into.time(name::NEXT_PROBE, self.next_probe);
        }
        into.flag(name::ANSWERS_OPTIONS, self.answers_options);
        into.flag(name::ANSWERS_TRAFFIC, self.answers_traffic);
    }

    /// Takes over what was known; the settings stay. Bytes that are no health change nothing.
    pub fn read(&mut self, from: Reader<'_>, now: Time) {
        let state = from.small::<usize>(name::STATE).and_then(|state| STATES.get(state).copied());
        let reason = match from.number(name::REASON) {
            Some(0) => Some(Reason::Fresh),
            Some(1) => Some(Reason::Answered),
            Some(2) => from.small(name::STATUS).map(Reason::ProbeAnswered),
            Some(3) => Some(Reason::Unreachable),
            Some(4) => Some(Reason::Silence),
            Some(5) => Some(Reason::ProbeSilence),
            Some(6) => Some(Reason::PauseOver),
            _ => None,
        };
        let (Some(state), Some(reason)) = (state, reason) else { return };
        let time = |name| Some(from.time(name)).filter(|time| *time != Time::NEVER);
        let pause = from.number(name::PAUSE_US).map_or(PAUSE_MIN, Duration::from_micros);
        *self = Health {
            state,
            reason,
            since: time(name::SINCE).unwrap_or(now).min(now),
            pause: pause.clamp(PAUSE_MIN, PAUSE_MAX),
            last_answer: time(name::LAST_ANSWER).map(|at| at.min(now)),
            full_until: time(name::FULL_UNTIL),
            full_by_hearsay: from.flag(name::FULL_BY_HEARSAY),
            next_probe: time(name::NEXT_PROBE).unwrap_or(now),
            answers_options: from.flag(name::ANSWERS_OPTIONS),
            answers_traffic: from.flag(name::ANSWERS_TRAFFIC),
            ..Health::new(self.settings, now)
        };
    }
}
