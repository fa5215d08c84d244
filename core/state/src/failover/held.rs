//! What a server had as a primary when it last said so. An agent leaves it for the next one as a line of text.

use std::collections::BTreeSet;

use super::PEERS_MAX;
use super::word::Word;
use crate::view::Partitions;

/// See the head of this module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub(super) epoch: u64,
    /// None: it was a replica, or a primary without calls.
    pub(super) partitions: Partitions,
    /// The other servers of the cluster.
    pub(super) peers: BTreeSet<Box<str>>,
}

impl Held {
    /// What the server at `own` says about itself.
    pub(super) fn of(own: &str, word: &Word) -> Held {
        let sight = &word.cluster;
        let itself = sight.primaries.iter().find(|primary| &*primary.address == own);
        let addresses = sight.primaries.iter().map(|primary| &*primary.address);
        let addresses = addresses.chain(sight.replicas.iter().map(|replica| &*replica.address));
        let is_peer = |address: &&str| !address.is_empty() && *address != own;
        Held {
            epoch: itself.map_or(0, |primary| primary.epoch),
            partitions: itself.map_or(Partitions::default(), |primary| primary.partitions),
            peers: addresses.filter(is_peer).take(PEERS_MAX).map(Box::from).collect(),
        }
    }

    pub(super) fn nothing(&self) -> bool {
        self.partitions == Partitions::default()
    }

    /// Who has all of it now, as a server says. Only a higher epoch counts: one that was cut off may still tell old things.
    pub(super) fn successor<'a>(&self, own: &str, word: &'a Word) -> Option<&'a str> {
        let holder = |partition| {
            let holders = word.cluster.primaries.iter().filter(|one| one.partitions.holds(partition));
            holders.max_by_key(|one| one.epoch)
        };
        let mut successor = None;
        for partition in self.partitions.iter() {
            let holder = holder(partition).filter(|one| one.epoch > self.epoch)?;
            if holder.address.is_empty() || &*holder.address == own {
                return None;
            }
            successor = Some(&*holder.address);
        }
        successor
    }

    /// As a line: epoch, partitions in hexadecimal, servers.
    pub fn write(&self) -> String {
        let partitions: String = (0..=u8::MAX)
            .step_by(8)
            .map(|first| {
                let bits = (0..8).filter(|bit| self.partitions.holds(first + bit)).map(|bit| 1_u8 << bit);
                format!("{:02x}", bits.sum::<u8>())
            })
            .collect();
        let mut line = format!("{} {partitions}", self.epoch);
        for peer in &self.peers {
            line.push(' ');
            line.push_str(peer);
        }
        line
    }

    /// The same from a line. `None`: it is none that [`Held::write`] has written.
    pub fn read(line: &str) -> Option<Held> {
        let mut words = line.split_ascii_whitespace();
        let epoch = words.next()?.parse().ok()?;
        let hex = words.next().filter(|hex| hex.len() == 64 && hex.is_ascii())?;
        let mut partitions = Partitions::default();
        for (index, first) in (0..=u8::MAX).step_by(8).enumerate() {
            let byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).ok()?;
            (0..8).filter(|bit| byte >> bit & 1 == 1).for_each(|bit| partitions.add(first + bit));
        }
        Some(Held { epoch, partitions, peers: words.take(PEERS_MAX).map(Box::from).collect() })
    }
}
