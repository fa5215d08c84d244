//! Where one message ends in a stream (RFC 3261 §18.3, §7.5).
//!
//! A stream has no boundaries except Content-Length, so a message without it, or with two different ones, ends the
//! connection. There is one exception, only for servers: see [`Framer::of_server`]. Every byte is looked at once, however
//! the stream is cut into reads.

use memchr::memchr;

pub use crate::message::MESSAGE_BYTES_MAX;
use crate::message::{Length, Name, start_line};
use crate::text::is_token;

/// What is at the front of a stream's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A complete message of this many bytes.
    Message(usize),
    /// A complete message of a server, without Content-Length and clearly without a body.
    WithoutLength(usize),
    /// A keep-alive ping, CRLF CRLF, of this many bytes, to be answered with CRLF (RFC 5626 §3.5.1).
    Ping(usize),
    /// Line ends between messages, to be skipped (RFC 3261 §7.5).
    Blank(usize),
    /// More bytes are needed.
    Incomplete,
    /// The end of the message cannot be known: answer if possible, then close.
    Broken(Broken),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    TooLarge,
    /// Missing, negative, not a number, or twice with different values (RFC 4475 §3.1.2.3, §3.3.9).
    ContentLength,
    /// The first line is no SIP start line.
    NotSip,
}

/// Remembers how far an incomplete message was searched, so that a client that sends byte by byte costs no more.
#[derive(Clone, Debug, Default)]
pub struct Framer {
    /// No line end in `line..searched`.
    searched: usize,
    /// Where the incomplete line begins.
    line: usize,
    /// Where a Content-Length field begins whose line is complete, but which may be continued on the next line.
    open: Option<usize>,
    length: Option<Length>,
    /// Length of the message, once its header fields are complete.
    total: Option<usize>,
    of_server: bool,
    tolerant: bool,
    /// A header field says that there is a body.
    has_body: bool,
}

impl Framer {
    /// For a connection that we opened to a server. RFC 3261 §18.3 requires Content-Length in every message on a stream. If
    /// a server leaves it out of messages without a body, each such message would end the connection that all calls of that
    /// server share. So a message without Content-Length ends with its header fields if nothing says that there is a body:
    /// no header field whose name begins with Content- (RFC 3261 §20.15 requires Content-Type with every body), and after it
    /// nothing yet, a line end, or bytes that can be a start line. Anything else is still broken.
    ///
    /// This does not apply to clients. Many strangers can share one connection of a proxy, and one of them could hide a
    /// message in the body of another and have it taken for a message of the proxy. A server speaks for itself anyway.
    pub fn of_server(is_one: bool) -> Framer {
        Framer { of_server: is_one, ..Framer::default() }
    }

    /// Whether NUL bytes and single line ends between messages are skipped. Nobody sends them on purpose.
    pub fn tolerant(self, is_so: bool) -> Framer {
        Framer { tolerant: is_so, ..self }
    }

    /// Looks at all bytes that were received and not yet consumed. After anything but `Incomplete`, the caller consumes
    /// those bytes and the framer starts anew.
    pub fn next(&mut self, buffer: &[u8]) -> Frame {
        let frame = self.look(buffer);
        if frame != Frame::Incomplete {
            *self = Framer::of_server(self.of_server).tolerant(self.tolerant);
        }
        frame
    }

    fn look(&mut self, buffer: &[u8]) -> Frame {
        if self.line == 0
            && let Some(frame) = between(buffer, self.tolerant)
        {
            return frame;
        }
        if self.total.is_none() {
            match self.find_end(buffer) {
                Ok(total) => self.total = total,
                Err(broken) => return Frame::Broken(broken),
            }
        }
        match self.total {
            Some(total) if total > MESSAGE_BYTES_MAX => Frame::Broken(Broken::TooLarge),
            Some(total) if total <= buffer.len() && self.length.is_none() => Frame::WithoutLength(total),
            Some(total) if total <= buffer.len() => Frame::Message(total),
            None if buffer.len() >= MESSAGE_BYTES_MAX => Frame::Broken(Broken::TooLarge),
            _ => Frame::Incomplete,
        }
    }

