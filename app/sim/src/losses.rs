//! The network's losses by transaction. A transaction whose every copy met a loss, or a load manager that was down, has failed
//! by chance, and no node is to blame: this happens in a few of some ten thousand runs in foul weather.

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
        let Some(transaction) = self.transaction(packet) else { return };
        let text = String::from_utf8_lossy(&packet.bytes);
        let front = text.chars().take("SIP/2.0 200".len()).collect();
        *transaction.sent.entry((packet.from, front)).or_default() += 1;
        transaction.lost += u32::from(is_lost);
    }

    /// The datagram came to a node that was down.
    pub fn came_to_nobody(&mut self, packet: &Packet) {
        if let Some(transaction) = self.transaction(packet) {
            transaction.lost += 1;
        }
    }

    /// The transaction of a datagram.
    fn transaction(&mut self, packet: &Packet) -> Option<&mut Transaction> {
        let text = String::from_utf8_lossy(&packet.bytes);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let key = (field("Call-ID: ")?.into(), field("CSeq: ")?.replace("ACK", "INVITE"));
        (!packet.stream).then(|| self.0.entry(key).or_default())
    }

    /// Call-IDs of calls with such a transaction: all copies of one message met a loss, and there were more than a few.
    /// `seemed_lost`: so many losses in a row made a server seem to be lost, so that the last copy went to another one.
    pub fn unlucky(&self, seemed_lost: bool) -> BTreeSet<&str> {
        let is_unlucky = |transaction: &Transaction| {
            let copies = transaction.sent.values().copied().max().unwrap_or_default();
            copies >= COPIES_MIN && transaction.lost + u32::from(seemed_lost) >= copies
        };
        let unlucky = self.0.iter().filter(|(_, transaction)| is_unlucky(transaction));
        unlucky.map(|((call_id, _), _)| &call_id[..]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bye(stream: bool) -> Packet {
        let at = |host| SocketAddr::from(([10, 0, 0, host], 5060));
        let bytes = b"BYE sip:a SIP/2.0\r\nCall-ID: one\r\nCSeq: 2 BYE\r\n\r\n".to_vec();
        Packet { from: at(1), to: at(2), stream, bytes }
    }

    /// Sends `copies` copies of a BYE and loses `lost` of them; returns whether the call is unlucky.
    fn unlucky(copies: u32, lost: u32, stream: bool) -> bool {
        let losses = losses(copies, lost, stream);
        losses.unlucky(false).contains("one")
    }

    fn losses(copies: u32, lost: u32, stream: bool) -> Losses {
        let packet = bye(stream);
        let mut losses = Losses::default();
        (0..copies).for_each(|copy| losses.sent(&packet, copy < lost));
        losses
    }

    #[test]
    fn a_transaction_is_lost_if_all_its_copies_are_and_there_were_enough() {
        assert!(unlucky(11, 11, false) && unlucky(7, 7, false));
        assert!(!unlucky(11, 10, false), "one came through");
        let (mut down, bye) = (losses(11, 10, false), bye(false));
        down.came_to_nobody(&bye);
        assert!(down.unlucky(false).contains("one"), "and found nobody");
        assert!(!unlucky(6, 6, false), "too few were sent");
        assert!(!unlucky(11, 11, true), "a stream loses nothing");
        let but_one = losses(11, 10, false);
        assert!(but_one.unlucky(true).contains("one"), "the last one went to another server");
        assert!(losses(11, 9, false).unlucky(true).is_empty());
    }
}
