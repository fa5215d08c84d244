//! Messages of our own: requests and responses, field by field.
//!
//! Every message is framed correctly: each field is one line in the order of RFC 3261 §7.3.1, Content-Length is there once
//! and is right, and no given text can end a line or a message. A fold of a received field is written as one space. Any
//! other carriage return, line feed or NUL takes the whole message back, and [`Writer::finish`] says so.

use std::fmt;
use std::io::Write as _;

use memchr::{memchr, memchr3, memmem};

use crate::message::{Header, Message, Name};
use crate::text::write_decimal;

/// What a field may be made of.
pub trait Text {
    fn write(self, out: &mut Vec<u8>);
}

impl Text for &[u8] {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl Text for &str {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Text for &String {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Text for u32 {
    fn write(self, out: &mut Vec<u8>) {
        write_decimal(u64::from(self), out);
    }
}

impl Text for fmt::Arguments<'_> {
    fn write(self, out: &mut Vec<u8>) {
        let _ = out.write_fmt(self); // writing to a vector cannot fail
    }
}

/// One after the other.
impl<A: Text, B: Text> Text for (A, B) {
    fn write(self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}

/// What a function appends.
pub struct With<F>(pub F);

impl<F: FnOnce(&mut Vec<u8>)> Text for With<F> {
    fn write(self, out: &mut Vec<u8>) {
        (self.0)(out);
    }
}

/// The groups of fields, in their order: fields that proxies need come first (RFC 3261 §7.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    StartLine,
    Via,
    Route,
    MaxForwards,
    From,
    To,
    CallId,
    CSeq,
    Others,
}

/// A message that is being written, at the end of a buffer.
#[derive(Debug)]
#[must_use = "only `finish` makes a message of it"]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Where the message begins.
    from: usize,
    /// Of a request: how long its method is.
    method: usize,
    last: Group,
    /// No text has tried to end a line.
    good: bool,
}

impl<'a> Writer<'a> {
    /// Begins a request.
    pub fn request(out: &'a mut Vec<u8>, method: &str, uri: impl Text) -> Writer<'a> {
        let from = out.len();
        let mut writer = Writer { out, from, method: method.len(), last: Group::StartLine, good: true };
        writer.text(method);
        writer.out.push(b' ');
        writer.text(uri);
        writer.out.extend_from_slice(b" SIP/2.0\r\n");
        writer
    }

    /// Begins a response.
    pub fn response(out: &'a mut Vec<u8>, status: u16, reason: &str) -> Writer<'a> {
        let from = out.len();
        let mut writer = Writer { out, from, method: 0, last: Group::StartLine, good: true };
        writer.out.extend_from_slice(b"SIP/2.0 ");
        write_decimal(u64::from(status), writer.out);
        writer.out.push(b' ');
        writer.text(reason);
        writer.out.extend_from_slice(b"\r\n");
        writer
    }

    pub fn via(self, value: impl Text) -> Writer<'a> {
        self.known(Group::Via, b"Via: ", value)
    }

    pub fn route(self, value: impl Text) -> Writer<'a> {
        self.known(Group::Route, b"Route: ", value)
    }

    pub fn max_forwards(self, hops: u8) -> Writer<'a> {
        self.known(Group::MaxForwards, b"Max-Forwards: ", u32::from(hops))
    }

