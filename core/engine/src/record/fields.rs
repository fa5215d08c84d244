//! Numbers and byte strings of a record: a number has 7 bits a byte, the low ones first, and the highest bit says that more
//! follow; a byte string follows its length.

/// Bytes of the longest number: 64 bits.
const NUMBER_BYTES: usize = 10;

/// The reason why bytes are no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

pub(super) fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A number that is often small and may be negative.
pub(super) fn write_signed(number: i64, out: &mut Vec<u8>) {
    write_number((number << 1 ^ number >> 63) as u64, out);
}

/// Reads the fields of a section. Fields that an older build did not write read as zero or empty; what a newer build has
/// written behind them is the [`Reader::rest`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn number(&mut self) -> Result<u64, Broken> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let mut number = 0u64;
        for at in 0..NUMBER_BYTES {
            let byte = *self.0.get(at).ok_or(Broken)?;
            let bits = u64::from(byte & 0x7F);
            let shifted = bits << (7 * at);
            // The tenth byte has room for one bit.
            if shifted >> (7 * at) != bits {
                return Err(Broken);
            }
            number |= shifted;
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Ok(number);
            }
        }
        Err(Broken)
    }

    pub(super) fn signed(&mut self) -> Result<i64, Broken> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Broken> {
        T::try_from(self.number()?).map_err(|_| Broken)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Broken> {
        let length: usize = self.small()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn owned(&mut self) -> Result<Box<[u8]>, Broken> {
        self.bytes().map(Box::from)
    }

    pub(super) fn rest(self) -> Box<[u8]> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for number in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            write_number(number, &mut bytes);
            let mut reader = Reader::of(&bytes);
            assert_eq!((reader.number(), reader.is_empty()), (Ok(number), true), "{bytes:?}");
        }
        for number in [0, -1, 1, 65_536, i64::MIN, i64::MAX] {
            let mut bytes = Vec::new();
            write_signed(number, &mut bytes);
            assert_eq!(Reader::of(&bytes).signed(), Ok(number));
        }
    }

    #[test]
    fn what_ends_early_or_is_too_large_is_broken() {
        for bytes in [&[0x80][..], &[0xFF; 11], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]] {
            assert_eq!(Reader::of(bytes).number(), Err(Broken), "{bytes:?}");
        }
        assert_eq!(Reader::of(&[3, 1, 2]).bytes(), Err(Broken));
        assert_eq!(Reader::of(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]).bytes(), Err(Broken));
        assert_eq!(Reader::of(&[0x80, 2]).small::<u8>(), Err(Broken));
        let mut none = Reader::of(&[]);
        assert_eq!((none.number(), none.bytes(), none.signed()), (Ok(0), Ok(&b""[..]), Ok(0)));
    }
}
