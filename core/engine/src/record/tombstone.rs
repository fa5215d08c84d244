//! What lies under the key of a call that is gone, so that late messages get the answers that they would have got.

use state::{FORMAT, Header};

use super::fields::{Reader, write_number};
use super::{Broken, RecordError};

/// See the head of this module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tombstone {
    /// Birth of the call.
    pub birth: u64,
    /// The final answer to the INVITE.
    pub status: u16,
    /// A keyed hash of the last BYE's topmost Via; 0: there was none.
    pub bye: u64,
    /// The final answer to that BYE.
    pub bye_status: u16,
}

impl Tombstone {
    pub fn write(&self, header: &Header, out: &mut Vec<u8>) {
        let header =
            Header { format: FORMAT, least_reader: 0, flags: header.flags | state::TOMBSTONE, ..*header };
        header.write(out);
        for number in [self.birth, self.status.into(), self.bye, self.bye_status.into()] {
            write_number(number, out);
        }
    }

    pub fn read(bytes: &[u8]) -> Result<Tombstone, RecordError> {
        let (header, rest) = Header::read(bytes).map_err(RecordError::Header)?;
        if !header.is_tombstone() {
            return Err(RecordError::Broken);
        }
        let mut from = Reader::of(rest);
        let mut read = || -> Result<Tombstone, Broken> {
            Ok(Tombstone {
                birth: from.number()?,
                status: from.small()?,
                bye: from.number()?,
                bye_status: from.small()?,
            })
        };
        read().map_err(RecordError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_read_as_it_was_written_and_no_record_is_one() {
        let tombstone = Tombstone { birth: 1_700_000_000_000_000, status: 486, bye: 77, bye_status: 200 };
        let mut bytes = Vec::new();
        tombstone.write(&Header::default(), &mut bytes);
        assert_eq!(Tombstone::read(&bytes), Ok(tombstone));
        assert!(Header::is_of_tombstone(&bytes));
        assert_eq!(super::super::Record::read(&bytes), Err(RecordError::Tombstone));
        bytes[Header::BYTES - 1] = 0;
        assert_eq!(Tombstone::read(&bytes), Err(RecordError::Broken));
        assert!(Tombstone::read(&bytes[..31]).is_err());
    }
}
