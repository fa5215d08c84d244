//! One other member as this one knows it: what it reported last, and which of its datagrams were seen.

use std::net::SocketAddr;

use base::{Duration, Time};
use heartbeat::Decay;

use crate::datagram::{Body, Ignored, Report};
use crate::workload::Workload;

/// Which counts of a sender were seen in its present life. UDP may change the order of datagrams, so some below the largest are
/// still admitted once.
///
/// A sender draws a new instance when it starts. Where its count is above those of all lives before, nobody can have recorded it
/// then, and the new life begins by itself. A sender whose clock was ahead in an earlier life has a lower count: its
/// new life begins when it has answered, which is for whoever owns the window to find out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// `None`: nothing came yet.
    instance: Option<u64>,
    largest: u64,
    /// Bit n: the count `largest - n` was seen.
    seen: u64,
    /// The largest of all lives.
    highest: u64,
}

impl Window {
    pub(crate) fn admit(&mut self, instance: u64, count: u64) -> Result<(), Ignored> {
        if !self.is_of(instance) {
            if self.instance.is_some() && count <= self.highest {
                return Err(Ignored::Replayed);
            }
            self.begin(instance, count);
            return Ok(());
        }
        if count > self.largest {
            let step = count - self.largest;
            self.seen = self.seen.checked_shl(u32::try_from(step).unwrap_or(u32::MAX)).unwrap_or(0) | 1;
            self.largest = count;
            self.highest = self.highest.max(count);
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

    /// Whether this is the instance of the present life.
    pub(crate) fn is_of(&self, instance: u64) -> bool {
        self.instance == Some(instance)
    }

    /// A new life, which this count is the first of.
    pub(crate) fn begin(&mut self, instance: u64, count: u64) {
        let highest = self.highest.max(count);
        *self = Window { instance: Some(instance), largest: count, seen: 1, highest };
    }
}

/// A member that might be in a new life is asked so often at most: whoever plays back what it recorded has us send no more.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

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
    /// Whether it is in a new life: the nonce of the poll, and when it was sent.
    asked: Option<(u64, Time)>,
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
        Peer { name, address, window: Window::default(), asked: None, known: None }
    }

    /// Whether to ask it with this nonce if it is in a new life.
    pub(crate) fn may_ask(&mut self, now: Time, nonce: u64) -> bool {
        let may = self.asked.is_none_or(|(_, at)| now.since(at) >= ASKED_AGAIN);
        if may {
            self.asked = Some((nonce, now));
        }
        may
    }

    /// The report that it was asked for, which nobody can have recorded before.
    pub(crate) fn is_answer(&self, body: &Body) -> bool {
        matches!(body, Body::Report(report) if self.asked.is_some_and(|(nonce, _)| nonce == report.nonce))
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
            assert_eq!(window.admit(1, count).is_ok(), admitted, "{count}");
        }
    }

    #[test]
    fn a_new_life_begins_above_all_counts_or_when_it_is_begun() {
        let mut window = Window::default();
        assert!(window.admit(1, 1000).is_ok());
        assert!(window.admit(2, 1000).is_err(), "it may have been recorded");
        assert!(window.admit(2, 1001).is_ok());
        assert!(window.admit(1, 1002).is_ok());
        window.begin(3, 500);
        for (instance, count, admitted) in [
            (3, 500, false),
            (3, 499, true),
            (3, 501, true),
            (1, 1002, false),
            (2, 502, false),
            (3, 502, true),
        ] {
            assert_eq!(window.admit(instance, count).is_ok(), admitted, "{instance} {count}");
        }
    }

    #[test]
    fn a_count_of_zero_is_never_sent_and_admitted_at_most_once() {
        let mut window = Window::default();
        assert!(window.admit(1, 0).is_ok());
        assert!(window.admit(1, 0).is_err());
    }
}
