//! A row as values for the load manager that goes on with its server (see [`base::fields`]): the last word of its agent, its
//! health, whether an operator drains it. What the configuration says of a server is not among them.

use base::Time;
use base::fields::{Reader, Writer};
use heartbeat::{Decay, Heartbeat, ServerState};

use super::{Agent, Row};
use crate::farm::condition::Condition;
use crate::farm::failing::Failing;

mod name {
    // 1 and 2: see `server_table/stored.rs`.
    /// The last heartbeat, as a datagram without a signature.
    pub(super) const HEARTBEAT: u8 = 3;
    pub(super) const HEARD: u8 = 4;
    pub(super) const DRAINED: u8 = 5;
    pub(super) const LEAVING: u8 = 6;
    pub(super) const HEALTH: u8 = 7;
    pub(super) const FAILING: u8 = 8;
    pub(super) const GONE_SINCE: u8 = 9;
    pub(super) const TOLD_AT: u8 = 10;
    pub(super) const TIER: u8 = 11;
    pub(super) const STARTED: u8 = 12;
    pub(super) const SENT_AT: u8 = 13;
}

impl Row {
    /// `given`: calls that it was given since its last heartbeat.
    pub(in crate::farm::server_table) fn write(&self, given: u64, into: &mut Writer) {
        if let Some(agent) = &self.agent {
            let mut load = agent.load;
            // Counts begin anew there: what was given counts as taken.
            if let Some(residual) = load.as_mut().and_then(|load| load.residual_calls.as_mut()) {
                *residual = residual.saturating_sub(u32::try_from(given).unwrap_or(u32::MAX));
            }
            let heartbeat = Heartbeat {
                load,
                count: self.replay.largest(),
                period_ms: Some(agent.decay.period().as_millis() as u32),
                ..Heartbeat::plain(agent.id, self.address.port(), agent.state)
            };
            into.bytes(name::HEARTBEAT, &heartbeat.encode(None));
            into.time(name::HEARD, agent.heard);
        }
        into.time(name::DRAINED, self.drained.unwrap_or(Time::NEVER));
        into.time(name::LEAVING, self.leaving.unwrap_or(Time::NEVER));
        into.group(name::HEALTH, |into| self.health.write(into));
        into.group(name::FAILING, |into| self.failing.write(into));
        into.time(name::GONE_SINCE, self.gone_since.unwrap_or(Time::NEVER));
        if let Some(told_at) = self.told_at {
            into.address(name::TOLD_AT, told_at);
        }
        if let Some(tier) = self.state_tier {
            into.number(name::TIER, tier);
        }
        into.flag(name::STARTED, self.condition == Condition::Active && !self.was_out);
        into.time(name::SENT_AT, self.sent_at);
    }

    pub(in crate::farm::server_table) fn read(&mut self, from: Reader<'_>, now: Time, decay: Decay) {
        let time = |name| Some(from.time(name)).filter(|time| *time != Time::NEVER).map(|time| time.min(now));
        let heartbeat = from.get(name::HEARTBEAT).and_then(|bytes| Heartbeat::decode(bytes, None).ok());
        if let (Some(heartbeat), Some(heard)) = (heartbeat, time(name::HEARD)) {
            let (id, state, load) = (heartbeat.server_id, heartbeat.state, heartbeat.load);
            self.agent = Some(Agent { id, heard, decay: decay.of_sender(heartbeat.period_ms), state, load });
            // The count of that heartbeat was admitted there; from here on only later ones are.
            let _ = self.replay.admit(&heartbeat);
        }
        self.drained = time(name::DRAINED);
        if !self.configured && self.agent.is_none_or(|agent| agent.state == ServerState::Stopped) {
            self.leaving = time(name::LEAVING).or(Some(now));
        }
        if let Some(health) = from.group(name::HEALTH) {
            self.health.read(health, now);
        }
        if let Some(failing) = from.group(name::FAILING) {
            self.failing = Failing::read(failing, now);
        }
        self.gone_since = time(name::GONE_SINCE);
        self.told_at = from.address(name::TOLD_AT);
        self.state_tier = from.number(name::TIER);
        // Its slow start is over, or it never had one.
        self.was_out = !from.flag(name::STARTED);
        self.sent_at = time(name::SENT_AT).unwrap_or(now);
    }
}
