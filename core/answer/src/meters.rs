//! The server's measures of its own work, for its group (SPEC D1).

use std::collections::HashSet;
use std::net::SocketAddr;

use base::{Duration, Time};
use shift::Measures;

/// Rates are those of the last whole second, or of the present second if that is busier already.
const SECOND: Duration = Duration::from_secs(1);

/// A client counts for one to two rounds after its last message.
const CLIENT_ROUND: Duration = Duration::from_secs(60);

/// Most clients that are counted; each takes 64 bytes.
const CLIENTS_MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct Meters {
    second: Option<Time>,
    bytes: Rate,
    calls: Rate,
    round: Option<Time>,
    clients: HashSet<SocketAddr>,
    clients_before: HashSet<SocketAddr>,
}

#[derive(Default)]
struct Rate {
    now: u32,
    before: u32,
}

impl Rate {
    fn add(&mut self, n: usize) {
        self.now = self.now.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
    }

    fn get(&self) -> u32 {
        self.now.max(self.before)
    }
}

impl Meters {
    /// A SIP message came.
    pub(super) fn message(&mut self, now: Time, bytes: usize, from: SocketAddr) {
        self.turn(now);
        self.bytes.add(bytes);
        if self.clients.len() < CLIENTS_MAX && self.clients.insert(from) {
            self.clients_before.remove(&from);
        }
    }

    /// A new call was taken.
    pub(super) fn call(&mut self, now: Time) {
        self.turn(now);
        self.calls.add(1);
    }

    pub(super) fn read(&mut self, now: Time, calls: u32, cpu_permille: u32) -> Measures {
        self.turn(now);
        Measures {
            bytes_per_second: self.bytes.get(),
            clients: u32::try_from(self.clients.len() + self.clients_before.len()).unwrap_or(u32::MAX),
            calls,
            calls_per_second: self.calls.get(),
            cpu_permille: cpu_permille.min(1000),
        }
    }

    fn turn(&mut self, now: Time) {
        let began = *self.second.get_or_insert(now);
        let seconds = now.since(began).as_secs();
        if seconds > 0 {
            for rate in [&mut self.bytes, &mut self.calls] {
                rate.before = if seconds == 1 { rate.now } else { 0 };
                rate.now = 0;
            }
            self.second = Some(began + SECOND * u32::try_from(seconds).unwrap_or(u32::MAX));
        }
        let began = *self.round.get_or_insert(now);
        if now.since(began) >= CLIENT_ROUND {
            self.clients_before = std::mem::take(&mut self.clients);
            if now.since(began) >= CLIENT_ROUND * 2 {
                self.clients_before.clear();
            }
            self.round = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_second_and_clients_of_the_last_minutes() {
        let mut meters = Meters::default();
        let at = |ms: u64| Time::from_millis(5_000 + ms);
        for ms in [0, 100, 200] {
            meters.message(at(ms), 400, "127.0.0.1:5070".parse().unwrap());
            meters.call(at(ms));
        }
        meters.message(at(300), 100, "127.0.0.1:5071".parse().unwrap());
        let seen = |meters: &mut Meters, ms: u64| {
            let it = meters.read(at(ms), 7, 2000);
            (it.bytes_per_second, it.clients, it.calls, it.calls_per_second, it.cpu_permille)
        };
        assert_eq!(seen(&mut meters, 400), (1300, 2, 7, 3, 1000), "the present second counts as it fills");
        assert_eq!(seen(&mut meters, 1_900), (1300, 2, 7, 3, 1000));
        assert_eq!(seen(&mut meters, 2_000), (0, 2, 7, 0, 1000));
        meters.message(at(61_000), 50, "127.0.0.1:5070".parse().unwrap());
        assert_eq!(seen(&mut meters, 61_000).1, 2);
        assert_eq!(seen(&mut meters, 122_000).1, 1);
        assert_eq!(seen(&mut meters, 250_000).1, 0);
    }
}
