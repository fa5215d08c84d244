//! A view over one received message: start line, header fields as ranges, body. Nothing is copied.
//!
//! [`Parser`] finds what must be found in every message, in one pass; the grammar of a header field is applied when the field is
//! asked for. A message that can be framed is lent even if a field is wrong: [`crate::validate`] judges it.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::control;
use crate::frame::MESSAGE_BYTES_MAX;
use crate::headers::content_length;
use crate::name::LONGEST;
pub use crate::name::{Method, Name};
use crate::scan::{HeadEnd, byte, byte_in, host_end, line_ends, token_end};
use crate::text::{is_lws, skip_lws};
use crate::work;

/// Most header fields in one message. Above what 64 kB of usable header fields hold, so every message that could be
/// forwarded is; it bounds the memory of a [`Parser`] to 330 kB.
pub const HEADERS_MAX: usize = 12_000;

/// Finds the header fields of a message in one pass and keeps their ranges. Reused from message to message, so that a
/// turn of the data path allocates nothing.
#[derive(Debug, Default)]
pub struct Parser {
    /// The offset behind each line of the head.
    ends: Vec<u32>,
    headers: Vec<Header>,
    index: Index,
}

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

/// Why bytes could not be taken as a SIP message at all. Nothing is answered but where the fields for an answer were
/// found; the kind is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// No bytes, or nothing but line ends.
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

/// What the Content-Length fields of a message say together.
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
    /// There is a control character in the head that ends no line.
    controls: bool,
}

impl Parser {
    pub fn new() -> Parser {
        Parser { ends: Vec::with_capacity(64), headers: Vec::with_capacity(64), index: Index::default() }
    }

    /// `bytes` is one datagram, or exactly one message that [`crate::frame`] cut out of a stream.
    pub fn parse<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
        let (head_end, controls) = line_ends(bytes, &mut self.ends);
        let headers_start = match self.ends.first() {
            Some(&end) if end > 2 => end,
            _ if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => return Err(Malformed::Empty),
            _ => return Err(Malformed::StartLine),
        };
        let start = start_line(&bytes[..headers_start as usize - 2]).ok_or(Malformed::StartLine)?;
        self.find_headers(bytes)?;
        let body_start = match head_end {
            HeadEnd::EmptyLine(end) => end,
            HeadEnd::Broken(at) => return Err(Malformed::HeaderLine { at: at as u32 }),
            HeadEnd::Open => return Err(Malformed::NoEndOfHeaders),
        };
        let length = self.length(bytes);
        let end = match length {
            Length::Bytes(length) => bytes.len().min(body_start.saturating_add(length as usize)),
            Length::Absent | Length::Bad => bytes.len(),
        };
        Ok(Message {
            bytes,
            headers: &self.headers,
            index: &self.index,
            start,
            headers_start,
            body_start: body_start as u32,
            end: end as u32,
            length,
            controls,
        })
    }

    fn length(&self, bytes: &[u8]) -> Length {
        let mut length = Length::Absent;
        let first = usize::from(self.index.first[Name::ContentLength as usize]);
        for header in self.headers.get(first..).unwrap_or_default() {
            work::step();
            if header.name == Name::ContentLength {
                length = length.and(&bytes[header.value_start as usize..header.value_end as usize]);
                if self.index.repeated & Name::ContentLength.bit() == 0 {
                    break;
                }
            }
        }
        length
    }

    /// Fills the table of header fields, from the lines behind the first to the empty one.
    fn find_headers(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.headers.clear();
        self.index = Index::default();
        let mut repeated = 0;
        let mut lines = self.ends.iter().copied();
        let mut at = lines.next().unwrap_or_default();
        while let Some(mut end) = lines.next() {
            if end - at == 2 {
                break;
            }
            if let Some(b' ' | b'\t') = bytes.get(end as usize) {
                match folded_end(bytes, end, &mut lines) {
                    Some(last) => end = last,
                    // The head itself has no end.
                    None => break,
                }
            }
            let (name, value_start, value_end) = match plain_field(bytes, at, end) {
                Some(plain) => plain,
                None => field(bytes, at, end).ok_or(Malformed::HeaderLine { at })?,
            };
            let place = self.headers.len();
            work::step();
            if place == HEADERS_MAX {
                return Err(Malformed::TooManyHeaders);
            }
            match &mut self.index.first[name as usize] {
                first if *first == ABSENT => *first = place as u16,
                _ => repeated |= name.bit(),
            }
            self.headers.push(Header { name, start: at, value_start, value_end, end });
            at = end;
        }
        self.index.repeated = repeated;
        Ok(())
    }
}

