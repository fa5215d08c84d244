//! A server that was started again at another address or port is known by the id of its heartbeats, if a key signs them. Its
//! row moves with it: it needs no second row in a full table, and the old address does not linger as failed.

use std::net::SocketAddr;

use base::Time;

use super::{Refusal, ServerTable};
use crate::farm::server::ServerId;

impl ServerTable {
    /// The row whose heartbeats had this id, if that server is gone: it has decayed, or said that it stopped. While it is
    /// there, two servers have one id; this is reported, and nothing moves.
    pub(super) fn gone_with_id(&self, now: Time, id: u32) -> Option<usize> {
        if !self.heartbeats_signed {
            return None;
        }
        let gone = |agent: &super::row::Agent| agent.id == id && agent.is_gone(now);
        self.rows.iter().position(|row| row.agent.as_ref().is_some_and(gone))
    }

    /// The server of this row is at another address from now on; returns the old one. Evidence from the old address says
    /// nothing here.
    pub(super) fn move_row(&mut self, now: Time, at: usize, to: SocketAddr) -> Result<SocketAddr, Refusal> {
        if to.port() == 0 || to.ip().is_unspecified() {
            return Err(Refusal::BadAddress { server: to });
        }
        let id = ServerId::of(to);
        if let Some(row) = self.rows.iter().find(|row| row.id == id) {
            return Err(Refusal::IdCollision { server: to, with: row.address });
        }
        let settings = self.health;
        let row = &mut self.rows[at];
        self.departed.is_there(id);
        if let Some(departed) = row.departed(row.gone_since.or(Some(now))) {
            self.departed.note(departed);
        }
        let from = std::mem::replace(&mut row.address, to);
        row.id = id;
        row.begin_anew(now, settings);
        self.stale = true;
        Ok(from)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use base::Duration;
    use heartbeat::{Heartbeat, ServerState};

    use super::*;
    use crate::farm::condition::{Cause, Condition};
    use crate::farm::server_counters::ServerCounters;
    use crate::farm::server_table::Heard;
    use crate::settings::Settings;

    const START: Time = Time::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    /// A signed heartbeat of this server with this id: its count is the time.
    fn signed(now: Time, id: u32, at: SocketAddr, state: ServerState) -> Heartbeat {
        Heartbeat {
            sip_address: Some(at.ip()),
            count: Some(now.as_micros()),
            ..Heartbeat::plain(id, at.port(), state)
        }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 5060))
    }

    fn table(size: usize, signed: bool) -> ServerTable {
        let mut settings = Settings::small(Vec::new(), Vec::new(), [7; 16]);
        settings.keys.heartbeat = signed.then(|| b"key of heartbeats".to_vec().into());
        settings.heartbeat.table_size = Some(size);
        let counters = ServerCounters::for_settings(&settings, 1);
        ServerTable::new(START, &settings, counters).expect("a table without servers")
    }

    #[test]
    fn a_signed_heartbeat_without_an_address_makes_nobody_a_server() {
        let mut table = table(4, true);
        for from in ["10.0.0.1", "203.0.113.66", "2001:db8::1"] {
            let from: IpAddr = from.parse().unwrap();
            let heartbeat = Heartbeat { count: Some(1), ..Heartbeat::plain(7, 5060, ServerState::Started) };
            let refused = table.heartbeat(START, from, &heartbeat).unwrap_err();
            assert_eq!(refused, Refusal::NoAddress { id: 7, from });
            assert!(refused.to_string().contains("--sip"), "{refused}");
        }
        assert!(table.is_empty());
        // A heartbeat that names an address is that server's, wherever it comes from.
        let heartbeat = signed(START, 7, address(1), ServerState::Started);
        table.heartbeat(START, "203.0.113.66".parse().unwrap(), &heartbeat).unwrap();
        assert_eq!(table.rows(START)[0].address, address(1));
    }

    #[test]
    fn an_id_that_comes_from_another_address_or_port_takes_its_row_with_it() {
        let elsewhere = |port| SocketAddr::from(([10, 0, 0, 99], port));
        for stops in [true, false] {
            let mut table = table(2, true);
            let from = address(1).ip();
            let mut now = START;
            for n in 1..=2 {
                table.heartbeat(now, from, &signed(now, n, address(n as u8), ServerState::Started)).unwrap();
            }
            // While the first is there, the table is full and two servers have one id.
            now = now + SECOND;
            let heartbeat = signed(now, 1, elsewhere(5070), ServerState::Started);
            assert!(matches!(table.heartbeat(now, from, &heartbeat), Err(Refusal::TableFull { .. })));
            if stops {
                table.heartbeat(now, from, &signed(now, 1, address(1), ServerState::Stopped)).unwrap();
            } else {
                now = now + SECOND * 10;
            }
            now = now + Duration::from_millis(1);
            let heard =
                table.heartbeat(now, from, &signed(now, 1, elsewhere(5070), ServerState::Started)).unwrap();
            assert_eq!((heard.joined, heard.moved_from), (false, Some(address(1))));
            table.tick(now);
            let rows = table.rows(now);
            assert_eq!(
                (rows.len(), rows[0].address, rows[0].condition),
                (2, elsewhere(5070), Condition::Active)
            );
            assert_eq!((rows[0].id, rows[0].heartbeat_id), (ServerId::of(elsewhere(5070)), Some(1)));
            let snapshot = table.snapshot();
            assert!(
                snapshot.by_address(elsewhere(5070)).is_some() && snapshot.by_address(address(1)).is_none()
            );
            // A heartbeat that was recorded before moves nothing back.
            now = now + SECOND * 10;
            let old = signed(START, 1, address(1), ServerState::Started);
            assert_eq!(table.heartbeat(now, from, &old), Err(Refusal::Replayed { server: address(1) }));
            assert_eq!(table.rows(now)[0].address, elsewhere(5070));
        }
    }

    #[test]
    fn an_id_that_nobody_vouches_for_moves_nothing() {
        let mut table = table(4, false);
        table.heartbeat(START, address(1).ip(), &Heartbeat::plain(1, 5060, ServerState::Started)).unwrap();
        let now = START + SECOND * 60;
        let heard = table.heartbeat(now, address(9).ip(), &Heartbeat::plain(1, 5099, ServerState::Started));
        assert_eq!(heard, Ok(Heard { joined: true, ..Heard::default() }));
    }

    #[test]
    fn what_is_recorded_and_sent_again_is_refused_where_a_key_protects_the_count() {
        let (mut table, from) = (table(4, true), address(1).ip());
        let beat = |count, state| Heartbeat { count: Some(count), ..signed(START, 1, address(1), state) };
        table.heartbeat(START, from, &beat(10, ServerState::Started)).unwrap();
        table.heartbeat(START, from, &beat(11, ServerState::Stopped)).unwrap();
        let replayed = table.heartbeat(START + SECOND, from, &beat(10, ServerState::Started));
        assert_eq!(replayed, Err(Refusal::Replayed { server: address(1) }));
        table.tick(START + SECOND);
        let row = &table.rows(START + SECOND)[0];
        assert_eq!((row.condition, row.cause), (Condition::Failed, Cause::Replayed { behind_seconds: 0 }));
    }
}
