//! Heartbeats that are signed with the right key but whose counts do not rise: from a server whose clock was set back, or
//! from someone who replays a recording. They change nothing about a server that is heard otherwise. If nothing else is heard
//! of a server, they are the reason for its condition.

use base::{Duration, Time};
use heartbeat::{Decay, ServerState};

use super::Row;
use crate::farm::condition::Cause;

/// How often it is reported again that heartbeats of a server are refused.
const SAID_EVERY: Duration = Duration::from_secs(600);

/// The refused heartbeats since one was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replayed {
    /// How far the first of them was behind.
    behind_seconds: u32,
    heard: Time,
    said: Option<Time>,
}

impl Row {
    /// A heartbeat of the server was refused. True: report it, as nothing else is heard of the server.
    pub(in crate::farm::server_table) fn refuse_replayed(&mut self, now: Time, behind: Duration) -> bool {
        let before = self.replayed;
        let behind_seconds = before.map_or_else(
            || u32::try_from(behind.as_secs()).unwrap_or(u32::MAX),
            |before| before.behind_seconds,
        );
        let said = before.and_then(|before| before.said);
        let lives = self.agent.is_some_and(|agent| {
            agent.state != ServerState::Stopped && !agent.decay.failed(agent.heard, now)
        });
        let say = !lives && said.is_none_or(|said| now.since(said) >= SAID_EVERY);
        self.replayed =
            Some(Replayed { behind_seconds, heard: now, said: if say { Some(now) } else { said } });
        say
    }

    /// Why nothing is heard of the server: its heartbeats come and are refused.
    pub(super) fn refused(&self, now: Time) -> Option<Cause> {
        let replayed = self.replayed.filter(|replayed| !self.decay().failed(replayed.heard, now))?;
        Some(Cause::Replayed { behind_seconds: replayed.behind_seconds })
    }

    /// When this stops being the reason, unless another refused heartbeat comes.
    pub(super) fn refused_until(&self) -> Option<Time> {
        let replayed = self.replayed.filter(|_| matches!(self.cause, Cause::Replayed { .. }))?;
        Some(self.decay().deadline(replayed.heard) + Duration::from_micros(1))
    }

    fn decay(&self) -> Decay {
        self.agent.map(|agent| agent.decay).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use heartbeat::Heartbeat;

    use super::*;
    use crate::farm::server_counters::ServerCounters;
    use crate::farm::server_table::ServerTable;
    use crate::settings::{Keys, Settings};

    const HOUR_MICROS: u64 = 3_600_000_000;

    #[test]
    fn a_server_whose_clock_was_set_back_is_named_with_how_far_until_it_has_caught_up() {
        let keys = Keys { tag: Vec::new(), heartbeat: Some(vec![1; 32].into()) };
        let settings = Settings { keys, ..Settings::small(Vec::new(), Vec::new(), [0; 16]) };
        let start = Time::from_secs(100);
        let mut table =
            ServerTable::new(start, &settings, ServerCounters::for_settings(&settings, 1)).unwrap();
        let from = [10, 0, 0, 1].into();
        let hear = |table: &mut ServerTable, now, count, state| {
            let plain = Heartbeat::plain(1, 5060, state);
            let heartbeat = Heartbeat { count: Some(count), sip_address: Some(from), ..plain };
            let taken = table.heartbeat(now, from, &heartbeat).is_ok();
            table.tick(now);
            (taken, table.rows(now)[0].cause)
        };
        let started = ServerState::Started;
        let (last, hour_ago) = (2 * HOUR_MICROS, HOUR_MICROS);
        assert_eq!(hear(&mut table, start, last, started), (true, Cause::Started));
        assert_eq!(hear(&mut table, start, hour_ago, started), (false, Cause::Started), "a recording");
        assert_eq!(hear(&mut table, start, last + 1, ServerState::Stopped), (true, Cause::Stopped));
        let behind = Cause::Replayed { behind_seconds: 3600 };
        let mut said = Vec::new();
        let server = (from, 5060).into();
        for second in 0..1200 {
            let now = start + Duration::from_secs(second);
            said.extend(table.replayed(now, server, Duration::from_secs(3600)).then_some(second));
            table.tick(now);
            assert_eq!(table.rows(now)[0].cause, behind);
        }
        assert_eq!(said, [0, 600]);
        let later = start + Duration::from_secs(1300);
        table.tick(later);
        assert_eq!(
            table.rows(later).first().map_or(Cause::Stopped, |row| row.cause),
            Cause::Stopped,
            "no more come"
        );
        assert_eq!(hear(&mut table, later, last + 2, started), (true, Cause::Started));
    }

    #[test]
    fn the_reason_is_a_sentence() {
        let words = Cause::Replayed { behind_seconds: 42 }.to_string();
        assert_eq!(words, "its heartbeats are refused as replayed: its clock is 42 s behind");
    }
}
