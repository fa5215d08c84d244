//! The farm's keys at work: authenticators for tags and hops, and keyed hashes for branches and Call-IDs.
//!
//! Every load manager with the same keys computes the same values, so any of them can continue what another began. The newest
//! key signs; all keys verify, so a rotation breaks no call. Branches and Call-ID hashes authenticate nothing and must not
//! change while a transaction runs: they depend on the oldest key alone.

use crate::signed::branch::{BRANCH_LENGTH, BranchKey};
use std::hash::Hasher;

use base::Key;
use sip::work;
use siphasher::sip::{SipHasher13, SipHasher24};

use crate::settings::Keys;
use crate::signed::token;

/// Authenticator bits in a tag: 48. A right guess steers one message of the guesser's own, once.
pub const TAG_AUTHENTICATOR_BYTES: usize = 6;

/// Room for the parts that make a branch: any honest branch and sent-by.
const BRANCH_TEXT_BYTES: usize = 256;

pub struct KeyRing {
    signing: Vec<SigningKey>,
    branch: SipHasher13,
    call: SipHasher13,
    /// Branch and Call-ID hashes of the previous ring, if its oldest key was taken out at run time.
    previous: Option<(SipHasher13, SipHasher13)>,
}

struct SigningKey {
    id: u8,
    tag: SipHasher24,
    hop: SipHasher24,
    /// For Call-IDs in the tags that this key signs.
    call: SipHasher13,
    /// For From tags in them.
    mark: u64,
    /// For notices between load managers.
    notice: Key<[u8; 16]>,
    /// For the memory that a load manager leaves to the next one.
    memory: SipHasher24,
}

/// The hash of a Call-ID under the farm's key: affinity, new calls, sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallKey(pub u64);

/// Separates the uses of one key, so that a value made for one purpose is worth nothing for another.
fn derive(key: &Key<[u8; 16]>, purpose: u64) -> Key<[u8; 16]> {
    let mut derived = [0u8; 16];
    for half in 0..2u64 {
        let mut hasher = SipHasher24::new_with_key(key.get());
        hasher.write_u64(purpose);
        hasher.write_u64(half);
        derived[half as usize * 8..][..8].copy_from_slice(&hasher.finish().to_le_bytes());
    }
    derived.into()
}

impl KeyRing {
    /// Panics without a key: `config` never builds such settings.
    pub fn new(keys: &Keys) -> KeyRing {
        let (_, oldest) = keys.tag.last().expect("at least one tag key");
        let signing = keys.tag.iter().map(|(id, key)| SigningKey {
            id: *id,
            tag: SipHasher24::new_with_key(derive(key, 1).get()),
            hop: SipHasher24::new_with_key(derive(key, 2).get()),
            call: SipHasher13::new_with_key(derive(key, 4).get()),
            mark: u64::from_le_bytes(*derive(key, 5).get().first_chunk().expect("16 bytes")),
            notice: derive(key, 6),
            memory: SipHasher24::new_with_key(derive(key, 7).get()),
        });
        KeyRing {
            signing: signing.collect(),
            branch: SipHasher13::new_with_key(derive(oldest, 3).get()),
            call: SipHasher13::new_with_key(derive(oldest, 4).get()),
            previous: None,
        }
    }

    /// The ring of these keys, to follow this ring: a remembered call keeps the hash that it began with.
    pub fn renewed(&self, keys: &Keys) -> KeyRing {
        let mut next = KeyRing::new(keys);
        let same_oldest = next.call(b"") == self.call(b"");
        next.previous = if same_oldest { self.previous } else { Some((self.branch, self.call)) };
        next
    }

    /// The same Call-ID under the previous ring; `None`: there is none, as nearly always.
    pub(crate) fn previous_call(&self, call_id: &[u8]) -> Option<CallKey> {
        self.previous.map(|(_, call)| CallKey(call.hash(call_id)))
    }

    pub fn call(&self, call_id: &[u8]) -> CallKey {
        work::bytes(call_id.len());
        CallKey(self.call.hash(call_id))
    }

