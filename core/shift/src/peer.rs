//! One other member as this one knows it: what it reported last, and which of its datagrams were seen.

use std::net::SocketAddr;

use base::{Duration, Time};
use heartbeat::Decay;

use crate::datagram::{Ignored, Report};
use crate::workload::Workload;

/// Which counts of a sender were seen. UDP may change the order of datagrams, so some below the largest are still admitted once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    largest: u64,
    /// Bit n: the count `largest - n` was seen.
    seen: u64,
}

impl Window {
    pub(crate) fn admit(&mut self, count: u64) -> Result<(), Ignored> {
        if count > self.largest {
            let step = count - self.largest;
            self.seen = self.seen.checked_shl(u32::try_from(step).unwrap_or(u32::MAX)).unwrap_or(0) | 1;
            self.largest = count;
            return Ok(());
        }
        let below = self.largest - count;
        let bit = 1u64.checked_shl(u32::try_from(below).unwrap_or(u32::MAX)).ok_or(Ignored::Replayed)?;
        if self.seen & bit != 0 {
            return Err(Ignored::Replayed);
        }
        self.seen |= bit;
        Ok(())
    }
}

/// What happened to a member by a report or by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Joined,
    Left,
    Gone,
}

pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) window: Window,
    /// `None`: not heard of yet, left, or gone.
    pub(crate) known: Option<Known>,
}

/// A member that is there.
pub(crate) struct Known {
    pub(crate) instance: u64,
    pub(crate) report: Report,
    pub(crate) at: Time,
    /// Calls that this member sent there since that report.
    pub(crate) sent_since: u32,
}

impl Peer {
    pub(crate) fn new(name: String, address: SocketAddr) -> Peer {
        Peer { name, address, window: Window::default(), known: None }
    }

    /// Its workload as far as it can be known: what it said, and what was sent there since.
    pub(crate) fn workload(&self) -> Workload {
        let Some(known) = &self.known else { return Workload(u32::MAX) };
        let added = known.sent_since.saturating_mul(known.report.call_permille);
        Workload(known.report.workload.0.saturating_add(added))
    }

    pub(crate) fn reported(&mut self, now: Time, instance: u64, report: Report) -> Option<Change> {
        let was_there = self.known.is_some();
        if !report.present {
            self.known = None;
            return was_there.then_some(Change::Left);
        }
        self.known = Some(Known { instance, report, at: now, sent_since: 0 });
        (!was_there).then_some(Change::Joined)
    }

    /// When silence means that it is gone, by the period that it named itself.
    pub(crate) fn deadline(&self, decay: Decay) -> Option<Time> {
        let known = self.known.as_ref()?;
        Some(decay.of_sender(Some(known.report.period_ms)).deadline(known.at) + Duration::from_micros(1))
    }

    pub(crate) fn silent(&mut self, now: Time, decay: Decay) -> Option<Change> {
        if self.deadline(decay).is_some_and(|deadline| deadline <= now) {
            self.known = None;
            return Some(Change::Gone);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_admitted_once_and_old_ones_never() {
        let mut window = Window::default();
        let table = [
            (1000, true),
            (1000, false),
            (1001, true),
            (999, true),
            (999, false),
            (1065, true),
            (1002, true),
            (1001, false),
            (1000, false),
            (5000, true),
            (4999, true),
            (4937, true),
            (4936, false),
            (u64::MAX, true),
            (u64::MAX, false),
            (5000, false),
        ];
        for (count, admitted) in table {
            assert_eq!(window.admit(count).is_ok(), admitted, "{count}");
        }
    }

    #[test]
    fn a_count_of_zero_is_never_sent_and_admitted_at_most_once() {
        let mut window = Window::default();
        assert!(window.admit(0).is_ok());
        assert!(window.admit(0).is_err());
    }
}
