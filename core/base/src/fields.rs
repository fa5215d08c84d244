//! Named values as bytes, for what one build gives to another: a reader skips names that it does not know, and takes a default
//! for those that are missing. So either of the two may be the newer.
//!
//! ```text
//! value: name (one byte) · length (four bytes, big-endian) · bytes
//! ```
//!
//! A name may come several times; then it is a list. The bytes of a value may be values again. A name is never used again for
//! something else. Whatever the bytes are, reading them neither panics nor takes more than they are.

pub mod other_build;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::Time;

/// Name and length.
const HEAD_BYTES: usize = 5;

/// Writes values one after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    pub fn bytes(&mut self, name: u8, bytes: &[u8]) {
        self.0.push(name);
        self.0.extend((bytes.len() as u32).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Only as many bytes as the number needs.
    pub fn number(&mut self, name: u8, number: u64) {
        let bytes = number.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        self.bytes(name, &bytes[zeros..]);
    }

    /// What is not so is not written.
    pub fn flag(&mut self, name: u8, is_so: bool) {
        if is_so {
            self.bytes(name, &[]);
        }
    }

    pub fn text(&mut self, name: u8, text: &str) {
        self.bytes(name, text.as_bytes());
    }

    /// On a clock that writer and reader share. [`Time::NEVER`] is not written.
    pub fn time(&mut self, name: u8, time: Time) {
        if time != Time::NEVER {
            self.number(name, time.as_micros());
        }
    }

    pub fn address(&mut self, name: u8, address: SocketAddr) {
        let (mut bytes, port) = (Vec::with_capacity(22), address.port().to_be_bytes());
        match address {
            SocketAddr::V4(address) => bytes.extend(address.ip().octets()),
            SocketAddr::V6(address) => bytes.extend(address.ip().octets()),
        }
        bytes.extend(port);
        if let SocketAddr::V6(address) = address {
            bytes.extend(address.scope_id().to_be_bytes());
        }
        self.bytes(name, &bytes);
    }

    /// Values within a value.
    pub fn group(&mut self, name: u8, write: impl FnOnce(&mut Writer)) {
        self.0.push(name);
        let at = self.0.len();
        self.0.extend([0; 4]);
        write(self);
        let length = (self.0.len() - at - 4) as u32;
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads values by their names.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Every value with this name, in order. Bytes that are no values end it.
    pub fn all(self, name: u8) -> impl Iterator<Item = &'a [u8]> {
        self.values().filter(move |(known, _)| *known == name).map(|(_, bytes)| bytes)
    }

    pub fn groups(self, name: u8) -> impl Iterator<Item = Reader<'a>> {
        self.all(name).map(Reader)
    }

    /// The first value with this name.
    pub fn get(self, name: u8) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    pub fn group(self, name: u8) -> Option<Reader<'a>> {
        self.get(name).map(Reader)
    }

    pub fn number(self, name: u8) -> Option<u64> {
        let bytes = self.get(name)?;
        let mut whole = [0; 8];
        whole.get_mut(8usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
        Some(u64::from_be_bytes(whole))
    }

    /// A number of a smaller type; `None` also if it does not fit.
    pub fn small<T: TryFrom<u64>>(self, name: u8) -> Option<T> {
        T::try_from(self.number(name)?).ok()
    }

    pub fn flag(self, name: u8) -> bool {
        self.get(name).is_some()
    }

    pub fn text(self, name: u8) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// [`Time::NEVER`] if there is none.
    pub fn time(self, name: u8) -> Time {
        self.number(name).map_or(Time::NEVER, Time::from_micros)
    }

    pub fn address(self, name: u8) -> Option<SocketAddr> {
        let bytes = self.get(name)?;
        let port = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        if bytes.len() == 6 {
            let ip: [u8; 4] = bytes[..4].try_into().ok()?;
            return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port(4)?));
        }
        let ip: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
        let scope = bytes.get(18..22).and_then(|scope| scope.try_into().ok()).map_or(0, u32::from_be_bytes);
        Some(SocketAddrV6::new(Ipv6Addr::from(ip), port(16)?, 0, scope).into())
    }

    fn values(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (head, behind) = rest.split_at_checked(HEAD_BYTES)?;
            let length = u32::from_be_bytes(head[1..].try_into().ok()?) as usize;
            let (bytes, behind) = behind.split_at_checked(length)?;
            rest = behind;
            Some((head[0], bytes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_were_written() {
        let mut writer = Writer::default();
        let addresses: Vec<SocketAddr> = ["192.0.2.1:5060", "[2001:db8::1]:5061", "[fe80::1%3]:7"]
            .map(|text| text.parse().unwrap())
            .into();
        for number in [0, 1, 255, 256, u64::MAX] {
            writer.number(1, number);
        }
        writer.group(2, |within| {
            within.text(1, "text");
            within.flag(2, true);
            within.flag(3, false);
            within.time(4, Time::from_micros(7));
            within.time(5, Time::NEVER);
        });
        addresses.iter().for_each(|address| writer.group(3, |within| within.address(9, *address)));
        let bytes = writer.into_bytes();
        let reader = Reader::new(&bytes);
        let lengths: Vec<usize> = reader.all(1).map(<[u8]>::len).collect();
        assert_eq!((lengths, reader.number(1)), (vec![0, 1, 1, 2, 8], Some(0)));
        let within = reader.group(2).unwrap();
        assert_eq!((within.text(1), within.flag(2), within.flag(3)), (Some("text"), true, false));
        assert_eq!((within.time(4), within.time(5)), (Time::from_micros(7), Time::NEVER));
        let read: Vec<SocketAddr> = reader.groups(3).map(|within| within.address(9).unwrap()).collect();
        assert_eq!(read, addresses);
    }

    #[test]
    fn an_older_and_a_newer_build_read_each_other() {
        let mut newer = Writer::default();
        newer.text(200, "what only the newer build knows");
        newer.number(1, 7);
        let bytes = newer.into_bytes();
        let reader = Reader::new(&bytes);
        assert_eq!((reader.small::<u8>(1), reader.small::<u8>(2)), (Some(7), None));
    }

    #[test]
    fn cut_or_wrong_bytes_are_no_values() {
        let mut writer = Writer::default();
        writer.number(1, 0xFFFF);
        writer.bytes(2, &[0; 30]);
        let bytes = writer.into_bytes();
        for length in 0..bytes.len() {
            let reader = Reader::new(&bytes[..length]);
            assert!(reader.get(2).is_none(), "{length}");
            assert_eq!(reader.number(1).is_some(), length >= 7);
        }
        let reader = Reader::new(&bytes);
        assert_eq!((reader.small::<u8>(1), reader.number(2), reader.text(1)), (None, None, None));
        assert!(reader.address(1).is_none() && reader.address(2).is_some());
        assert!(Reader::new(&[1, 255, 255, 255, 255, 0]).get(1).is_none());
    }
}