/// The end of the last continuation line of a field whose first line ends at `end`.
#[cold]
fn folded_end(bytes: &[u8], end: u32, lines: &mut impl Iterator<Item = u32>) -> Option<u32> {
    let mut end = end;
    while let Some(b' ' | b'\t') = bytes.get(end as usize) {
        work::step();
        end = lines.next()?;
    }
    Some(end)
}

/// What [`field`] finds, the name and the ends of the value, where the name is a known one and the value stands behind one
/// space with nothing behind it, as nearly all write it.
#[inline(always)]
fn plain_field(bytes: &[u8], start: u32, end: u32) -> Option<(Name, u32, u32)> {
    let head = bytes.get(start as usize..)?.first_chunk()?;
    let colon = byte_in(head, b':');
    let name = Name::of_first(head, colon);
    // No known name has a line end in it, so the colon is one of this line.
    let (first, last) = (start as usize + colon + 2, end as usize - 3);
    let plain = name != Name::Other
        && first <= last
        && last < bytes.len()
        && bytes[first - 1] == b' '
        && bytes[first] > b' '
        && bytes[last] > b' ';
    plain.then_some((name, first as u32, end - 2))
}

/// The field that `bytes[start..end]` hold, line end included: its name, and where its value begins and ends.
#[inline(never)]
fn field(bytes: &[u8], start: u32, end: u32) -> Option<(Name, u32, u32)> {
    let line = bytes.get(start as usize..end as usize)?;
    // All known names and nearly all others have their colon in the first 16 bytes.
    let (name, colon) = match bytes[start as usize..].first_chunk() {
        Some(head) => match byte_in(head, b':') {
            colon @ 1..LONGEST if head[colon - 1] > b' ' => (Name::of_first(head, colon), colon),
            _ => far_name(line)?,
        },
        None => far_name(line)?,
    };
    if name == Name::Other && !is_name(line, colon) {
        return None;
    }
    // One space before the value and none behind it is what nearly all write.
    let (first, last) = (colon + 2, line.len() - 3);
    let plain = first <= last && line[first - 1] == b' ' && line[first] > b' ' && line[last] > b' ';
    let (before, behind) =
        if plain { (1, 0) } else { white_space_around(line.get(colon + 1..line.len() - 2)?) };
    Some((name, start + colon as u32 + 1 + before, end - 2 - behind))
}

/// A name that is long, near the end of the message, or has white space before its colon; and where the colon is.
#[cold]
#[inline(never)]
fn far_name(line: &[u8]) -> Option<(Name, usize)> {
    let colon = byte(line, 0, b':');
    Some((Name::of(without_space_behind(&line[..colon])?), colon))
}

/// Whether what is before the colon is a token, white space behind it apart.
#[inline(never)]
fn is_name(line: &[u8], colon: usize) -> bool {
    // Nearly all names are of letters and hyphens, which are found faster than the rest of a token.
    if colon < line.len() && host_end(line, 0) == colon && colon > 0 {
        return true;
    }
    let name = line.get(..colon).and_then(without_space_behind);
    name.is_some_and(|name| token_end(name, 0) == name.len())
}

/// How many bytes of white space are before and behind a value; all of them are before it if there is no value.
#[cold]
fn white_space_around(value: &[u8]) -> (u32, u32) {
    let before = skip_lws(value, 0);
    let behind = value[before..].iter().rev().take_while(|&&byte| is_lws(byte)).count();
    (before as u32, behind as u32)
}

