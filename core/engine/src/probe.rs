//! One engine asks whether another lives, and that one answers: datagrams with an authenticator of the farm. A process that has
//! started anew at the address of a dead one answers with its own number.
//!
//! ```text
//! "SWP1" | 0 question, 1 answer: 1 | question's number 8 | engine that answers, 0 in a question: 4 | authenticator 16
//! ```

use subtle::ConstantTimeEq as _;

use crate::secret::FarmSecret;

const MAGIC: &[u8; 4] = b"SWP1";
const TEXT_BYTES: usize = MAGIC.len() + 1 + 8 + 4;

/// Length of such a datagram. An answer is no longer than its question.
pub(crate) const PROBE_BYTES: usize = TEXT_BYTES + 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    Question { number: u64 },
    Answer { number: u64, engine: u32 },
}

/// Whether a datagram is one; no SIP message begins like this.
pub(crate) fn is_meant(datagram: &[u8]) -> bool {
    datagram.starts_with(MAGIC)
}

impl Probe {
    pub(crate) fn seal(self, secret: &FarmSecret) -> [u8; PROBE_BYTES] {
        let (kind, number, engine) = match self {
            Probe::Question { number } => (0, number, 0),
            Probe::Answer { number, engine } => (1, number, engine),
        };
        let mut bytes = [0; PROBE_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = kind;
        bytes[5..13].copy_from_slice(&number.to_be_bytes());
        bytes[13..17].copy_from_slice(&engine.to_be_bytes());
        let authenticator = secret.probe(&bytes[..TEXT_BYTES]);
        bytes[TEXT_BYTES..].copy_from_slice(&authenticator);
        bytes
    }

    /// `None`: the farm did not write it.
    pub(crate) fn open(secret: &FarmSecret, datagram: &[u8]) -> Option<Probe> {
        let bytes: &[u8; PROBE_BYTES] = datagram.try_into().ok()?;
        let right: bool = secret.probe(&bytes[..TEXT_BYTES]).ct_eq(&bytes[TEXT_BYTES..]).into();
        let number = u64::from_be_bytes(*bytes[5..].first_chunk()?);
        let engine = u32::from_be_bytes(*bytes[13..].first_chunk()?);
        match bytes[4] {
            _ if !right || !is_meant(datagram) => None,
            0 => Some(Probe::Question { number }),
            1 => Some(Probe::Answer { number, engine }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_engine_seals_another_opens_and_nothing_else_is_believed() {
        let secret = FarmSecret::new([7; 32]);
        for probe in [Probe::Question { number: 77 }, Probe::Answer { number: 77, engine: 5 }] {
            let sealed = probe.seal(&secret);
            assert_eq!(Probe::open(&secret, &sealed), Some(probe));
            assert_eq!(Probe::open(&FarmSecret::new([8; 32]), &sealed), None, "another farm");
            for at in 0..sealed.len() {
                let mut changed = sealed;
                changed[at] ^= 1;
                assert_eq!(Probe::open(&secret, &changed), None, "{at}");
                assert_eq!(Probe::open(&secret, &sealed[..at]), None);
            }
        }
    }
}
