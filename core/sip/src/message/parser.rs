//! The one pass over a received message that finds the ends of its lines and its header fields.

use memchr::{memchr, memrchr};

use super::{ABSENT, HEADERS_MAX, Header, Index, Length, MESSAGE_BYTES_MAX, Malformed, Message, Start};
use crate::name::{LONGEST, Method, Name};
use crate::scan::{HeadEnd, byte, byte_in, host_end, line_ends, token_end};
use crate::text::{is_lws, skip_lws};
use crate::work;

/// Finds the header fields of a message in one pass and keeps their ranges. Reused from message to message, so that a
/// turn of the data path allocates nothing.
#[derive(Debug, Default)]
pub struct Parser {
    /// The offset behind each line of the head.
    ends: Vec<u32>,
    headers: Vec<Header>,
    index: Index,
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

/// What [`field`] finds, if the name is known and the value follows one space with nothing after it, as nearly all messages
/// write it.
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

/// A name that is long, or near the end of the message, or has white space before its colon; and the place of the colon.
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

/// A start line in unusual form: lower case, another version, no reason phrase.
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
