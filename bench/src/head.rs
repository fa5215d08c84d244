//! The header fields that the generator's clients and servers use, found in one scan of the lines. The scan reads only messages
//! as the measured programs write them (full names, one line per field), not SIP at large.

use memchr::memchr;

/// Most Via or Record-Route fields that are kept; the longest path measured has two.
const FIELDS_MAX: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    lines: [&'a [u8]; FIELDS_MAX],
    /// The number of fields, including those beyond the first four.
    pub(crate) count: usize,
}

impl<'a> Fields<'a> {
    fn push(&mut self, line: &'a [u8]) {
        if let Some(slot) = self.lines.get_mut(self.count) {
            *slot = line;
        }
        self.count += 1;
    }

    /// Whole lines, line end included.
    pub(crate) fn lines(&self) -> &[&'a [u8]] {
        &self.lines[..self.count.min(FIELDS_MAX)]
    }
}

/// Lines with their line ends; empty if the field is missing.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) vias: Fields<'a>,
    pub(crate) record_routes: Fields<'a>,
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) call_id: &'a [u8],
    pub(crate) cseq: &'a [u8],
    pub(crate) contact: &'a [u8],
}

impl<'a> Head<'a> {
    /// `None` if the bytes have no line or no end of the header fields.
    pub(crate) fn scan(bytes: &'a [u8]) -> Option<Head<'a>> {
        let (start, mut rest) = split_line(bytes)?;
        let mut head = Head { start, ..Head::default() };
        loop {
            let (line, after) = split_line(rest)?;
            rest = after;
            match line[0] {
                b'\r' | b'\n' => return Some(head),
                b'V' if line.starts_with(b"Via:") => head.vias.push(line),
                b'R' if line.starts_with(b"Record-Route:") => head.record_routes.push(line),
                b'F' if line.starts_with(b"From:") => head.from = line,
                b'T' if line.starts_with(b"To:") => head.to = line,
                b'C' if line.starts_with(b"Call-ID:") => head.call_id = line,
                b'C' if line.starts_with(b"CSeq:") => head.cseq = line,
                b'C' if line.starts_with(b"Contact:") => head.contact = line,
                _ => {}
            }
        }
    }

    /// The status code of a response, `None` for a request.
    pub(crate) fn status(&self) -> Option<u16> {
        let code = self.start.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
        std::str::from_utf8(code).ok()?.parse().ok()
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b'\n', bytes)? + 1;
    Some(bytes.split_at(end))
}

/// The value of a line: the text after the colon, without white space around it.
pub(crate) fn value(line: &[u8]) -> &[u8] {
    let colon = memchr(b':', line).map_or(0, |at| at + 1);
    line[colon..].trim_ascii()
}

/// The part of a value between angle brackets.
pub(crate) fn in_brackets(value: &[u8]) -> Option<&[u8]> {
    let open = memchr(b'<', value)? + 1;
    let close = open + memchr(b'>', &value[open..])?;
    Some(&value[open..close])
}

/// The text after `name` in a value, up to the next `;` or the end.
pub(crate) fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memmem::find(value, name)? + name.len();
    let length = memchr(b';', &value[start..]).unwrap_or(value.len() - start);
    Some(value[start..start + length].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_fields_of_a_response() {
        let bytes = b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx;rport\r\nRecord-Route: <sip:lb;lr>\r\n\
            From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 42\r\nCSeq: 1 INVITE\r\nContact: <sip:e@f>\r\n\
            Content-Length: 0\r\n\r\n";
        let head = Head::scan(bytes).unwrap();
        assert_eq!(head.status(), Some(180));
        assert_eq!((head.vias.count, head.record_routes.count), (1, 1));
        assert_eq!(parameter(value(head.vias.lines()[0]), b"branch="), Some(&b"z9hG4bKx"[..]));
        assert_eq!(in_brackets(value(head.contact)), Some(&b"sip:e@f"[..]));
        assert_eq!((value(head.call_id), value(head.cseq)), (&b"42"[..], &b"1 INVITE"[..]));
    }

    #[test]
    fn a_head_without_end_is_none() {
        assert!(Head::scan(b"BYE sip:a SIP/2.0\r\nVia: x\r\n").is_none());
        assert!(Head::scan(b"").is_none());
    }
}
