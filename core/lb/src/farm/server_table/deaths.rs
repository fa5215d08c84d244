//! Deaths within a state tier: the other servers of the tier are told, so that they go on with the calls at once.

use std::net::SocketAddr;

use heartbeat::death::Death;

use super::ServerTable;
use super::row::Row;

/// Deaths kept until somebody takes them: those of one turn of the control thread. Each is told to every server of the tier, so
/// more would keep the control thread from its work; the servers hear of the rest from the state tier.
const DEATHS_MAX: usize = 32;

/// A death, and who is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathNotice {
    pub death: Death,
    /// Where the heartbeats of the living servers of its tier come from.
    pub to: Vec<SocketAddr>,
}

impl ServerTable {
    /// The heartbeats of this server come from there: what its load manager has to tell it goes there. Only a server with a
    /// state tier is told anything.
    pub fn heard_from(&mut self, server: SocketAddr, from: SocketAddr) {
        if let Some(at) = self.find(server) {
            self.rows[at].told_at = Some(from);
        }
    }

    /// The deaths since the last call.
    pub fn take_deaths(&mut self) -> Vec<DeathNotice> {
        std::mem::take(&mut self.deaths)
    }

    /// Known calls of these servers go elsewhere from the next snapshot on.
    pub(super) fn note_deaths(&mut self) {
        let was_there = |row: &&Row| {
            row.gone_since.is_some()
                && self.snapshot.by_id(row.id).is_some_and(|server| server.gone_since.is_none())
        };
        let died: Vec<Death> = self.rows.iter().filter(was_there).filter_map(Row::death).collect();
        for death in died {
            let lives = |row: &&Row| row.state_tier == Some(death.state_tier) && row.gone_since.is_none();
            let to: Vec<SocketAddr> = self.rows.iter().filter(lives).filter_map(|row| row.told_at).collect();
            if !to.is_empty() && self.deaths.len() < DEATHS_MAX {
                self.deaths.push(DeathNotice { death, to });
            }
        }
    }
}

impl Row {
    /// What there is to say of the death of this server. `None`: its calls are its own.
    fn death(&self) -> Option<Death> {
        let (state_tier, agent) = (self.state_tier?, self.agent?);
        Some(Death { state_tier, server_id: agent.id, sip: self.address })
    }
}

#[cfg(test)]
mod tests {
    use base::{Duration, Time};
    use heartbeat::{Heartbeat, ServerState};

    use super::*;
    use crate::farm::condition::Condition;
    use crate::farm::server_counters::ServerCounters;
    use crate::settings::Settings;

    const START: Time = Time::from_secs(100);
    const TIER: u64 = 77;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 5060))
    }

    fn source(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 40_000))
    }

    fn table() -> ServerTable {
        let settings = Settings::small(Vec::new(), Vec::new(), [7; 16]);
        ServerTable::new(START, &settings, ServerCounters::for_settings(&settings, 1)).unwrap()
    }

    fn beat(table: &mut ServerTable, now: Time, n: u8, id: u32, state: ServerState, state_tier: Option<u64>) {
        let plain = Heartbeat::plain(id, 5060, state);
        table.heartbeat(now, address(n).ip(), &Heartbeat { state_tier, ..plain }).unwrap();
        table.heard_from(address(n), source(n));
        table.tick(now);
    }

    fn started(table: &mut ServerTable, now: Time, n: u8, state_tier: Option<u64>) {
        beat(table, now, n, u32::from(n), ServerState::Started, state_tier);
    }

    fn death(n: u8, server_id: u32, to: &[u8]) -> DeathNotice {
        let death = Death { state_tier: TIER, server_id, sip: address(n) };
        DeathNotice { death, to: to.iter().map(|n| source(*n)).collect() }
    }

    #[test]
    fn the_living_of_a_tier_are_told_once_and_nobody_else() {
        let mut table = table();
        for n in 1..=3 {
            started(&mut table, START, n, Some(TIER));
        }
        started(&mut table, START, 4, Some(TIER + 1));
        started(&mut table, START, 5, None);
        assert_eq!(table.take_deaths(), []);
        beat(&mut table, START, 1, 1, ServerState::Stopped, None);
        assert_eq!(table.take_deaths(), [death(1, 1, &[2, 3])]);
        beat(&mut table, START, 1, 1, ServerState::Stopped, None);
        for n in [4, 5] {
            beat(&mut table, START, n, u32::from(n), ServerState::Stopped, None);
        }
        assert_eq!(table.take_deaths(), [], "4 is alone in its tier, and 5 has none");
        // 2 falls silent. 1 has come back meanwhile.
        let later = START + Duration::from_secs(2);
        started(&mut table, later, 1, Some(TIER));
        started(&mut table, later, 3, Some(TIER));
        let silent = START + Duration::from_millis(3100);
        table.tick(silent);
        assert_eq!(table.take_deaths(), [death(2, 2, &[1, 3])]);
    }

    #[test]
    fn a_failed_server_keeps_its_tier_and_one_that_started_has_the_tier_that_it_says() {
        let mut table = table();
        started(&mut table, START, 1, Some(TIER));
        beat(&mut table, START, 1, 1, ServerState::Stopped, None);
        let row = &table.rows(START)[0];
        assert_eq!((row.condition, row.state_tier), (Condition::Failed, Some(TIER)));
        assert_eq!(table.snapshot().servers()[0].state_tier, Some(TIER));
        started(&mut table, START, 1, None);
        assert_eq!(table.snapshot().servers()[0].state_tier, None);
        started(&mut table, START, 1, Some(TIER));
        let silent = START + Duration::from_secs(60);
        table.tick(silent);
        assert_eq!(table.rows(silent)[0].condition, Condition::Failed);
        assert_eq!(table.snapshot().servers()[0].state_tier, Some(TIER));
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut table = table();
        started(&mut table, START, 2, Some(TIER));
        for _ in 0..100 {
            started(&mut table, START, 1, Some(TIER));
            beat(&mut table, START, 1, 1, ServerState::Stopped, None);
        }
        assert_eq!(table.take_deaths().len(), DEATHS_MAX);
    }
}
