//! Where one TLS record ends in a stream (RFC 8446 §5.1). So it is known how much of a record a peer makes us keep, and
//! since when. `rustls` handles the content of the record, and ends the connection if the record is too long.

use base::Time;

/// Type, version, length.
const HEAD_BYTES: usize = 5;

#[derive(Debug, Default)]
pub(super) struct Records {
    /// Bytes of the incomplete record.
    pub(super) held: usize,
    /// When the first byte came.
    pub(super) since: Time,
    length: [u8; 2],
}

impl Records {
    /// Takes the next bytes. Each record is looked at once, however the stream is cut.
    pub(super) fn see(&mut self, mut bytes: &[u8], now: Time) {
        while let Some(&first) = bytes.first() {
            if self.held == 0 {
                self.since = now;
            }
            if self.held < HEAD_BYTES {
                if let Some(length) = self.held.checked_sub(HEAD_BYTES - 2) {
                    self.length[length] = first;
                }
                self.held += 1;
                bytes = &bytes[1..];
            } else {
                let left = self.left().min(bytes.len());
                self.held += left;
                bytes = &bytes[left..];
            }
            if self.held >= HEAD_BYTES && self.left() == 0 {
                self.held = 0;
            }
        }
    }

    fn left(&self) -> usize {
        HEAD_BYTES + usize::from(u16::from_be_bytes(self.length)) - self.held
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(payload: usize) -> Vec<u8> {
        let mut bytes = vec![23, 3, 3];
        bytes.extend_from_slice(&(payload as u16).to_be_bytes());
        bytes.resize(HEAD_BYTES + payload, 0xFF);
        bytes
    }

    #[test]
    fn a_record_ages_from_its_first_byte() {
        let mut records = Records::default();
        for (second, part) in record(7).chunks(3).enumerate() {
            assert_eq!(records.held, 3 * second);
            records.see(part, Time::from_secs(second as u64));
            assert_eq!(records.since, Time::ZERO);
        }
        assert_eq!(records.held, 0);
        records.see(&[record(0), record(9)[..6].to_vec()].concat(), Time::from_secs(9));
        assert_eq!((records.held, records.since), (6, Time::from_secs(9)));
    }

    proptest! {
        #[test]
        fn any_cuts(
            payloads in prop::collection::vec(0usize..400, 1..20),
            cut in 1usize..100,
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let mut records = Records::default();
            let all: Vec<u8> = payloads.iter().flat_map(|payload| record(*payload)).collect();
            for part in all.chunks(cut) {
                records.see(part, Time::ZERO);
            }
            prop_assert_eq!(records.held, 0);
            for part in bytes.chunks(cut) {
                records.see(part, Time::ZERO);
                prop_assert!(records.held < HEAD_BYTES + 0x10000);
            }
        }
    }
}
