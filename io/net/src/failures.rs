//! Sends that failed: messages that did not leave, and datagrams that did not arrive, as an ICMP message says.
//!
//! Anybody can send an ICMP message with any source, and the kernel believes it as soon as it names an address and a port of
//! ours. So a report carries the part of the datagram that the ICMP message quotes, and the core checks by its own
//! authenticators whether that is a message of ours. The memory is bounded: the caller counts further reports, and they are
//! lost.

use std::ops::Range;

use sip::Target;

/// ICMP reports kept in one turn. A flood of reports brings no news: a few for each destination are enough.
const RETURNED_MAX: usize = 256;

/// Bytes kept of a quoted datagram. Routers quote up to 548 bytes over IPv4 (RFC 1812 §4.3.2.3) and up to 1,232 over IPv6
/// (RFC 4443 §2.4), and the topmost Via is at the front.
pub(crate) const QUOTED_MAX: usize = 1232;

/// A datagram that came back, as far as an ICMP message can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned<'a> {
    pub to: Target,
    /// The front of the datagram's payload, as the ICMP message quotes it. Empty if it quotes only the ports.
    pub quoted: &'a [u8],
}

#[derive(Debug, Default)]
pub struct Failures {
    /// Messages that did not leave: the kernel refused them, or their connection is lost.
    pub unsent: Vec<Target>,
    /// Messages that did not leave because this host or a bound of ours had no room.
    pub without_room: Vec<Target>,
    returned: Vec<(Target, Range<u32>)>,
    quoted: Vec<u8>,
}

impl Failures {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        self.unsent.len() + self.without_room.len() + self.returned.len()
    }

    pub fn returned(&self) -> impl Iterator<Item = Returned<'_>> {
        self.returned.iter().map(|(to, range)| Returned {
            to: *to,
            quoted: self.quoted.get(range.start as usize..range.end as usize).unwrap_or_default(),
        })
    }

    /// False: there were too many already.
    pub(crate) fn add_returned(&mut self, to: Target, quoted: &[u8]) -> bool {
        if self.returned.len() >= RETURNED_MAX {
            return false;
        }
        let start = self.quoted.len() as u32;
        self.quoted.extend_from_slice(&quoted[..quoted.len().min(QUOTED_MAX)]);
        self.returned.push((to, start..self.quoted.len() as u32));
        true
    }

    pub fn clear(&mut self) {
        self.unsent.clear();
        self.without_room.clear();
        self.returned.clear();
        self.quoted.clear();
    }

    /// Adds the unsent messages of another list after the own ones, and all datagrams that came back.
    pub fn append(&mut self, other: &mut Failures) {
        self.unsent.append(&mut other.unsent);
        self.without_room.append(&mut other.without_room);
        for returned in other.returned() {
            self.add_returned(returned.to, returned.quoted);
        }
        other.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_stay_with_their_reports_and_a_flood_is_cut_off() {
        let to = |port| Target::Datagram { listener: 0, to: ([127, 0, 0, 1], port).into() };
        let mut failures = Failures::default();
        for port in 0..2 * RETURNED_MAX as u16 {
            let kept = failures.add_returned(to(port), &vec![port as u8; usize::from(port) * 10]);
            assert_eq!(kept, usize::from(port) < RETURNED_MAX);
        }
        let mut behind = Failures { unsent: vec![to(1)], ..Failures::default() };
        behind.append(&mut failures);
        assert!(failures.is_empty() && behind.len() == 1 + RETURNED_MAX);
        for (port, returned) in behind.returned().enumerate() {
            assert_eq!(returned.to, to(port as u16));
            assert_eq!(returned.quoted.len(), (port * 10).min(QUOTED_MAX));
            assert!(returned.quoted.iter().all(|byte| usize::from(*byte) == port % 256));
        }
    }
}