    /// Walks through the complete lines; returns the length of the message once the empty line was found.
    fn find_end(&mut self, buffer: &[u8]) -> Result<Option<usize>, Broken> {
        while let Some(newline) = memchr(b'\n', buffer.get(self.searched..).unwrap_or_default()) {
            let newline = self.searched + newline;
            self.searched = newline + 1;
            if newline == self.line || buffer[newline - 1] != b'\r' {
                // A line feed alone does not end a line. In a header field, the parser refuses it, and the stream goes on.
                if self.line == 0 {
                    return Err(Broken::NotSip);
                }
                continue;
            }
            let start = std::mem::replace(&mut self.line, newline + 1);
            let line = &buffer[start..newline - 1];
            if start == 0 {
                if memchr(b'\r', line).is_some() || start_line(line).is_none() {
                    return Err(Broken::NotSip);
                }
                continue;
            }
            if matches!(line.first(), Some(b' ' | b'\t')) {
                continue;
            }
            if let Some(open) = self.open.take() {
                self.take(&buffer[open..start])?;
            }
            if line.is_empty() {
                return match self.length {
                    Some(Length::Bytes(body)) => Ok(Some((newline + 1).saturating_add(body as usize))),
                    None if self.of_server && !self.has_body && may_begin(&buffer[newline + 1..]) => {
                        Ok(Some(newline + 1))
                    }
                    _ => Err(Broken::ContentLength),
                };
            }
            match line[0] {
                b'C' | b'c' | b'L' | b'l' if is_content_length(line) => self.open = Some(start),
                b'C' | b'c' | b'E' | b'e' if self.of_server => self.has_body |= is_about_a_body(line),
                _ => {}
            }
        }
        self.searched = buffer.len();
        if self.line == 0 && !buffer.first().is_none_or(|&byte| is_token(byte)) {
            return Err(Broken::NotSip);
        }
        Ok(None)
    }

    /// Takes a complete Content-Length field into account, continuation lines included.
    fn take(&mut self, field: &[u8]) -> Result<(), Broken> {
        let colon = memchr(b':', field).ok_or(Broken::ContentLength)?;
        let length = self.length.unwrap_or(Length::Absent).and(crate::text::trim(&field[colon + 1..]));
        self.length = Some(length);
        if length == Length::Bad { Err(Broken::ContentLength) } else { Ok(()) }
    }
}

/// The datagram without NUL bytes and line ends in front of its message.
pub fn without_stray(datagram: &[u8]) -> &[u8] {
    let stray = datagram.iter().take_while(|byte| matches!(byte, b'\0' | b'\r' | b'\n')).count();
    &datagram[stray..]
}