    /// The mark of a From tag in a tag that is signed by the key of this id. It depends on no other key, which might be taken
    /// out first. The mark only tells the two ends of a dialog apart, and the tag authenticates it: a seeded hash is enough.
    pub(crate) fn mark(&self, id: u8, from_tag: &[u8]) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(from_tag, self.key(id).map_or(0, |key| key.mark))
    }

    /// RFC 3261 §16.11: a function of the text that identifies the transaction in the received request,
    /// `sent-by;branch=value`.
    #[inline]
    pub fn branch_of(&self, sent_by_and_branch: &[u8]) -> BranchKey {
        BranchKey(self.branch.hash(sent_by_and_branch))
    }

    /// The same for several parts, each with a meaning of its own: each ends in a zero, which no branch has.
    pub fn branch(&self, parts: &[&[u8]]) -> BranchKey {
        self.branch_under(self.branch, parts)
    }

    /// The same for a call that keeps the previous ring.
    pub(crate) fn previous_branch(&self, parts: &[&[u8]]) -> BranchKey {
        self.branch_under(self.previous.map_or(self.branch, |(branch, _)| branch), parts)
    }

    pub(crate) fn previous_branch_of(&self, sent_by_and_branch: &[u8]) -> BranchKey {
        BranchKey(self.previous.map_or(self.branch, |(branch, _)| branch).hash(sent_by_and_branch))
    }

    fn branch_under(&self, hasher: SipHasher13, parts: &[&[u8]]) -> BranchKey {
        parts.iter().for_each(|part| work::bytes(part.len()));
        // Hashing in one go is twice as fast as piece by piece, and gives the same hash.
        let mut text = [0u8; BRANCH_TEXT_BYTES];
        let mut length = 0;
        for part in parts {
            match text.get_mut(length..length + part.len() + 1) {
                Some(place) => place[..part.len()].copy_from_slice(part),
                None => return long_branch(hasher, parts),
            }
            length += part.len() + 1;
        }
        BranchKey(hasher.hash(&text[..length]))
    }

    /// The key that signs notices to other load managers, and its id.
    pub fn signing_notice_key(&self) -> (u8, Key<[u8; 16]>) {
        (self.signing[0].id, self.signing[0].notice.clone())
    }

    /// The key that verifies the notices of others. `None`: an unknown id.
    pub fn notice_key(&self, id: u8) -> Option<Key<[u8; 16]>> {
        self.key(id).map(|key| key.notice.clone())
    }

    /// The authenticator of a stored memory of calls under the key of this id. `None`: an unknown id.
    pub(crate) fn memory_authenticator(&self, id: u8, bytes: &[u8]) -> Option<u64> {
        self.key(id).map(|key| key.memory.hash(bytes))
    }

    pub(crate) fn signing_id(&self) -> u8 {
        self.signing[0].id
    }

    /// `None`: an unknown key. The first byte of `tag` and of `hop` is the id of the key.
    pub(crate) fn tag_authenticator(
        &self,
        tag: &[u8],
        call: CallKey,
        call_id: &[u8],
    ) -> Option<[u8; TAG_AUTHENTICATOR_BYTES]> {
        let key = self.key(tag[0])?;
        // With one key, as nearly always, or under the oldest key, `call` is that hash already.
        let oldest = self.previous.is_none() && self.signing.last().is_some_and(|last| last.id == key.id);
        let call = if oldest { call } else { CallKey(key.call.hash(call_id)) };
        let mut signed = [0u8; token::BYTES_MAX];
        let length = tag.len() + 8;
        signed[..tag.len()].copy_from_slice(tag);
        signed[tag.len()..length].copy_from_slice(&call.0.to_le_bytes());
        let whole = key.tag.hash(&signed[..length]).to_le_bytes();
        let mut short = [0u8; TAG_AUTHENTICATOR_BYTES];
        short.copy_from_slice(&whole[..TAG_AUTHENTICATOR_BYTES]);
        Some(short)
    }

    /// The authenticator of the first `length` bytes of `hop`. `None`: an unknown key, or a branch longer than ours are.
    pub(crate) fn hop_authenticator(
        &self,
        hop: &[u8; token::BYTES_MAX],
        length: usize,
        branch: &[u8],
    ) -> Option<[u8; 8]> {
        let mut signed = [0u8; token::BYTES_MAX + 2 * BRANCH_LENGTH];
        signed[..token::BYTES_MAX].copy_from_slice(hop);
        let place = signed.get_mut(length..length + branch.len())?;
        // All our branches have one length, and a copy of a known length is no function call.
        match (<&mut [u8; BRANCH_LENGTH]>::try_from(&mut *place), branch.first_chunk()) {
            (Ok(place), Some(branch)) => *place = *branch,
            _ => place.copy_from_slice(branch),
        }
        Some(self.key(hop[0])?.hop.hash(&signed[..length + branch.len()]).to_le_bytes())
    }

    fn key(&self, id: u8) -> Option<&SigningKey> {
        self.signing.iter().find(|key| key.id == id)
    }
}

#[cold]
fn long_branch(mut hasher: SipHasher13, parts: &[&[u8]]) -> BranchKey {
    for part in parts {
        hasher.write(part);
        hasher.write_u8(0);
    }
    BranchKey(hasher.finish())
}

/// The states of hashers contain their keys.
impl Drop for KeyRing {
    fn drop(&mut self) {
        for key in &mut self.signing {
            (key.tag, key.hop, key.memory) = (SipHasher24::new(), SipHasher24::new(), SipHasher24::new());
            (key.call, key.mark) = (SipHasher13::new(), 0);
        }
        (self.branch, self.call, self.previous) = (SipHasher13::new(), SipHasher13::new(), None);
        // Otherwise the compiler may omit the writes, since nobody reads the result.
        std::hint::black_box(&mut *self);
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<u8> = self.signing.iter().map(|key| key.id).collect();
        write!(f, "KeyRing({ids:?})")
    }
}

/// Compares authenticators in a time that does not depend on where they differ.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |all, (l, r)| all | (l ^ r)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_keys_nor_rings_print_a_key() {
        let keys = Keys { tag: vec![(7, [0xAB; 16].into())], heartbeat: Some(b"swordfish".to_vec().into()) };
        assert_eq!(format!("{keys:?}"), "Keys(1 tag keys, heartbeat key: true)");
        assert_eq!(format!("{:?}", KeyRing::new(&keys)), "KeyRing([7])");
    }
}
