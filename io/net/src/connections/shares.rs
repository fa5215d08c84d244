//! What strangers share: room for incomplete and unwritten messages, connections, and handshakes.
//!
//! Each bound applies to all sources together. At the bound, the source that holds the most loses first, so that nobody can
//! keep the others out: a source gets more only while no source with less needs it. Connections that we opened to servers
//! are never closed for this.

use std::net::IpAddr;

use base::{Duration, Time};

use super::Connections;
use super::phase::{Close, Phase};
use super::slots::Key;
use super::source::{Source, source};

/// At the bound, a sixteenth of the room is freed at once, so that the look at all connections is paid by as many bytes.
const PART_OF_ROOM: usize = 16;

/// Sources that lose connections in one search for room.
const SOURCES_MAX: usize = 64;

/// Connections closed at once to make room, for the same reason; with few connections it is one.
const DISPLACED_MAX: usize = 32;
const PART_OF_CONNECTIONS: usize = 64;

/// A younger handshake is not displaced for a source that has only one less: a handshake takes a few round trips, and a
/// displaced client comes again, so a crowd that reconnects would displace itself for ever.
const HANDSHAKE_UNDISTURBED: Duration = Duration::from_secs(1);

impl Connections {
    pub(super) fn share_of(&self, from: IpAddr) -> Source {
        self.per_source.get(&from).copied().unwrap_or_default()
    }

    /// Closes connections of the sources that hold the most bytes until there is room again, beginning with the connection
    /// that holds the most.
    pub(super) fn make_room(&mut self) {
        let goal = self.limits.buffered_bytes - self.limits.buffered_bytes / PART_OF_ROOM;
        for _ in 0..SOURCES_MAX {
            let most = self.per_source.iter().max_by_key(|(_, share)| share.held);
            let Some((&from, _)) = most.filter(|(_, share)| share.held > 0) else { return };
            let mut holders: Vec<(usize, Key)> = self
                .slots
                .iter()
                .filter(|(_, connection)| connection.accounted > 0 && !connection.opened)
                .filter(|(_, connection)| source(connection.remote.ip()) == from)
                .map(|(key, connection)| (connection.accounted, key))
                .collect();
            holders.sort_unstable_by(|a, b| b.cmp(a));
            for (_, key) in holders {
                self.close(key, Close::Memory);
                if self.buffered <= goal {
                    return;
                }
            }
        }
    }

    /// Closes accepted connections to make room for another: the longest idle connections of the sources with the most, if
    /// they have more than the asking source (`has`). False: no source has more.
    pub(super) fn displace(&mut self, has: u32) -> bool {
        let most = self.per_source.values().map(|share| share.connections).max().unwrap_or(0);
        if most <= has {
            return false;
        }
        let mut idle: Vec<(bool, Time, Key)> = self
            .slots
            .iter()
            .filter(|(_, connection)| !connection.opened)
            .filter(|(_, connection)| self.share_of(source(connection.remote.ip())).connections == most)
            .map(|(key, connection)| (connection.has_answers_to_come(), connection.active, key))
            .collect();
        let spare = idle.len() - idle.len() / most as usize * has as usize;
        let count = (self.accepted / PART_OF_CONNECTIONS).clamp(1, DISPLACED_MAX).min(spare);
        idle.sort_unstable();
        for (_, _, key) in idle.into_iter().take(count) {
            self.close(key, Close::Displaced);
        }
        count > 0
    }

    /// Ends the oldest handshake of the sources with the most in progress, if they have more than the asking source (`has`).
    pub(super) fn displace_handshake(&mut self, has: u32, now: Time) -> bool {
        let oldest = self
            .watched
            .iter()
            .filter_map(|key| {
                let connection = self.slots.get(*key).filter(|connection| connection.is_shaking_hands())?;
                let Phase::Handshaking { since } = connection.phase else { return None };
                let share = self.share_of(source(connection.remote.ip()));
                Some((share.handshakes, std::cmp::Reverse(since), *key))
            })
            .max();
        let Some((most, std::cmp::Reverse(since), key)) = oldest else { return false };
        let yields = most > has + 1 || most > has && now.since(since) >= HANDSHAKE_UNDISTURBED;
        if yields {
            self.close(key, Close::HandshakeDisplaced);
        }
        yields
    }
}
