//! The parser on messages written as messages: what it finds, and what it refuses to find.

use crate::frame::MESSAGE_BYTES_MAX;
use crate::headers::via;
use crate::message::HEADERS_MAX;
use crate::{Length, Malformed, Method, Name, Parser, Start, validate};

/// `expected` is one line per field, `name: value`, and the body.
fn check(fields_and_body: &str, expected: &[(Name, &str)], body: &str) {
    let bytes = format!("OPTIONS sip:a@b SIP/2.0\r\n{fields_and_body}");
    let mut parser = Parser::new();
    let message = parser.parse(bytes.as_bytes()).unwrap_or_else(|error| panic!("{error:?}: {bytes}"));
    let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
    let seen: Vec<_> =
        message.headers().iter().map(|header| (header.name, text(message.value(header)))).collect();
    let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, value.to_string())).collect();
    assert_eq!((seen, text(message.body())), (expected, body.to_string()), "{bytes}");
}

fn check_malformed(given: &[u8], expected: Malformed) {
    let seen = Parser::new().parse(given).map(|_| ());
    assert_eq!(seen, Err(expected), "{}", String::from_utf8_lossy(given));
}

#[test]
fn fields() {
    check("\r\n", &[], "");
    check("To: x\r\nv:y\r\n\r\n", &[(Name::To, "x"), (Name::Via, "y")], "");
    check(
        "TO \t:  x y \t\r\nSubject:\r\nX: \r\n\r\n",
        &[(Name::To, "x y"), (Name::Other, ""), (Name::Other, "")],
        "",
    );
    check("X-A.b~1: :a:b\r\n\r\n", &[(Name::Other, ":a:b")], "");
    check(
        "A-Name-That-Is-Longer-Than-Two-Words-Of-Eight: 1\r\nCall-ID:2\r\n\r\n",
        &[(Name::Other, "1"), (Name::CallId, "2")],
        "",
    );
}

#[test]
fn folds_belong_to_the_field() {
    check("To: x\r\n y\r\n\tz\r\nm: w\r\n\r\n", &[(Name::To, "x\r\n y\r\n\tz"), (Name::Contact, "w")], "");
    check("To:\r\n x\r\n \r\n\r\n", &[(Name::To, "x")], "");
    check("To: x\r\n Via: y\r\n\r\n", &[(Name::To, "x\r\n Via: y")], "");
}

#[test]
fn the_body_is_what_content_length_says() {
    check("l: 2\r\n\r\nabcd", &[(Name::ContentLength, "2")], "ab");
    check("l: 9\r\n\r\nabcd", &[(Name::ContentLength, "9")], "abcd");
    check("X: y\r\n\r\nab\n\rcd\r\n\r\n", &[(Name::Other, "y")], "ab\n\rcd\r\n\r\n");
    for (fields, expected) in [
        ("", Length::Absent),
        ("l: 2\r\n", Length::Bytes(2)),
        ("l: 2\r\nContent-Length: 02\r\n", Length::Bytes(2)),
        ("l: 2\r\nX: y\r\nContent-Length: 3\r\n", Length::Bad),
        ("l: 99999999999\r\n", Length::Bytes(u32::MAX)),
        ("l: -1\r\n", Length::Bad),
        ("l: 2\r\nl: x\r\nl: 2\r\n", Length::Bad),
    ] {
        let bytes = format!("BYE sip:a@b SIP/2.0\r\n{fields}\r\nab");
        assert_eq!(Parser::new().parse(bytes.as_bytes()).unwrap().length(), expected, "{bytes}");
    }
}

#[test]
fn bytes_that_are_no_utf8() {
    let bytes = b"SIP/2.0 200 \xFF\xFE\r\nX: \x80\x00\x01\r\n\r\n\xC0";
    let mut parser = Parser::new();
    let message = parser.parse(bytes).unwrap();
    assert_eq!(message.value(&message.headers()[0]), b"\x80\x00\x01");
    assert_eq!(message.start(), Start::Response { version: b"SIP/2.0", status: 200, reason: b"\xFF\xFE" });
}

