//! A view over one received message: start line, header fields as ranges, body. Nothing is copied.
//!
//! [`Parser`] finds what every message needs, in one pass. The grammar of a header field is applied when the field is
//! needed. A message that can be framed is lent even if a field is wrong: [`crate::validate`] checks it.

use std::ops::Range;

use crate::headers::content_length;
pub use crate::name::{Method, Name};
use crate::scan::token_end;
use crate::work;

mod parser;

pub use parser::Parser;
pub(crate) use parser::start_line;

/// The largest message taken from a stream, header fields and body together. A UDP datagram can hold as much, so a message
/// may go on over either transport. It also bounds the header fields.
pub const MESSAGE_BYTES_MAX: usize = 65_535;

/// The most header fields in one message: more than 64 kB of usable header fields hold, so every message that could be
/// forwarded is accepted. It bounds the memory of a [`Parser`] to 330 kB.
pub const HEADERS_MAX: usize = 12_000;

/// Where the first field of each name is, and which names came twice.
#[derive(Debug)]
struct Index {
    first: [u16; Name::COUNT],
    repeated: u64,
}

impl Default for Index {
    fn default() -> Index {
        Index { first: [ABSENT; Name::COUNT], repeated: 0 }
    }
}

const ABSENT: u16 = u16::MAX;
const _: () = assert!(HEADERS_MAX < ABSENT as usize && Name::COUNT <= u64::BITS as usize);

/// One header field (a line and its folded continuation lines) as ranges of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: Name,
    /// First byte of the field name.
    pub start: u32,
    /// The value without surrounding white space; it may contain folds.
    pub value_start: u32,
    pub value_end: u32,
    /// First byte after the line end: `start..end` is what a delete of the whole field removes.
    pub end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// `uri` lies between the first and the last space of the line: white space in it, or behind `version`, is for
    /// [`crate::validate`] to refuse.
    Request { method: Method, token: &'a [u8], uri: &'a [u8], version: &'a [u8] },
    /// `status` is 0 when it is not three digits.
    Response { version: &'a [u8], status: u16, reason: &'a [u8] },
}

/// Why bytes cannot be a SIP message at all. Only a message whose fields for an answer were found gets an answer; each kind
/// is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No bytes, or only line ends.
    Empty,
    StartLine,
    /// A line without a colon, a field name that is no token, or a line end that is not CRLF, at this offset.
    HeaderLine {
        at: u32,
    },
    /// The empty line that ends the header fields is missing.
    NoEndOfHeaders,
    /// More than [`HEADERS_MAX`].
    TooManyHeaders,
    /// More bytes than [`MESSAGE_BYTES_MAX`].
    TooLarge,
}

/// What all Content-Length fields of a message say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// No such field: the body goes to the end of the datagram (RFC 3261 §18.3).
    Absent,
    /// One number, which may be more than what is there.
    Bytes(u32),
    /// No number, or two different ones (RFC 4475 §3.1.2.3, §3.3.9).
    Bad,
}

impl Length {
    /// Takes one more field into account: repeating the same number changes nothing, another one is an error.
    pub(crate) fn and(self, value: &[u8]) -> Length {
        match (self, content_length::parse(value)) {
            (Length::Absent, Some(bytes)) => Length::Bytes(bytes),
            (Length::Bytes(before), Some(bytes)) if before == bytes => self,
            _ => Length::Bad,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    headers: &'a [Header],
    index: &'a Index,
    start: Start<'a>,
    headers_start: u32,
    /// Body as Content-Length says, or to the end of the datagram (RFC 3261 §18.3).
    body_start: u32,
    end: u32,
    length: Length,
    /// The head has a control character that ends no line.
    controls: bool,
}

impl<'a> Message<'a> {
    /// The received bytes, trailing octets of the datagram included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub fn start(&self) -> Start<'a> {
        self.start
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    pub fn headers(&self) -> &'a [Header] {
        self.headers
    }

    /// Where the header fields begin: the offset behind the start line.
    pub fn headers_start(&self) -> u32 {
        self.headers_start
    }

    /// Whether any control character stands in the head.
    pub(crate) fn has_controls(&self) -> bool {
        self.controls
    }

    /// The value of Content-Length; the body is cut to the bytes that are there.
    pub fn length(&self) -> Length {
        self.length
    }

    pub fn body(&self) -> &'a [u8] {
        &self.bytes[self.body_start as usize..self.end as usize]
    }

    /// Offset of the body: behind the empty line.
    pub fn body_start(&self) -> u32 {
        self.body_start
    }

    /// Offset behind the last byte of the message: header fields and body, without trailing octets.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// The first field of that name.
    pub fn first(&self, name: Name) -> Option<&'a Header> {
        self.headers.get(usize::from(self.index.first[name as usize]))
    }

    /// Whether more than one field has that name.
    pub fn is_repeated(&self, name: Name) -> bool {
        self.repeated_of(name.bit()) != 0
    }

    /// Those of the `names`, a sum of [`Name::bit`], that more than one field has.
    pub(crate) fn repeated_of(&self, names: u64) -> u64 {
        self.index.repeated & names
    }

    pub fn all(&self, name: Name) -> impl Iterator<Item = &'a Header> + use<'a> {
        let first = usize::from(self.index.first[name as usize]).min(self.headers.len());
        let last =
            if self.is_repeated(name) { self.headers.len() } else { self.headers.len().min(first + 1) };
        self.headers[first..last].iter().filter(move |header| {
            work::step();
            header.name == name
        })
    }

    pub fn value(&self, header: &Header) -> &'a [u8] {
        &self.bytes[header.value_start as usize..header.value_end as usize]
    }

    /// The value of the first field of that name.
    pub fn first_value(&self, name: Name) -> Option<&'a [u8]> {
        self.first(name).map(|header| self.value(header))
    }

    /// The name as written, compact or not.
    pub fn name(&self, header: &Header) -> &'a [u8] {
        let start = header.start as usize;
        &self.bytes[start..token_end(self.bytes, start)]
    }

    /// Offset of a slice that this message lent, for an edit there.
    pub fn range_of(&self, part: &[u8]) -> Range<u32> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        assert!(start <= self.bytes.len() && start + part.len() <= self.bytes.len());
        start as u32..(start + part.len()) as u32
    }
}
