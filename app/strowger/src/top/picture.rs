//! Makes one picture of two status reports: what changed between them, per second.

use std::cmp::Reverse;
use std::fmt::Write as _;

use crate::report::status::{ServerStatus, StatusReport};
use crate::report::table::{aligned, or_dash};
use crate::top::Order;

/// Cells of the longest bar.
const BAR: usize = 10;
/// How many counters of failures are named; if more rise at once, they have the same cause.
const TROUBLES: usize = 6;
/// Counters that also rise when all is well.
const TRAFFIC: &[&str] = &[
    "requests_to_server",
    "requests_to_client",
    "responses",
    "new_calls",
    "sessions_established",
    "sessions_ended",
    "sessions_completed",
    "turns",
    "busy_micros",
    "datagrams_in",
    "datagrams_out",
    "datagrams_joined",
    "datagram_bytes_in",
    "datagram_bytes_out",
    "datagram_batches_in",
    "stream_bytes_in",
    "stream_bytes_out",
    "heartbeats",
];

/// Two looks at the same load manager.
pub(super) struct Looks<'a> {
    pub(super) before: &'a StatusReport,
    pub(super) now: &'a StatusReport,
    /// Time between them.
    pub(super) millis: u64,
}

impl Looks<'_> {
    fn per_second(&self, before: u64, now: u64) -> f64 {
        now.saturating_sub(before) as f64 * 1000.0 / self.millis.max(1) as f64
    }

    /// The same server in the look before, found by its address: indices move when servers leave.
    fn earlier(&self, server: &ServerStatus) -> Option<&ServerStatus> {
        let same =
            |other: &&ServerStatus| (other.address, &other.transport) == (server.address, &server.transport);
        self.before.servers.iter().find(same)
    }

    fn rate(&self, server: &ServerStatus, of: impl Fn(&ServerStatus) -> u64) -> f64 {
        // A new server has done all of its work since the look before.
        self.per_second(self.earlier(server).map_or(0, &of), of(server))
    }

    fn counter(&self, name: &str) -> f64 {
        let value = |report: &StatusReport| {
            report.counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
        };
        self.per_second(value(self.before), value(self.now))
    }

    /// What was ignored, refused or lost since the last look: name and events per second, the most frequent first.
    fn troubles(&self) -> Vec<(&str, f64)> {
        let mut rising: Vec<_> = self
            .now
            .counters
            .iter()
            .filter(|counter| !TRAFFIC.contains(&counter.name.as_str()))
            .map(|counter| (counter.name.as_str(), self.counter(&counter.name)))
            .filter(|(_, rate)| *rate > 0.0)
            .collect();
        rising.sort_by(|one, other| other.1.total_cmp(&one.1));
        rising.truncate(TROUBLES);
        rising
    }
}

/// `rows`: servers that there is room for, beginning with `first`. The others are only counted.
pub(super) fn picture(looks: &Looks<'_>, order: Order, first: usize, rows: usize) -> String {
    let now = looks.now;
    let mut text = String::new();
    let workers = |of: fn(&crate::report::status::WorkerStatus) -> u64| {
        let sum = |report: &StatusReport| report.workers.iter().map(of).sum();
        looks.per_second(sum(looks.before), sum(now))
    };
    let _ = writeln!(
        text,
        "strowger {}, up {}; affinity {}, selection {}; {}",
        now.version,
        duration(now.uptime_seconds),
        now.affinity,
        now.selection,
        now.listeners.join(" ")
    );
    let _ = writeln!(
        text,
        "{} servers, {} active; {:.0} new calls/s, {:.0} messages/s in, {:.0} out; {} connections; {:.0} lost/s",
        now.servers.len(),
        now.active.len(),
        looks.counter("new_calls"),
        workers(|worker| worker.messages_in),
        workers(|worker| worker.messages_out),
        now.workers.iter().map(|worker| worker.connections).sum::<u64>(),
        workers(|worker| worker.lost),
    );
    let stores = now.memory.iter().map(|store| format!("{} {}", store.name, store.entries));
    let _ = writeln!(text, "remembered: {}\n", stores.collect::<Vec<_>>().join(", "));
    text.push_str(&servers(looks, order, first, rows));
    let troubles = looks.troubles();
    if !troubles.is_empty() {
        let list = troubles.iter().map(|(name, rate)| format!("{name} {rate:.0}/s"));
        let _ = writeln!(text, "\nignored, refused or lost: {}", list.collect::<Vec<_>>().join(", "));
    }
    text
}

