//! The secret of a farm, and the hashes made with it. It is the same in all engines, and does not change while there are
//! records.

use std::hash::Hasher as _;

use base::Key;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use siphasher::sip128::{Hasher128, SipHasher24};
use state::Key as RecordKey;

/// Each use has a key of its own: a value made for one purpose is worth nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The first byte of a record's key.
    Partition,
    RecordKey,
    Name,
    Tag,
    CallId,
    Branch,
    /// Tells one request from another in a tombstone.
    Mark,
    /// Authenticates what engines hand to each other.
    Letter,
    /// Authenticates our Record-Route entries.
    Entry,
}

/// 256 bits that nobody outside the farm knows.
#[derive(Clone, Debug)]
pub struct FarmSecret {
    whole: Key<[u8; 32]>,
    /// By purpose.
    keys: [Key<[u8; 16]>; 9],
}

impl FarmSecret {
    pub fn new(secret: [u8; 32]) -> FarmSecret {
        let whole: Key<[u8; 32]> = secret.into();
        let key = |purpose: Purpose| {
            let words = mac(&whole, &[&[purpose as u8]]);
            let front: [u8; 16] = std::array::from_fn(|at| words[at]);
            Key::from(front)
        };
        let keys = [
            key(Purpose::Partition),
            key(Purpose::RecordKey),
            key(Purpose::Name),
            key(Purpose::Tag),
            key(Purpose::CallId),
            key(Purpose::Branch),
            key(Purpose::Mark),
            key(Purpose::Letter),
            key(Purpose::Entry),
        ];
        FarmSecret { whole, keys }
    }

    /// A keyed hash of parts, each of which counts with its length: no two lists of parts give the same input.
    pub(crate) fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> u128 {
        let mut hasher = SipHasher24::new_with_key(self.keys[purpose as usize].get());
        for part in parts {
            hasher.write(&(part.len() as u64).to_be_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// A hash of a Via's sent-by and branch, never 0: it tells one request from another.
    pub(crate) fn mark(&self, sent_by: &[u8], branch: &[u8]) -> u64 {
        (self.hash(Purpose::Mark, &[sent_by, branch]) as u64).max(1)
    }

    /// Seeds of the tables of an engine: nobody outside the farm can choose names that meet in them.
    pub(crate) fn seeds(&self) -> [u64; 2] {
        let hash = self.hash(Purpose::Mark, &[b"tables"]);
        [hash as u64, (hash >> 64) as u64]
    }

    /// What the copies of a request have in common that come on several ways.
    pub(crate) fn same_request(&self, from_tag: &[u8], call_id: &[u8], number: u32, uri: &[u8]) -> u128 {
        self.hash(Purpose::Mark, &[b"merged", from_tag, call_id, &number.to_be_bytes(), uri])
    }

    /// The authenticator of a message for another engine.
    pub(crate) fn letter(&self, hops: &[u8], length: &[u8], text: &[u8]) -> [u8; 16] {
        self.hash(Purpose::Letter, &[hops, length, text]).to_be_bytes()
    }

    /// The authenticator of a question whether an engine lives, or of its answer.
    pub(crate) fn probe(&self, text: &[u8]) -> [u8; 16] {
        self.hash(Purpose::Letter, &[b"probe", text]).to_be_bytes()
    }

    /// The authenticator of a question to look at a record.
    pub(crate) fn hint(&self, text: &[u8]) -> [u8; 16] {
        self.hash(Purpose::Letter, &[b"hint", text]).to_be_bytes()
    }

    /// What an application gets as chance: 256 bits for each `number` of one version of a record. An engine that does the same
    /// event again draws the same.
    pub fn chance(&self, key: RecordKey, birth: u64, version: u64, number: u32) -> [u8; 32] {
        let front = [u8::MAX];
        let parts = [&front[..], &key.0, &birth.to_be_bytes(), &version.to_be_bytes(), &number.to_be_bytes()];
        mac(&self.whole, &parts)
    }
}

/// HMAC-SHA-256 (RFC 2104). All parts but the last have a fixed length.
fn mac(key: &Key<[u8; 32]>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.get()).expect("any length is a key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_the_borders_of_parts_change_the_hash() {
        let secret = FarmSecret::new([7; 32]);
        let hash = |purpose, parts: &[&[u8]]| secret.hash(purpose, parts);
        assert_ne!(hash(Purpose::Tag, &[b"a"]), hash(Purpose::Branch, &[b"a"]));
        assert_ne!(hash(Purpose::Tag, &[b"ab", b"c"]), hash(Purpose::Tag, &[b"a", b"bc"]));
        assert_ne!(hash(Purpose::Tag, &[b"a"]), FarmSecret::new([8; 32]).hash(Purpose::Tag, &[b"a"]));
    }

    #[test]
    fn chance_repeats_for_one_version_and_number_and_for_no_other() {
        let secret = FarmSecret::new([7; 32]);
        let (key, other) = (RecordKey([1; 12]), RecordKey([2; 12]));
        let one = secret.chance(key, 5, 6, 0);
        assert_eq!(one, secret.chance(key, 5, 6, 0));
        for another in [
            secret.chance(other, 5, 6, 0),
            secret.chance(key, 4, 6, 0),
            secret.chance(key, 5, 7, 0),
            secret.chance(key, 5, 6, 1),
        ] {
            assert_ne!(one, another);
        }
    }
}