/// White space may stand between a field name and its colon (RFC 3261 §7.3.1); a name must be left.
#[cold]
fn without_space_behind(written: &[u8]) -> Option<&[u8]> {
    let length = written.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'))? + 1;
    Some(&written[..length])
}

/// `METHOD SP URI SP VERSION` or `VERSION SP STATUS SP reason` (RFC 3261 §7.1, §7.2).
pub(crate) fn start_line(line: &[u8]) -> Option<Start<'_>> {
    if let [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b' ', a, b, c, b' ', reason @ ..] = line {
        return Some(Start::Response { version: &line[..7], status: status_code(&[*a, *b, *c]), reason });
    }
    let method = token_end(line, 0);
    match line.get(method)? {
        b' ' if method > 0 => {}
        b'/' if is_version(line) => return status_line(line),
        _ => return None,
    }
    let (token, rest) = (&line[..method], &line[method + 1..]);
    let method = Method::of(token);
    if let Some(uri) = rest.strip_suffix(b" SIP/2.0") {
        return Some(Start::Request { method, token, uri, version: &rest[uri.len() + 1..] });
    }
    let end = last_space(rest)?;
    let (uri, version) = (&rest[..end], &rest[end + 1..]);
    is_version(version).then_some(Start::Request { method, token, uri, version })
}

/// The last space that stands before something.
#[cold]
fn last_space(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'))?;
    memrchr(b' ', &rest[..end])
}

/// One in unusual form: lower case, another version, no reason phrase.
#[cold]
fn status_line(line: &[u8]) -> Option<Start<'_>> {
    let space = memchr(b' ', line)?;
    let (version, rest) = (&line[..space], &line[space + 1..]);
    let (status, reason) = match memchr(b' ', rest) {
        Some(space) => (&rest[..space], &rest[space + 1..]),
        None => (rest, &rest[rest.len()..]),
    };
    Some(Start::Response { version, status: status_code(status), reason })
}

/// Three digits; anything else is 0, so that an overlong number wraps to no valid code (RFC 4475 §3.1.2.19).
fn status_code(digits: &[u8]) -> u16 {
    match digits {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => 0,
    }
}

/// Whether it is a SIP version, of whatever number.
fn is_version(bytes: &[u8]) -> bool {
    bytes.len() > 4 && bytes[..4].eq_ignore_ascii_case(b"SIP/")
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

    /// Whether a control character stands in the head where none may be.
    pub(crate) fn has_loose_control(&self) -> bool {
        self.controls && control::is_loose_in(self)
    }

    /// What Content-Length says; the body is cut to what is there.
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

    /// Offset of a slice that was lent by this message, for an edit there.
    pub fn range_of(&self, part: &[u8]) -> Range<u32> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        assert!(start <= self.bytes.len() && start + part.len() <= self.bytes.len());
        start as u32..(start + part.len()) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_field() {
        let found = plain_field(b"x\r\nCSeq: 1 BYE\r\nTo: <sip:a@b>\r\n\r\n", 3, 16);
        assert_eq!(found, Some((Name::CSeq, 9, 14)));
    }

    proptest! {
        #[test]
        fn plain_fields_are_found_as_all_others(
            name in "(To|t|CALL-ID|Content-Length|Max-Forwards|X-Y|[ -~]{0,3})[ \t]?:?",
            value in " {0,2}[!-~]{0,2}[ -~]{0,9}[ \t]?",
            rest in "[a-z:]{0,20}",
        ) {
            let line = format!("x\r\n{name}{value}\r\n");
            let (bytes, end) = (format!("{line}{rest}"), line.len() as u32);
            if let Some(plain) = plain_field(bytes.as_bytes(), 3, end) {
                prop_assert_eq!(field(bytes.as_bytes(), 3, end), Some(plain));
            }
        }
    }
}