fn servers(looks: &Looks<'_>, order: Order, first: usize, rows: usize) -> String {
    let mut servers: Vec<&ServerStatus> = looks.now.servers.iter().collect();
    let new_calls = |server: &ServerStatus| looks.rate(server, |server| server.new_calls);
    match order {
        Order::Index => {}
        Order::NewCalls => servers.sort_by(|one, other| new_calls(other).total_cmp(&new_calls(one))),
        Order::Load => servers.sort_by_key(|server| Reverse(server.load_permille)),
        Order::Calls => servers.sort_by_key(|server| Reverse(server.calls)),
        Order::State => servers.sort_by_key(|server| server.state == "active"),
    }
    let all: f64 = servers.iter().map(|server| new_calls(server)).sum();
    let most = servers.iter().map(|server| new_calls(server)).fold(0.0, f64::max);
    let first = first.min(servers.len().saturating_sub(rows));
    let row = |server: &&ServerStatus| {
        let rate = new_calls(server);
        let share = if all > 0.0 { rate / all } else { 0.0 };
        let cells = if most > 0.0 { (rate / most * BAR as f64).round() as usize } else { 0 };
        vec![
            server.address.map_or_else(String::new, |address| format!("{}:{address}", server.transport)),
            server.state.clone(),
            format!("{rate:.1}"),
            format!("{:.1} %", share * 100.0),
            format!("{}{}", "█".repeat(cells), "·".repeat(BAR - cells)),
            format!("{:.0}", looks.rate(server, |server| server.messages)),
            format!("{:.1}", looks.rate(server, |server| server.failures + server.failed)),
            or_dash(server.calls),
            or_dash(server.load_permille.map(|load| format!("{:.1}", f64::from(load) / 10.0))),
            or_dash(server.score),
            server.weight.to_string(),
            server.reason.clone(),
        ]
    };
    let head = [
        "server",
        "state",
        "new calls/s",
        "share",
        "",
        "messages/s",
        "failures/s",
        "calls",
        "load %",
        "score",
        "weight",
        "reason",
    ];
    let shown: Vec<Vec<String>> = servers.iter().skip(first).take(rows).map(row).collect();
    let mut text = aligned(&head, &shown);
    let hidden = servers.len() - shown.len();
    if hidden > 0 {
        let _ = writeln!(text, "  … {hidden} more");
    }
    text
}

/// In the two largest units.
fn duration(seconds: u64) -> String {
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::status::{Counter, WorkerStatus};

    fn report(new_calls: [u64; 2], dropped: u64) -> StatusReport {
        let server = |index: u32, new_calls: u64| ServerStatus {
            index,
            address: Some(([127, 0, 0, 1], 7000 + index as u16).into()),
            transport: "udp".into(),
            state: "active".into(),
            reason: "its traffic is answered".into(),
            weight: 1,
            new_calls,
            messages: new_calls * 3,
            load_permille: Some(100 * index),
            ..ServerStatus::default()
        };
        StatusReport {
            version: "1".into(),
            uptime_seconds: 3_700,
            servers: vec![server(0, new_calls[0]), server(1, new_calls[1])],
            active: vec![0, 1],
            counters: vec![
                Counter { name: "new_calls".into(), value: new_calls.iter().sum() },
                Counter { name: "malformed".into(), value: dropped },
            ],
            workers: vec![WorkerStatus { messages_in: 6 * new_calls[0], ..WorkerStatus::default() }],
            ..StatusReport::default()
        }
    }

    fn shown(order: Order, rows: usize) -> String {
        let (before, now) = (report([100, 100], 5), report([160, 220], 25));
        picture(&Looks { before: &before, now: &now, millis: 2000 }, order, 0, rows)
    }

    #[test]
    fn what_changed_is_shown_per_second() {
        let text = shown(Order::Index, 10);
        assert!(text.contains("up 1 h 1 min"), "{text}");
        assert!(text.contains("2 servers, 2 active; 90 new calls/s, 180 messages/s in"), "{text}");
        assert!(text.contains("30.0  33.3 %  █████·····          90"), "{text}");
        assert!(text.contains("60.0  66.7 %  ██████████         180"), "{text}");
        assert!(text.contains("ignored, refused or lost: malformed 10/s"), "{text}");
    }

    #[test]
    fn the_order_and_the_room_are_kept() {
        let text = shown(Order::Load, 1);
        assert!(text.contains("udp:127.0.0.1:7001") && !text.contains("udp:127.0.0.1:7000"), "{text}");
        assert!(text.contains("… 1 more"), "{text}");
    }

    #[test]
    fn a_server_that_has_just_come_and_one_that_began_anew() {
        let (mut before, now) = (report([500, 100], 0), report([20, 100], 0));
        before.servers.pop();
        let looks = Looks { before: &before, now: &now, millis: 1000 };
        assert_eq!(looks.rate(&now.servers[0], |server| server.new_calls), 0.0, "counts never run backwards");
        assert_eq!(looks.rate(&now.servers[1], |server| server.new_calls), 100.0);
    }
}
