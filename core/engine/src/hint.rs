//! One engine asks another to look at a record: because a newer build has written the record and the first cannot read it, or
//! because the first has taken the call over from the second. A datagram with an authenticator of the farm.
//!
//! ```text
//! "SWH1" | hops 1 | key 12 | engine that is dead, 0: none: 4 | authenticator 16
//! ```

use state::Key;
use subtle::ConstantTimeEq as _;

use crate::secret::FarmSecret;

const MAGIC: &[u8; 4] = b"SWH1";
const HOPS_AT: usize = MAGIC.len();
const KEY_AT: usize = HOPS_AT + 1;
const DEAD_AT: usize = KEY_AT + 12;
const TEXT_BYTES: usize = DEAD_AT + 4;

/// Length of such a datagram.
const HINT_BYTES: usize = TEXT_BYTES + 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// How often it was handed on, this time among them.
    pub(crate) hops: u8,
    pub(crate) key: Key,
    /// The owner of the record, if whoever asks knows that it is dead.
    pub(crate) dead: Option<u32>,
}

/// Whether a datagram is one; no SIP message begins like this.
pub(crate) fn is_meant(datagram: &[u8]) -> bool {
    datagram.starts_with(MAGIC)
}

impl Hint {
    pub(crate) fn seal(self, secret: &FarmSecret) -> [u8; HINT_BYTES] {
        let mut bytes = [0; HINT_BYTES];
        bytes[..HOPS_AT].copy_from_slice(MAGIC);
        bytes[HOPS_AT] = self.hops;
        bytes[KEY_AT..DEAD_AT].copy_from_slice(&self.key.0);
        bytes[DEAD_AT..TEXT_BYTES].copy_from_slice(&self.dead.unwrap_or_default().to_be_bytes());
        let authenticator = secret.hint(&bytes[..TEXT_BYTES]);
        bytes[TEXT_BYTES..].copy_from_slice(&authenticator);
        bytes
    }

    /// `None`: the farm did not write it.
    pub(crate) fn open(secret: &FarmSecret, datagram: &[u8]) -> Option<Hint> {
        let bytes: &[u8; HINT_BYTES] = datagram.try_into().ok()?;
        let right: bool = secret.hint(&bytes[..TEXT_BYTES]).ct_eq(&bytes[TEXT_BYTES..]).into();
        let dead = u32::from_be_bytes(*bytes[DEAD_AT..].first_chunk()?);
        let hint = Hint {
            hops: bytes[HOPS_AT],
            key: Key(*bytes[KEY_AT..].first_chunk()?),
            dead: Some(dead).filter(|dead| *dead != 0),
        };
        (right && is_meant(datagram)).then_some(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_engine_seals_another_opens_and_nothing_else_is_believed() {
        let secret = FarmSecret::new([7; 32]);
        for dead in [None, Some(77)] {
            let hint = Hint { hops: 1, key: Key([9; 12]), dead };
            let sealed = hint.seal(&secret);
            assert_eq!(Hint::open(&secret, &sealed), Some(hint));
            assert_eq!(Hint::open(&FarmSecret::new([8; 32]), &sealed), None, "another farm");
            for at in 0..sealed.len() {
                let mut changed = sealed;
                changed[at] ^= 1;
                assert_eq!(Hint::open(&secret, &changed), None, "{at}");
                assert_eq!(Hint::open(&secret, &sealed[..at]), None);
            }
        }
    }
}