#[test]
fn start_lines() {
    let mut parser = Parser::new();
    let mut start = |line: &str| match parser.parse(format!("{line}\r\n\r\n").as_bytes()) {
        Ok(message) => Ok((message.method(), message.status())),
        Err(malformed) => Err(malformed),
    };
    assert_eq!(start("INVITE sip:a@b SIP/2.0"), Ok((Some(Method::Invite), None)));
    assert_eq!(start("invite sip:a@b sip/2.0"), Ok((Some(Method::Other), None)));
    assert_eq!(start("INVITE  sip:a@b  SIP/7.0  "), Ok((Some(Method::Invite), None)));
    assert_eq!(start("SIP/2.0 180 Ringing"), Ok((None, Some(180))));
    assert_eq!(start("SIP/2.0 180"), Ok((None, Some(180))));
    assert_eq!(start("sip/2.0 180 "), Ok((None, Some(180))));
    for wrapped in ["65716", "4294967301", "18", "1800", "-12", "1x0", ""] {
        assert_eq!(start(&format!("SIP/2.0 {wrapped} x")), Ok((None, Some(0))));
    }
    for line in
        ["INVITE", "INVITE sip:a@b", " INVITE sip:a@b SIP/2.0", "IN\"V sip:a@b SIP/2.0", "GET / HTTP/1.1"]
    {
        assert_eq!(start(line), Err(Malformed::StartLine), "{line}");
    }
}

#[test]
fn what_is_no_message() {
    let start = b"BYE sip:a@b SIP/2.0\r\n";
    let with = |rest: &[u8]| [start, rest].concat();
    check_malformed(b"", Malformed::Empty);
    check_malformed(b"\r\n\r\n", Malformed::Empty);
    check_malformed(b"\0\0\0\0", Malformed::StartLine);
    check_malformed(b"BYE sip:a@b SIP/2.0\nTo: x\n\n", Malformed::StartLine);
    check_malformed(b"BYE sip:a@b SIP/2.0", Malformed::StartLine);
    check_malformed(start, Malformed::NoEndOfHeaders);
    check_malformed(&with(b"To: x\r\n"), Malformed::NoEndOfHeaders);
    check_malformed(&with(b"To: x\r\n\r"), Malformed::NoEndOfHeaders);
    check_malformed(&with(b"Foobar roobar\r\n\r\n"), Malformed::HeaderLine { at: 21 });
    check_malformed(&with(b": x\r\n\r\n"), Malformed::HeaderLine { at: 21 });
    check_malformed(&with(b" : x\r\n\r\n"), Malformed::HeaderLine { at: 21 });
    check_malformed(&with(b" To: x\r\n\r\n"), Malformed::HeaderLine { at: 21 });
    check_malformed(&with(b"T\"o: x\r\n\r\n"), Malformed::HeaderLine { at: 21 });
    check_malformed(&with(b"To: x\nVia: y\r\n\r\n"), Malformed::HeaderLine { at: 26 });
    check_malformed(&with(b"To: x\rVia: y\r\n\r\n"), Malformed::HeaderLine { at: 27 });
    check_malformed(&vec![b'x'; MESSAGE_BYTES_MAX + 1], Malformed::TooLarge);
    check_malformed(&with(&b"X:\r\n".repeat(HEADERS_MAX + 1)), Malformed::TooManyHeaders);
}

/// As many Via fields as fit are read, judged and walked; the bound on header fields is above them.
#[test]
fn a_message_full_of_vias_is_good() {
    let mut bytes = b"BYE sip:a@b SIP/2.0\r\nt:sip:a@b\r\nf:sip:a@b\r\ni:1\r\nCSeq:1 BYE\r\n".to_vec();
    let mut count = 0;
    while bytes.len() + 20 < MESSAGE_BYTES_MAX {
        bytes.extend_from_slice(b"v:SIP/2.0/UDP a\r\n");
        count += 1;
    }
    bytes.extend_from_slice(b"\r\n");
    let mut parser = Parser::new();
    let message = parser.parse(&bytes).unwrap();
    assert!(validate::request(&message).is_ok());
    assert_eq!(via::all(&message).filter(Result::is_ok).count(), count);
    assert!(count > 3800);
}
