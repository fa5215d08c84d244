//! Connections that waited too long.

use base::Time;

use super::Connections;
use super::slots::Key;

/// Number of parts in which all connections are looked at, one part per tick. With the default tick, all connections take a
/// second, and the pause never grows with their number.
const PARTS: usize = 10;

impl Connections {
    /// When [`Connections::handle_timeout`] must be called. `None`: there is nothing to wait for.
    pub fn next_deadline(&self) -> Option<Time> {
        let waiting = self.slots.len() > 0
            || self.introducing.len() > 0
            || self.listening.iter().any(|listening| listening.short);
        waiting.then_some(self.ticked + self.limits.tick)
    }

    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.ticked + self.limits.tick {
            return;
        }
        self.ticked = now;
        for index in 0..self.listening.len() {
            if self.listening[index].short {
                self.accept(index, now);
            }
        }
        self.end_slow_introductions(now);
        let mut watched = std::mem::take(&mut self.watched);
        watched.retain(|key| self.still_waits(*key, now));
        watched.append(&mut self.watched);
        self.watched = watched;
        self.sweep(now);
    }

    /// Puts the connection into the list that every tick looks at, as long as it waits for something.
    pub(super) fn watch(&mut self, key: Key) {
        if let Some(connection) = self.slots.get_mut(key)
            && connection.is_waiting()
            && !connection.watched
        {
            connection.watched = true;
            self.watched.push(key);
        }
    }

    fn still_waits(&mut self, key: Key, now: Time) -> bool {
        let Some(connection) = self.slots.get_mut(key) else { return false };
        if let Some(why) = connection.overdue(&self.limits, now) {
            self.close(key, why);
            return false;
        }
        connection.watched = connection.is_waiting();
        connection.watched
    }

    fn sweep(&mut self, now: Time) {
        let places = self.slots.places();
        for _ in 0..places.div_ceil(PARTS) {
            self.sweep_position = (self.sweep_position + 1) % places;
            let overdue = self
                .slots
                .at(self.sweep_position)
                .and_then(|(key, connection)| Some((key, connection.overdue(&self.limits, now)?)));
            if let Some((key, why)) = overdue {
                self.close(key, why);
            }
        }
    }
}