/// What stands between messages, if `buffer` begins with a line end.
fn between(buffer: &[u8], tolerant: bool) -> Option<Frame> {
    match *buffer {
        [b'\0', ..] if tolerant => {
            Some(Frame::Blank(buffer.iter().take_while(|byte| **byte == b'\0').count()))
        }
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(Frame::Ping(4)),
        [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Some(Frame::Incomplete),
        [b'\r', b'\n', ..] => Some(Frame::Blank(2)),
        [b'\r' | b'\n', ..] if tolerant => Some(Frame::Blank(1)),
        [b'\r' | b'\n', ..] => Some(Frame::Broken(Broken::NotSip)),
        _ => None,
    }
}

/// Whether a message, or the bytes between messages, can begin like this. No bytes: yes.
fn may_begin(rest: &[u8]) -> bool {
    match (rest.first(), memchr(b'\n', rest)) {
        (None | Some(b'\r'), _) => true,
        (_, Some(newline)) => {
            rest[..newline].strip_suffix(b"\r").is_some_and(|line| start_line(line).is_some())
        }
        (_, None) => {
            let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
            word.iter().all(|&byte| is_token(byte)) || b"SIP/2.0".starts_with(word)
        }
    }
}

/// Whether this is one of the header fields of a body: Content-Type, Content-Encoding and the like, long or compact.
fn is_about_a_body(line: &[u8]) -> bool {
    let name = line.split(|byte| !is_token(*byte)).next().unwrap_or_default();
    let begins = name.get(..8).is_some_and(|front| front.eq_ignore_ascii_case(b"Content-"));
    begins || matches!(name, [b'c' | b'C' | b'e' | b'E'])
}

/// Whether this line's field name is Content-Length, long or compact.
fn is_content_length(line: &[u8]) -> bool {
    let end = line.iter().position(|&byte| !is_token(byte)).unwrap_or(line.len());
    let behind = &line[end..];
    let colon = behind.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    colon == Some(&b':') && Name::of(&line[..end]) == Name::ContentLength
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0\r\n";

    fn check(given: &str, expected: Frame) {
        assert_eq!(Framer::default().next(given.as_bytes()), expected, "{given}");
        // Byte by byte it is the same, only perhaps known earlier.
        let mut framer = Framer::default();
        let frame = (1..=given.len())
            .map(|end| framer.next(&given.as_bytes()[..end]))
            .find(|frame| *frame != Frame::Incomplete)
            .unwrap_or(Frame::Incomplete);
        assert_eq!(frame, expected, "byte by byte: {given}");
    }

    fn check_fields(fields: &str, body: &str, expected: impl Fn(usize) -> Frame) {
        let head = format!("{OPTIONS}{fields}\r\n");
        check(&format!("{head}{body}"), expected(head.len()));
    }

    #[test]
    fn whole_messages() {
        check_fields("Content-Length: 0\r\n", "", Frame::Message);
        check_fields("l:3\r\n", "abc", |head| Frame::Message(head + 3));
        check_fields("L : 3 \r\n", "abc", |head| Frame::Message(head + 3));
        check_fields("CONTENT-length:\r\n  3\r\nX: y\r\n", "abc", |head| Frame::Message(head + 3));
        check_fields("Content-Length: 3\r\n \r\n", "abc", |head| Frame::Message(head + 3));
        check_fields("Content-Length: 3\r\nl: 003\r\n", "abc", |head| Frame::Message(head + 3));
        check("SIP/2.0 200 OK\r\nl: 0\r\n\r\n", Frame::Message(24));
    }

    #[test]
    fn the_words_elsewhere_are_not_the_field() {
        check_fields("Subject: Content-Length: 9\r\nl: 0\r\n", "", Frame::Message);
        check_fields("Subject: x\r\n Content-Length: 9\r\nl: 0\r\n", "", Frame::Message);
        check_fields("X-Content-Length: 9\r\nContent-Length-X: 8\r\nlx: 7\r\nl: 0\r\n", "", Frame::Message);
        check_fields("l: 23\r\n", "\r\n\r\nContent-Length: 9\r\n\r\n"[..23].into(), |head| {
            Frame::Message(head + 23)
        });
    }

    #[test]
    fn more_is_needed() {
        for part in [
            "",
            "O",
            OPTIONS,
            "OPTIONS sip:a@b SIP/2.0\r\nl: 0\r\n",
            "OPTIONS sip:a@b SIP/2.0\r\nl: 1\r\n\r\n",
        ] {
            check(part, Frame::Incomplete);
        }
        check("\r\n", Frame::Incomplete);
        check("\r\n\r", Frame::Incomplete);
    }

    #[test]
    fn stray_bytes_between_messages_are_skipped_if_that_is_wanted() {
        let message = format!("{OPTIONS}l: 0\r\n\r\n");
        for (stray, ping) in [
            ("\0", 0),
            ("\0\0\0\0", 0),
            ("\n", 0),
            ("\r\r", 0),
            ("\0\r\n\0", 0),
            ("\0\r\n\r\n", 1),
            ("\n\n\0\r", 0),
        ] {
            let bytes = format!("{stray}{message}\0").into_bytes();
            let (mut framer, mut at, mut pings) = (Framer::default().tolerant(true), 0, 0);
            let length = loop {
                match framer.next(&bytes[at..]) {
                    Frame::Blank(length) => at += length,
                    Frame::Ping(length) => (at, pings) = (at + length, pings + 1),
                    Frame::Message(length) => break length,
                    other => panic!("{other:?} at {at} of {stray:?}"),
                }
            };
            assert_eq!((at, length, pings), (stray.len(), message.len(), ping), "{stray:?}");
            assert_eq!(framer.next(b"\0"), Frame::Blank(1));
        }
        for strict in ["\0", "\n", "\r\r"] {
            check(strict, Frame::Broken(Broken::NotSip));
        }
        assert_eq!(without_stray(b"\0\r\n\n\0SIP/2.0 \0\r\n"), b"SIP/2.0 \0\r\n");
        assert!(without_stray(b"\0\0\r\n").is_empty());
    }

    #[test]
    fn between_messages() {
        check("\r\n\r\n", Frame::Ping(4));
        check("\r\nO", Frame::Blank(2));
        let mut framer = Framer::default();
        assert_eq!(framer.next(b"\r\n\r\n\r\n\r\nO"), Frame::Ping(4));
        assert_eq!(framer.next(b"\r\n\r\nO"), Frame::Ping(4));
        assert_eq!(framer.next(b"O"), Frame::Incomplete);
    }

    #[test]
    fn no_end_can_be_known() {
        let broken = |_| Frame::Broken(Broken::ContentLength);
        check_fields("", "", broken);
        check_fields("Content-Type: a/b\r\n", "abc", broken);
        for bad in ["-999", "five", "", "1 0", "13, 13", "+1"] {
            check_fields(&format!("Content-Length: {bad}\r\nX: y\r\n"), "abc", broken);
        }
        check_fields("Content-Length: 13\r\nContent-Length: 5\r\n", "abcde", broken);
        check_fields("l: 1\r\n 0\r\n", "abcde", broken);
    }

    const RESPONSE: &str = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK1\r\n\r\n";

    fn of_server(given: &str) -> Frame {
        Framer::of_server(true).next(given.as_bytes())
    }

    #[test]
    fn a_server_may_leave_the_length_out_where_there_is_plainly_no_body() {
        let next = [
            "",
            "\r\n\r\n",
            "\r\nSIP/2.0 180 Ringing\r\n",
            "S",
            "SIP/2",
            "SIP/2.0 4",
            "OPT",
            "INVITE sip:a@b SIP/2.0\r\n",
            RESPONSE,
        ];
        for next in next {
            let given = format!("{RESPONSE}{next}");
            assert_eq!(of_server(&given), Frame::WithoutLength(RESPONSE.len()), "{next:?}");
            check(&given, Frame::Broken(Broken::ContentLength));
        }
        // One after the other, and among others.
        let mut framer = Framer::of_server(true);
        let three = format!("{RESPONSE}{}{RESPONSE}", RESPONSE.replace("\r\n\r\n", "\r\nl: 2\r\n\r\nab"));
        assert_eq!(framer.next(three.as_bytes()), Frame::WithoutLength(RESPONSE.len()));
        let rest = &three.as_bytes()[RESPONSE.len()..];
        assert_eq!(framer.next(rest), Frame::Message(RESPONSE.len() + 8));
        assert_eq!(framer.next(&rest[RESPONSE.len() + 8..]), Frame::WithoutLength(RESPONSE.len()));
    }

    #[test]
    fn what_may_be_a_body_is_not_guessed_at() {
        for field in
            ["Content-Type: a/b", "c: a/b", "C : a/b", "e: gzip", "content-encoding: x", "Content-X: y"]
        {
            let given = RESPONSE.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"));
            assert_eq!(of_server(&given), Frame::Broken(Broken::ContentLength), "{field}");
        }
        for body in ["v=0\r\n", "v=", "<xml>", "\n", "SIP/2.0 200 OK\n", "GET / HTTP/1.1\r\n", "\0"] {
            assert_eq!(
                of_server(&format!("{RESPONSE}{body}")),
                Frame::Broken(Broken::ContentLength),
                "{body:?}"
            );
        }
        // A length that is there and wrong is no length that is missing.
        for bad in ["l: -1", "l: 1\r\nl: 2", "l:"] {
            let given = RESPONSE.replace("\r\n\r\n", &format!("\r\n{bad}\r\nX: y\r\n\r\n"));
            assert_eq!(of_server(&given), Frame::Broken(Broken::ContentLength), "{bad}");
        }
        // What comes later and is no message ends the connection then.
        let mut framer = Framer::of_server(true);
        assert_eq!(framer.next(RESPONSE.as_bytes()), Frame::WithoutLength(RESPONSE.len()));
        assert_eq!(framer.next(b"v=0\r\no=- 1 1 IN IP4 a\r\n"), Frame::Broken(Broken::NotSip));
    }

    #[test]
    fn no_sip() {
        for bad in [
            "\x16\x03\x01",
            "GET / HTTP/1.1\r\n",
            "hello\r\n",
            "\rO",
            "\nO",
            " OPTIONS",
            "INVITE sip:a@b\r\n",
        ] {
            check(bad, Frame::Broken(Broken::NotSip));
        }
    }

    /// Found by fuzzing: the framer took these for a message that the parser then refused.
    #[test]
    fn a_line_end_that_is_none_in_the_first_line() {
        for line in
            ["OPTIONS sip:a@b SIP/2.0\nX: SIP/2.0\r\n", "OPTIONS sip:a@b\rX SIP/2.0\r\n", "hash  file\n"]
        {
            check(&format!("{line}l: 0\r\n\r\n"), Frame::Broken(Broken::NotSip));
        }
        check_fields("X: a\nb\rc\r\nl: 0\r\n", "", Frame::Message);
    }

    #[test]
    fn too_large() {
        check_fields("l: 65535\r\n", "", |_| Frame::Broken(Broken::TooLarge));
        check_fields("l: 99999999999999999999\r\n", "", |_| Frame::Broken(Broken::TooLarge));
        let endless = format!("{OPTIONS}X: {}", "x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(Framer::default().next(endless.as_bytes()), Frame::Broken(Broken::TooLarge));
        let head = format!("{OPTIONS}l: 65000\r\n\r\n");
        let largest = format!("{OPTIONS}l: {}\r\n\r\n{}", MESSAGE_BYTES_MAX - head.len(), "x".repeat(70_000));
        assert_eq!(Framer::default().next(largest.as_bytes()), Frame::Message(MESSAGE_BYTES_MAX));
    }

    /// The frames of a stream that arrives in pieces of these lengths, as a connection takes them.
    fn frames(stream: &[u8], pieces: impl Iterator<Item = usize>) -> Vec<Vec<u8>> {
        let (mut framer, mut buffer, mut seen, mut rest) =
            (Framer::default(), Vec::new(), Vec::new(), stream);
        for piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            loop {
                match framer.next(&buffer) {
                    Frame::Message(bytes) | Frame::WithoutLength(bytes) => {
                        seen.push(buffer.drain(..bytes).collect())
                    }
                    Frame::Ping(bytes) | Frame::Blank(bytes) => drop(buffer.drain(..bytes)),
                    Frame::Incomplete => break,
                    Frame::Broken(broken) => panic!("{broken:?}"),
                }
            }
        }
        seen
    }

    fn messages() -> Vec<Vec<u8>> {
        let message = |fields: &str, body: &str| format!("{OPTIONS}{fields}\r\n{body}").into_bytes();
        vec![
            message("Via: SIP/2.0/TCP a;branch=z9hG4bK1\r\nContent-Length: 5\r\n", "v=0\r\n"),
            b"SIP/2.0 200 OK\r\nContent-Length\t:\r\n 0\r\n\r\n".to_vec(),
            message(
                "l: 30\r\nSubject: a\r\n Content-Length: 7\r\n",
                "\r\n\r\nOPTIONS sip:x SIP/2.0\r\n\0\u{fe}",
            ),
            message("l: 0\r\n", ""),
        ]
    }

    fn stream() -> Vec<u8> {
        let [a, b, c, d] = messages().try_into().unwrap();
        [b"\r\n\r\n".to_vec(), a, b"\r\n".to_vec(), b, b"\r\n\r\n\r\n".to_vec(), c, d].concat()
    }

    #[test]
    fn one_cut_at_every_place() {
        let (stream, messages) = (stream(), messages());
        for cut in 0..=stream.len() {
            assert_eq!(frames(&stream, [cut, stream.len()].into_iter()), messages, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_cuts(pieces in prop::collection::vec(1usize..40, 0..60)) {
            prop_assert_eq!(frames(&stream(), pieces.into_iter().chain([usize::MAX])), messages());
        }
    }
}
