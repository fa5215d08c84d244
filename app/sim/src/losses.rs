//! The network's losses by transaction. A transaction whose every copy met a loss has failed by chance, and no node is to
//! blame: this happens in a few of some ten thousand runs in foul weather.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::link::Packet;

/// The fewest copies in 64·T1: those of an INVITE (RFC 3261 §17.1.1.2). With fewer copies a node has given up too early.
const COPIES_MIN: u32 = 7;

/// A transaction: Call-ID and CSeq; the ACK belongs to its INVITE.
type Key = (String, String);

#[derive(Debug, Default)]
pub struct Losses(BTreeMap<Key, Transaction>);

#[derive(Debug, Default)]
struct Transaction {
    /// Numbers of datagrams, by sender and beginning of the start line.
    sent: BTreeMap<(SocketAddr, String), u32>,
    lost: u32,
}

impl Losses {
    pub fn sent(&mut self, packet: &Packet, is_lost: bool) {
        if packet.stream {
            return;
        }
        let text = String::from_utf8_lossy(&packet.bytes);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let (Some(call_id), Some(sequence)) = (field("Call-ID: "), field("CSeq: ")) else { return };
        let transaction = self.0.entry((call_id.into(), sequence.replace("ACK", "INVITE"))).or_default();
        let front = text.chars().take("SIP/2.0 200".len()).collect();
        *transaction.sent.entry((packet.from, front)).or_default() += 1;
        transaction.lost += u32::from(is_lost);
    }

    /// Call-IDs of calls with such a transaction: all copies of one message met a loss, and there were more than a few.
    pub fn unlucky(&self) -> BTreeSet<&str> {
        let is_unlucky = |transaction: &Transaction| {
            let copies = transaction.sent.values().copied().max().unwrap_or_default();
            copies >= COPIES_MIN && transaction.lost >= copies
        };
        let unlucky = self.0.iter().filter(|(_, transaction)| is_unlucky(transaction));
        unlucky.map(|((call_id, _), _)| &call_id[..]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `copies` copies of a BYE and loses `lost` of them; returns whether the call is unlucky.
    fn unlucky(copies: u32, lost: u32, stream: bool) -> bool {
        let at = |host| SocketAddr::from(([10, 0, 0, host], 5060));
        let bytes = b"BYE sip:a SIP/2.0\r\nCall-ID: one\r\nCSeq: 2 BYE\r\n\r\n".to_vec();
        let packet = Packet { from: at(1), to: at(2), stream, bytes };
        let mut losses = Losses::default();
        (0..copies).for_each(|copy| losses.sent(&packet, copy < lost));
        losses.unlucky().contains("one")
    }

    #[test]
    fn a_transaction_is_lost_if_all_its_copies_are_and_there_were_enough() {
        assert!(unlucky(11, 11, false) && unlucky(7, 7, false));
        assert!(!unlucky(11, 10, false), "one came through");
        assert!(!unlucky(6, 6, false), "too few were sent");
        assert!(!unlucky(11, 11, true), "a stream loses nothing");
    }
}
