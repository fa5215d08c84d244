//! Sections of a datagram: id (2 bytes), length of the value (2 bytes), value; each at most once, in any order.

use super::{Ignored, NAME_BYTES_MAX, VISITED_MAX};

/// An id is never used again with another meaning; a value of another length is a new section.
pub(super) mod id {
    pub(in super::super) const FROM: u16 = 1;
    pub(in super::super) const TO: u16 = 2;
    pub(in super::super) const NONCE: u16 = 3;
    pub(in super::super) const SHARE: u16 = 4;
    pub(in super::super) const PRESENT: u16 = 16;
    pub(in super::super) const WORKLOAD: u16 = 17;
    pub(in super::super) const CALL_PERMILLE: u16 = 18;
    pub(in super::super) const BYTES_PER_SECOND: u16 = 19;
    pub(in super::super) const CLIENTS: u16 = 20;
    pub(in super::super) const CALLS: u16 = 21;
    pub(in super::super) const CALLS_PER_SECOND: u16 = 22;
    pub(in super::super) const CPU_PERMILLE: u16 = 23;
    pub(in super::super) const STATE: u16 = 24;
    pub(in super::super) const COST: u16 = 25;
    pub(in super::super) const QUALITY: u16 = 26;
    pub(in super::super) const REGION: u16 = 27;
    pub(in super::super) const PERIOD_MS: u16 = 28;
    pub(in super::super) const ORIGIN: u16 = 32;
    pub(in super::super) const NUMBER: u16 = 33;
    pub(in super::super) const TO_INSTANCE: u16 = 34;
    pub(in super::super) const VISITED: u16 = 35;
    pub(in super::super) const HOPS_LEFT: u16 = 36;
    pub(in super::super) const MUST_TAKE: u16 = 37;
    pub(in super::super) const CLIENT_IPV4: u16 = 38;
    pub(in super::super) const CLIENT_IPV6: u16 = 39;
    pub(in super::super) const TRANSPORT: u16 = 40;
    pub(in super::super) const USER: u16 = 41;
    pub(in super::super) const ANSWER: u16 = 42;
    pub(in super::super) const CONTACT: u16 = 43;
    pub(in super::super) const TOLD: u16 = 44;
    pub(in super::super) const RETRY_AFTER_SECONDS: u16 = 45;
    pub(in super::super) const AVOID: u16 = 46;
}

const HEADER_BYTES: usize = 4;

/// More sections than any kind has, so that a datagram of many empty sections costs nothing.
const SECTIONS_MAX: usize = 32;

pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Writer {
        Writer { bytes: Vec::with_capacity(512) }
    }

    /// A value that is too long makes the whole datagram too long, so its length need not fit.
    pub(super) fn section(&mut self, id: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&id.to_be_bytes());
        self.bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn u32(&mut self, id: u16, value: u32) {
        self.section(id, &value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, id: u16, value: u64) {
        self.section(id, &value.to_be_bytes());
    }

    /// Names one after the other, each after a byte with its length.
    pub(super) fn names(&mut self, id: u16, names: &[String]) {
        let mut value = Vec::new();
        for name in names {
            value.push(name.len() as u8);
            value.extend_from_slice(name.as_bytes());
        }
        self.section(id, &value);
    }
}

pub(super) struct Reader<'a> {
    sections: Vec<(u16, &'a [u8])>,
}

impl<'a> Reader<'a> {
    pub(super) fn of(mut rest: &'a [u8]) -> Result<Reader<'a>, Ignored> {
        let mut sections: Vec<(u16, &[u8])> = Vec::new();
        while !rest.is_empty() {
            let (header, after) = rest.split_first_chunk::<HEADER_BYTES>().ok_or(Ignored::BadSection)?;
            let id = u16::from_be_bytes([header[0], header[1]]);
            let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let (value, behind) = after.split_at_checked(length).ok_or(Ignored::BadSection)?;
            if sections.len() == SECTIONS_MAX || sections.iter().any(|(known, _)| *known == id) {
                return Err(Ignored::BadSection);
            }
            sections.push((id, value));
            rest = behind;
        }
        Ok(Reader { sections })
    }

    pub(super) fn find(&self, id: u16) -> Option<&'a [u8]> {
        self.sections.iter().find(|(known, _)| *known == id).map(|(_, value)| *value)
    }

    pub(super) fn bytes(&self, id: u16, most: usize) -> Result<&'a [u8], Ignored> {
        self.find(id).filter(|value| value.len() <= most).ok_or(Ignored::BadSection)
    }

    pub(super) fn fixed<const N: usize>(&self, id: u16) -> Result<[u8; N], Ignored> {
        self.find(id).and_then(|value| value.try_into().ok()).ok_or(Ignored::BadSection)
    }

    pub(super) fn u32(&self, id: u16) -> Result<u32, Ignored> {
        self.fixed(id).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&self, id: u16) -> Result<u64, Ignored> {
        self.fixed(id).map(u64::from_be_bytes)
    }

    pub(super) fn flag(&self, id: u16) -> Result<bool, Ignored> {
        match self.fixed::<1>(id)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Ignored::BadSection),
        }
    }

    pub(super) fn name(&self, id: u16) -> Result<String, Ignored> {
        name(self.find(id).ok_or(Ignored::BadSection)?)
    }

    pub(super) fn names(&self, id: u16) -> Result<Vec<String>, Ignored> {
        let mut rest = self.find(id).ok_or(Ignored::BadSection)?;
        let mut names = Vec::new();
        while let [length, after @ ..] = rest {
            let (value, behind) = after.split_at_checked(usize::from(*length)).ok_or(Ignored::BadSection)?;
            if names.len() == VISITED_MAX {
                return Err(Ignored::BadSection);
            }
            names.push(name(value)?);
            rest = behind;
        }
        Ok(names)
    }
}

/// A name: 1 to [`NAME_BYTES_MAX`] letters, digits, `-`, `_`, `.`: it is printed.
fn name(value: &[u8]) -> Result<String, Ignored> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if value.is_empty() || value.len() > NAME_BYTES_MAX || !value.iter().all(plain) {
        return Err(Ignored::BadSection);
    }
    std::str::from_utf8(value).map(str::to_owned).map_err(|_| Ignored::BadSection)
}

/// Whether a text can be the name of a member or region.
pub(crate) fn is_name(text: &str) -> bool {
    name(text.as_bytes()).is_ok()
}
