//! Which worker a datagram reaches. The kernel deals out flows: a trunk is one flow (two addresses, two ports), so one
//! worker gets all of it, and the others are idle. If that worker is short of time, the kernel deals out datagrams one by
//! one instead, at random. The core works with both. Flows keep the messages of a peer in order and their memory in the
//! cache, so flows are the rule.

use std::io;

use crate::option;
use crate::udp::Udp;

/// How datagrams are dealt out among the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// By the hash of addresses and ports.
    Flow,
    /// Each datagram by itself, at random.
    Message,
    /// By flow; by message while one worker is busy with more than its share (default).
    #[default]
    Auto,
}

/// What one worker did in one window. The caller decides how long a window is, about a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub datagrams: u64,
    /// The part of the window in which the worker used its processor, in thousandths.
    pub busy_permille: u32,
    /// Datagrams that the kernel dropped because the worker did not take them in time. On a crowded machine a worker can be
    /// short of time without being busy.
    pub lost: u64,
}

/// A worker busier than this, or one that loses datagrams, has too much work. Above this, waiting times grow steeply.
const BUSY: u32 = 700;

/// Another worker must have this much time free, or spreading helps nobody.
const ROOM: u32 = 500;

/// Datagrams of the busiest worker compared with the mean of all, in percent. Two workers with even load have 100.
const SHARE_PERCENT: u64 = 140;

/// Below this sum of all workers, one worker could carry everything and would still be far from `BUSY`.
const CALM: u32 = 400;

/// Windows in a row before a change: a burst is no reason, and going back is not urgent.
const WINDOWS_TO_SPREAD: u32 = 2;
const WINDOWS_TO_CALM: u32 = 10;

/// Decides for [`Spread::Auto`]. Pure: windows in, changes out.
#[derive(Debug, Default)]
pub struct Judge {
    by_message: bool,
    streak: u32,
}

impl Judge {
    /// One window of all workers. `Some`: the way of dealing out must change.
    pub fn judge(&mut self, workers: &[Window]) -> Option<Spread> {
        let (reason, needed) = match self.by_message {
            false => (is_lopsided(workers), WINDOWS_TO_SPREAD),
            true => (is_calm(workers), WINDOWS_TO_CALM),
        };
        self.streak = if reason { self.streak + 1 } else { 0 };
        if self.streak < needed {
            return None;
        }
        self.streak = 0;
        self.by_message = !self.by_message;
        Some(if self.by_message { Spread::Message } else { Spread::Flow })
    }
}

fn is_lopsided(workers: &[Window]) -> bool {
    let Some(busiest) = workers.iter().max_by_key(|worker| (worker.lost, worker.busy_permille)) else {
        return false;
    };
    let datagrams: u64 = workers.iter().map(|worker| worker.datagrams).sum();
    let above_share = busiest.datagrams.saturating_mul(100).saturating_mul(workers.len() as u64)
        >= datagrams.saturating_mul(SHARE_PERCENT);
    let room = workers.iter().any(|worker| worker.busy_permille < ROOM);
    let short_of_time = busiest.busy_permille >= BUSY || busiest.lost > 0;
    short_of_time && datagrams > 0 && above_share && room
}

fn is_calm(workers: &[Window]) -> bool {
    workers.iter().map(|worker| worker.busy_permille).sum::<u32>() < CALM
        && workers.iter().all(|worker| worker.lost == 0)
}

