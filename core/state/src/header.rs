//! The head of every record, 32 bytes: what the store compares, and what an engine must know before it reads further.
//!
//! ```text
//! fence 8 | version 8 | owner 4 | application 4 | its version 4 | format 1 | least reader 1 | flags 2
//! ```
//!
//! All numbers are big-endian.

/// The format that this build writes.
pub const FORMAT: u8 = 1;

/// Flag of a header: the call is gone, and what follows says how late messages are answered.
pub const TOMBSTONE: u16 = 1;

/// Who wrote a record: an engine's number, drawn anew at each start, and its worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    pub engine: u32,
    pub worker: u32,
}

/// What a put compares: no two puts of one record write the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    pub fence: Fence,
    pub version: u64,
}

impl Stamp {
    pub const BYTES: usize = 16;

    pub fn to_bytes(self) -> [u8; Stamp::BYTES] {
        let number = u128::from(self.fence.engine) << 96
            | u128::from(self.fence.worker) << 64
            | u128::from(self.version);
        number.to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; Stamp::BYTES]) -> Stamp {
        let number = u128::from_be_bytes(bytes);
        let fence = Fence { engine: (number >> 96) as u32, worker: (number >> 64) as u32 };
        Stamp { fence, version: number as u64 }
    }

    /// The stamp of a record or a tombstone.
    pub fn of(record: &[u8]) -> Option<Stamp> {
        record.first_chunk().map(|bytes| Stamp::from_bytes(*bytes))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub stamp: Stamp,
    /// The engine that has the call: its timers run there, and its clients' answers are expected there.
    pub owner: u32,
    pub application: u32,
    pub application_version: u32,
    pub format: u8,
    /// The least format that an engine must know to change the record.
    pub least_reader: u8,
    pub flags: u16,
}

/// The reason why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer bytes than a header.
    Short,
    /// A newer build must handle the call; this build knows formats up to [`FORMAT`].
    TooNew { least_reader: u8 },
}

impl Header {
    pub const BYTES: usize = 32;

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stamp.to_bytes());
        for number in [self.owner, self.application, self.application_version] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&[self.format, self.least_reader]);
        out.extend_from_slice(&self.flags.to_be_bytes());
    }

    /// The header, and the bytes behind it.
    pub fn read(record: &[u8]) -> Result<(Header, &[u8]), HeaderError> {
        let (bytes, rest) = record.split_first_chunk::<{ Header::BYTES }>().ok_or(HeaderError::Short)?;
        let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|index| bytes[at + index]));
        let header = Header {
            stamp: Stamp::of(record).ok_or(HeaderError::Short)?,
            owner: number(16),
            application: number(20),
            application_version: number(24),
            format: bytes[28],
            least_reader: bytes[29],
            flags: u16::from_be_bytes([bytes[30], bytes[31]]),
        };
        match header.least_reader {
            least_reader if least_reader > FORMAT => Err(HeaderError::TooNew { least_reader }),
            _ => Ok((header, rest)),
        }
    }

    /// Whether the record is that of a call which is gone.
    pub fn is_tombstone(&self) -> bool {
        self.flags & TOMBSTONE != 0
    }

    /// The same, read from where the record lies.
    pub fn is_of_tombstone(record: &[u8]) -> bool {
        record.get(Header::BYTES - 1).is_some_and(|flags| u16::from(*flags) & TOMBSTONE != 0)
    }

    /// Sets the flag of a tombstone, whoever forgot it.
    pub fn mark_as_tombstone(record: &mut [u8]) {
        if let Some(flags) = record.get_mut(Header::BYTES - 1) {
            *flags |= TOMBSTONE as u8;
        }
    }

    /// The owner of a record, read from where it lies.
    pub fn owner_of(record: &[u8]) -> Option<u32> {
        record.get(Stamp::BYTES..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_its_bytes_do_not_change() {
        let header = Header {
            stamp: Stamp { fence: Fence { engine: 0x0102_0304, worker: 5 }, version: 0x0607_0809_0A0B_0C0D },
            owner: 0x1112_1314,
            application: 0x2122_2324,
            application_version: 0x3132_3334,
            format: FORMAT,
            least_reader: 1,
            flags: TOMBSTONE,
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes);
        let golden = "01020304000000050607080 90a0b0c0d11121314212223243132333401010001".replace(' ', "");
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, golden);
        bytes.extend_from_slice(b"rest");
        assert_eq!(Header::read(&bytes), Ok((header, &b"rest"[..])));
        assert_eq!(Stamp::of(&bytes), Some(header.stamp));
        assert_eq!(Header::owner_of(&bytes), Some(header.owner));
    }

    #[test]
    fn a_record_of_a_newer_build_and_half_a_header_are_refused() {
        let mut bytes = Vec::new();
        Header { least_reader: FORMAT + 1, ..Header::default() }.write(&mut bytes);
        assert_eq!(Header::read(&bytes), Err(HeaderError::TooNew { least_reader: FORMAT + 1 }));
        assert_eq!(Header::read(&bytes[..31]), Err(HeaderError::Short));
    }
}
