//! Use of the host's network between two collections (SPEC B1, further factors): the busier direction of all interfaces but
//! loopback, as a share of what the links can carry.

use std::path::Path;
use std::time::Instant;

/// Bytes received and sent so far, and the time of the count.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    received: u64,
    sent: u64,
    at: Instant,
}

/// Turns counters of the kernel into a figure.
#[derive(Debug)]
pub(crate) struct Network {
    /// What the links carry in each direction. `None`: the kernel's value, which most virtual links do not have.
    mbit: Option<u64>,
    before: Option<Bytes>,
}

impl Network {
    pub(crate) fn new(mbit: Option<u64>) -> Network {
        Network { mbit, before: None }
    }

    /// Unknown the first time, and if nobody says what the links carry.
    pub(crate) fn collect(&mut self) -> Option<u16> {
        let text = std::fs::read_to_string("/proc/net/dev").ok()?;
        let (received, sent) = totals(&text);
        let now = Bytes { received, sent, at: Instant::now() };
        let before = self.before.replace(now)?;
        let mbit = self.mbit.or_else(|| link_mbit(&text))?;
        let busier = received.saturating_sub(before.received).max(sent.saturating_sub(before.sent));
        permille(busier, now.at.duration_since(before.at).as_micros(), mbit)
    }
}

fn permille(bytes: u64, micros: u128, mbit: u64) -> Option<u16> {
    // Bits per microsecond are megabits per second.
    let carried = micros.checked_mul(u128::from(mbit)).filter(|carried| *carried > 0)?;
    Some((u128::from(bytes) * 8 * 1000 / carried).min(1000) as u16)
}

/// Interface, bytes received, bytes sent: the first and the ninth number of each line of /proc/net/dev.
fn interfaces(text: &str) -> impl Iterator<Item = (&str, u64, u64)> {
    text.lines().filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let mut numbers = numbers.split_whitespace();
        let received = numbers.next()?.parse().ok()?;
        let sent = numbers.nth(7)?.parse().ok()?;
        (name.trim() != "lo").then_some((name.trim(), received, sent))
    })
}

fn totals(text: &str) -> (u64, u64) {
    interfaces(text).fold((0, 0), |(received, sent), (_, r, s)| (received + r, sent + s))
}

fn link_mbit(text: &str) -> Option<u64> {
    let speed = |(name, ..): (&str, u64, u64)| {
        let path = Path::new("/sys/class/net").join(name).join("speed");
        // −1 if the driver does not know.
        std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    };
    let sum: u64 = interfaces(text).filter_map(speed).sum();
    (sum > 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9999999   1000    0    0    0     0          0         0  9999999   1000    0    0    0     0       0          0
  eth0: 1000000   1000    0    0    0     0          0         0   250000    900    0    0    0     0       0          0
  eth1:500 1 0 0 0 0 0 0 700 1 0 0 0 0 0 0
";

    #[test]
    fn the_kernels_table_is_read_without_loopback() {
        assert_eq!(totals(DEV), (1_000_500, 250_700));
        assert_eq!(totals("garbage: 1\n"), (0, 0));
    }

    #[test]
    fn a_share_of_what_the_links_carry() {
        // 12.5 MB in a second are 100 Mbit/s.
        assert_eq!(permille(12_500_000, 1_000_000, 1000), Some(100));
        assert_eq!(permille(12_500_000, 1_000_000, 10), Some(1000), "never above all");
        assert_eq!(permille(1, 0, 10), None);
    }
}