/// Applies a decision to a listener. `socket`: that of any worker; `workers`: how many have one. [`Spread::Auto`] begins by
/// flow.
pub fn apply(spread: Spread, socket: &Udp, workers: usize) -> io::Result<()> {
    use std::os::fd::AsFd as _;
    match spread {
        Spread::Message => option::spread_by_message(socket.as_fd(), workers as u32),
        Spread::Flow | Spread::Auto => match option::spread_by_flow(socket.as_fd()) {
            // Nothing was attached.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;
    use crate::counters::Counters;
    use crate::mmsg::Receiver;
    use crate::udp::UdpOptions;

    const HOT: [Window; 2] = [
        Window { datagrams: 300_000, busy_permille: 950, lost: 0 },
        Window { datagrams: 100, busy_permille: 2, lost: 0 },
    ];
    const EVEN: [Window; 2] = [Window { datagrams: 200_000, busy_permille: 600, lost: 0 }; 2];
    const QUIET: [Window; 2] = [Window { datagrams: 10_000, busy_permille: 80, lost: 0 }; 2];

    fn check(windows: &[([Window; 2], u32)], expected: &[(u32, Spread)]) {
        let mut judge = Judge::default();
        let all = windows.iter().flat_map(|(window, times)| (0..*times).map(move |_| window));
        let changes: Vec<_> = all
            .enumerate()
            .filter_map(|(number, window)| Some((number as u32, judge.judge(window)?)))
            .collect();
        assert_eq!(changes, expected);
    }

    #[test]
    fn a_hot_flow_is_spread_and_calm_ends_it() {
        check(&[(HOT, 1), (QUIET, 1), (HOT, 1)], &[]);
        check(&[(HOT, 5), (EVEN, 100)], &[(1, Spread::Message)]);
        check(&[(HOT, 2), (QUIET, 9), (EVEN, 1), (QUIET, 9)], &[(1, Spread::Message)]);
        check(
            &[(HOT, 2), (QUIET, 50), (HOT, 2)],
            &[(1, Spread::Message), (11, Spread::Flow), (53, Spread::Message)],
        );
    }

    #[test]
    fn losses_count_as_much_as_being_busy() {
        let [hot, idle] = HOT;
        let starved = [Window { busy_permille: 80, lost: 5, ..hot }, idle];
        let still_losing = [Window { lost: 1, ..QUIET[0] }, QUIET[1]];
        check(&[(starved, 2), (still_losing, 20), (QUIET, 10)], &[(1, Spread::Message), (31, Spread::Flow)]);
    }

    #[test]
    fn no_reason_to_spread() {
        let [hot, idle] = HOT;
        // If both are busy, nobody has room. If streams are the load, datagrams are not the reason. If load is even, flows
        // are many.
        check(&[([Window { busy_permille: 900, ..hot }, Window { busy_permille: 800, ..idle }], 50)], &[]);
        check(&[([Window { datagrams: 100, ..hot }, Window { datagrams: 100, ..idle }], 50)], &[]);
        check(&[([Window { datagrams: 0, ..hot }, Window { datagrams: 0, ..idle }], 50)], &[]);
        check(&[(EVEN, 50)], &[]);
        assert_eq!(Judge::default().judge(&[]), None);
    }

    #[test]
    fn one_flow_reaches_both_sockets_while_spread_and_one_otherwise() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = Udp::bind(0, any, UdpOptions::default()).unwrap();
        let address = first.local_address().unwrap();
        let second = Udp::bind(0, address, UdpOptions::default()).unwrap();
        let mut sockets = [first, second];
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (mut batch, mut failed, counters) =
            (Receiver::new(64), crate::Failures::default(), Counters::default());
        let mut counts = |sockets: &mut [Udp; 2]| {
            for _ in 0..64 {
                client.send_to(b"of one trunk", address).unwrap();
            }
            // On loopback a datagram is in the receiver's queue before the send returns.
            let [first, second] = sockets;
            [
                first.receive(&mut batch, &mut failed, &counters),
                second.receive(&mut batch, &mut failed, &counters),
            ]
        };
        let flow = counts(&mut sockets);
        assert!(flow == [64, 0] || flow == [0, 64], "{flow:?}");
        apply(Spread::Message, &sockets[0], 2).unwrap();
        let [one, other] = counts(&mut sockets);
        // Both fail to get 8 of 64 once in 10^11 runs.
        assert!(one + other == 64 && one >= 8 && other >= 8, "{one} and {other}");
        apply(Spread::Flow, &sockets[1], 2).unwrap();
        assert_eq!(counts(&mut sockets), flow);
        apply(Spread::Auto, &sockets[0], 2).unwrap();
    }
}