    pub fn from(self, value: impl Text) -> Writer<'a> {
        self.known(Group::From, b"From: ", value)
    }

    pub fn to(self, value: impl Text) -> Writer<'a> {
        self.known(Group::To, b"To: ", value)
    }

    pub fn call_id(self, value: impl Text) -> Writer<'a> {
        self.known(Group::CallId, b"Call-ID: ", value)
    }

    /// With the method of the request.
    pub fn cseq(self, number: u32) -> Writer<'a> {
        debug_assert!(self.method > 0, "a response copies the CSeq of its request");
        let method = self.from..self.from + self.method;
        self.known(
            Group::CSeq,
            b"CSeq: ",
            With(|out: &mut Vec<u8>| {
                write_decimal(u64::from(number), out);
                out.push(b' ');
                out.extend_from_within(method);
            }),
        )
    }

    pub fn contact(self, value: impl Text) -> Writer<'a> {
        self.known(Group::Others, b"Contact: ", value)
    }

    /// Any other field but Content-Type and Content-Length, which come with the body. `name` is a token.
    pub fn field(mut self, name: &str, value: impl Text) -> Writer<'a> {
        let is_token = !name.is_empty() && crate::scan::token_end(name.as_bytes(), 0) == name.len();
        self.good &= is_token && Name::of(name.as_bytes()) != Name::ContentLength;
        self.text((name, ": "));
        self.known(Group::Others, b"", value)
    }

    /// All fields of that name as `message` has them, each with its folds.
    pub fn copy(self, message: &Message<'_>, name: Name) -> Writer<'a> {
        message.all(name).fold(self, |writer, header| writer.copy_field(message, header))
    }

    /// The first field of that name, if there is one.
    pub fn copy_first(self, message: &Message<'_>, name: Name) -> Writer<'a> {
        match message.first(name) {
            Some(header) => self.copy_field(message, header),
            None => self,
        }
    }

    /// One field of `message`.
    pub fn copy_field(self, message: &Message<'_>, header: &Header) -> Writer<'a> {
        self.copy_line(&message.bytes()[header.start as usize..header.end as usize], header.name)
    }

    /// Ends a message without a body. False: a text tried to end a line, and nothing is written at all.
    pub fn finish(self) -> bool {
        self.end(&[])
    }

    /// Ends a message with this body.
    pub fn finish_with(self, content_type: &str, body: &[u8]) -> bool {
        self.known(Group::Others, b"Content-Type: ", content_type).end(body)
    }

    /// Ends a message whose Content-Type is already there, copied with the other fields.
    pub fn finish_copied(self, body: &[u8]) -> bool {
        self.end(body)
    }

    fn end(self, body: &[u8]) -> bool {
        if !self.good {
            self.out.truncate(self.from);
            return false;
        }
        self.out.extend_from_slice(b"Content-Length: ");
        write_decimal(body.len() as u64, self.out);
        self.out.extend_from_slice(b"\r\n\r\n");
        self.out.extend_from_slice(body);
        true
    }

    fn known(mut self, group: Group, name: &[u8], value: impl Text) -> Writer<'a> {
        debug_assert!(group >= self.last, "{group:?} behind {:?}", self.last);
        self.last = group;
        self.out.extend_from_slice(name);
        self.text(value);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// A field that a parser found; its line ends are those of the message. A NUL in a refused message does not get into the
    /// answer.
    fn copy_line(mut self, line: &[u8], name: Name) -> Writer<'a> {
        let group = match name {
            Name::Via => Group::Via,
            Name::Route => Group::Route,
            Name::MaxForwards => Group::MaxForwards,
            Name::From => Group::From,
            Name::To => Group::To,
            Name::CallId => Group::CallId,
            Name::CSeq => Group::CSeq,
            _ => Group::Others,
        };
        debug_assert!(group >= self.last, "{group:?} behind {:?}", self.last);
        self.last = group;
        self.good &= name != Name::ContentLength;
        let from = self.out.len();
        self.out.extend_from_slice(line);
        if memchr(0, line).is_some() {
            self.out[from..].iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b' ');
        }
        self
    }

    /// What is handed in, on one line.
    fn text(&mut self, text: impl Text) {
        let from = self.out.len();
        text.write(self.out);
        if memchr3(b'\r', b'\n', 0, &self.out[from..]).is_some() {
            self.unfold(from);
        }
    }

    #[cold]
    fn unfold(&mut self, from: usize) {
        let text = self.out.split_off(from);
        let mut rest = &text[..];
        while let Some(at) = memmem::find(rest, b"\r\n") {
            let spaces = rest[at + 2..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            if spaces == 0 {
                break;
            }
            self.out.extend_from_slice(rest[..at].trim_ascii_end());
            self.out.push(b' ');
            rest = &rest[at + 2 + spaces..];
        }
        self.out.extend_from_slice(rest);
        self.good &= memchr3(b'\r', b'\n', 0, &self.out[from..]).is_none();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Parser, validate};

    fn options(text: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let done = Writer::request(&mut out, "OPTIONS", "sip:bob@192.0.2.4")
            .via("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
            .route("<sip:192.0.2.2;lr>")
            .max_forwards(70)
            .from(("<sip:alice@a.example>;tag=", format_args!("{:x}", 255)))
            .to("<sip:bob@b.example>")
            .call_id(With(|out: &mut Vec<u8>| out.extend_from_slice(b"1@a")))
            .cseq(7)
            .contact("<sip:alice@192.0.2.1>")
            .field("Subject", text)
            .finish_with("text/plain", b"body");
        assert_eq!(done, out != b"before");
        done.then(|| out.split_off(6))
    }

    #[test]
    fn a_request() {
        let expected = "OPTIONS sip:bob@192.0.2.4 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
            Route: <sip:192.0.2.2;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:alice@a.example>;tag=ff\r\n\
            To: <sip:bob@b.example>\r\nCall-ID: 1@a\r\nCSeq: 7 OPTIONS\r\nContact: <sip:alice@192.0.2.1>\r\n\
            Subject: x\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody";
        assert_eq!(String::from_utf8(options(b"x").unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_response_copies_its_request() {
        let request = "BYE sip:b SIP/2.0\r\nv: SIP/2.0/UDP a\r\nX: y\r\nVia: SIP/2.0/UDP b,\r\n SIP/2.0/UDP c\r\n\
            f: <sip:a>\0\r\n\r\n";
        let (mut parser, mut out) = (Parser::new(), Vec::new());
        let message = parser.parse(request.as_bytes()).unwrap();
        let done = Writer::response(&mut out, 400, "Bad Request")
            .copy(&message, Name::Via)
            .copy_first(&message, Name::From)
            .copy_first(&message, Name::To)
            .finish();
        assert!(done);
        let expected = "SIP/2.0 400 Bad Request\r\nv: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b,\r\n SIP/2.0/UDP c\r\n\
            f: <sip:a> \r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn no_text_ends_a_line() {
        for bad in ["a\r\nX: y", "a\nb", "a\rb", "\0", "a\r\n\r\nb", "a\r\n", "a\r\n b\r\nc", "a\r\n \r\nb"] {
            assert_eq!(options(bad.as_bytes()), None, "{bad:?}");
        }
        for (folded, plain) in [("a\r\n b", "a b"), ("a \r\n\t b\r\n c", "a b c"), ("\r\n a", " a")] {
            assert_eq!(options(folded.as_bytes()), options(plain.as_bytes()), "{folded:?}");
        }
        let mut out = Vec::new();
        assert!(!Writer::request(&mut out, "BYE", "sip:a\r\n").finish());
        assert!(!Writer::request(&mut out, "BYE\0", "sip:a").finish());
        assert!(!Writer::response(&mut out, 200, "O\nK").finish());
        for name in ["", "X: y\r\nZ", "Content-Length", "l"] {
            assert!(!Writer::response(&mut out, 200, "OK").field(name, "1").finish(), "{name:?}");
        }
        assert!(!Writer::response(&mut out, 200, "OK").finish_with("a\r\nb", b""));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_one_good_message(text in prop::collection::vec(
            prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'a'), any::<u8>()], 0..12)) {
            if let Some(bytes) = options(&text) {
                let mut parser = Parser::new();
                let message = parser.parse(&bytes).unwrap();
                prop_assert_eq!(message.headers().len(), 11);
                prop_assert_eq!(message.body(), b"body");
                prop_assert!(validate::request(&message).is_ok() || text.iter().any(u8::is_ascii_control));
            }
        }
    }
}
