//! One datagram through all that a load manager does with it: parse, every accessor, validation, an answer, edits.
//!
//! Besides not panicking: ranges lie in order, what validation lets through the accessors can read, no edits change no byte, a
//! Via that is put on and taken off leaves nothing, an answer is a message that can be framed.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use sip::frame::{Frame, Framer};
use sip::headers::{address, content_length, cseq, max_forwards, parameters, route, via};
use sip::{Edits, Message, Name, Parser, Reject, Start, Uri, answer, validate};

fuzz_target!(|bytes: &[u8]| {
    let mut parser = Parser::new();
    let Ok(message) = parser.parse(bytes) else { return };
    ranges(&message);
    read_all(&message);
    let judged = match message.start() {
        Start::Request { .. } => validate::request(&message).map(|_| ()),
        Start::Response { .. } => {
            let reject = |validate::BadResponse(reason)| Reject::bad_request(reason);
            validate::response(&message).map(|_| ()).map_err(reject)
        }
    };
    if judged.is_ok() {
        good(&message);
        hop(&message);
    }
    edits(&message);
    answers(&message, judged.err());
});

/// Header fields follow one another without a gap, each with its value within.
fn ranges(message: &Message<'_>) {
    let mut at = message.headers_start();
    for header in message.headers() {
        assert_eq!(header.start, at);
        assert!(header.start < header.value_start && header.value_start <= header.value_end);
        assert!(header.value_end + 2 <= header.end);
        assert!(!message.name(header).is_empty());
        assert_eq!(Name::of(message.name(header)), header.name);
        assert_eq!(message.range_of(message.value(header)), header.value_start..header.value_end);
        at = header.end;
    }
    assert_eq!(at + 2, message.body_start());
    assert!(message.body_start() <= message.end() && message.end() as usize <= message.bytes().len());
    for name in message.headers().iter().map(|header| header.name) {
        let all = message.headers().iter().filter(|header| header.name == name);
        assert!(message.all(name).eq(all.clone()));
        assert_eq!(message.first(name), all.clone().next());
        assert_eq!(message.is_repeated(name), all.count() > 1);
    }
}

/// Every reader of a value, on every field whatever its name.
fn read_all(message: &Message<'_>) {
    for header in message.headers() {
        let value = message.value(header);
        for via in via::values(value).flatten() {
            assert!(
                within(value, via.bytes) && within(via.bytes, via.sent_by) && within(value, via.parameters)
            );
            assert_eq!(via.branch, via.parameter(b"branch"));
            assert!(via.received.is_none() || via.parameter(b"received").is_some());
            assert_eq!(via.rport.is_some(), via.parameter(b"rport").is_some());
        }
        for address in address::values(value).flatten() {
            assert!(within(value, address.bytes) && within(address.bytes, address.uri));
            assert_eq!(address.tag(), address.parameter(b"tag"));
            read_uri(address.uri);
        }
        let _ = (
            address::parse(value),
            cseq::parse(value),
            max_forwards::parse(value),
            content_length::parse(value),
        );
        parameters::all(value).for_each(|parameter| assert!(!parameter.name.is_empty()));
        read_uri(value);
    }
    if let Start::Request { uri, .. } = message.start() {
        read_uri(uri);
    }
}

fn read_uri(bytes: &[u8]) {
    if let Ok(uri) = Uri::parse(bytes) {
        assert!(within(bytes, uri.parameters) && within(bytes, uri.headers));
        assert!(uri.port != Some(0));
        let _ = (uri.parameter(b"lr"), uri.parameter(b"transport"));
    }
}

fn within(outer: &[u8], inner: &[u8]) -> bool {
    let (outer, inner) = (outer.as_ptr_range(), inner.as_ptr_range());
    outer.start <= inner.start && inner.end <= outer.end
}

/// What a router relies on when validation let a message through.
fn good(message: &Message<'_>) {
    let top = via::top(message).expect("a Via").expect("a good one");
    assert!(cseq::parse(message.first_value(Name::CSeq).expect("a CSeq")).is_some());
    match message.start() {
        Start::Request { .. } => {
            let good = validate::request(message).expect("judged before");
            assert_eq!(good.via.bytes, top.bytes);
            let call_id = message.first_value(Name::CallId).expect("a Call-ID");
            assert!(!call_id.is_empty() && !call_id.contains(&b'\n'));
            assert!(good.uri.headers.is_empty());
        }
        Start::Response { .. } => {
            let good = validate::response(message).expect("judged before");
            assert_eq!(good.via.bytes, top.bytes);
            assert!(good.has_below || via::all(message).nth(1).is_none_or(|via| via.is_err()));
        }
    }
}

/// A hop: marks and a Via of our own on the request; taken off again, the marked request is left.
fn hop(message: &Message<'_>) {
    let remote: SocketAddr = "192.0.2.77:7777".parse().expect("an address");
    let top = via::top(message).expect("a Via").expect("a good one");
    let (mut edits, mut marked, mut sent) = (Edits::new(), Vec::new(), Vec::new());
    top.mark(message, remote, &mut edits);
    edits.write_into(message.bytes(), message.end(), &mut marked);
    edits.insert(message.headers_start(), |out| {
        out.extend_from_slice(b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n")
    });
    edits.write_into(message.bytes(), message.end(), &mut sent);

    let mut parser = Parser::new();
    let sent = parser.parse(&sent).expect("what was sent can be read");
    let ours = via::top(&sent).expect("ours").expect("a good one");
    assert_eq!(ours.branch, Some(&b"z9hG4bKx"[..]));
    let theirs = via::below(&sent, &ours).expect("theirs").expect("a good one");
    assert_eq!((theirs.branch, theirs.sent_by), (top.branch, top.sent_by));
    assert!(theirs.rport.is_none() || theirs.rport == Some(Some(7777)));
    edits.clear();
    edits.delete(via::pop(&sent, &ours).expect("there is one"));
    let mut back = Vec::new();
    edits.write_into(sent.bytes(), sent.end(), &mut back);
    assert_eq!(back, marked);

    // Each value popped leaves those below it.
    let below: Vec<_> = via::all(message).flatten().skip(1).map(|via| via.bytes.to_vec()).collect();
    edits.clear();
    edits.delete(via::pop(message, &top).expect("there is one"));
    back.clear();
    edits.write_into(message.bytes(), message.end(), &mut back);
    let mut parser = Parser::new();
    let popped = parser.parse(&back).expect("what is left can be read");
    let left: Vec<_> = via::all(&popped).flatten().map(|via| via.bytes.to_vec()).collect();
    assert_eq!(left, below);
}

fn edits(message: &Message<'_>) {
    let (mut edits, mut out) = (Edits::new(), Vec::new());
    edits.write_into(message.bytes(), message.end(), &mut out);
    assert_eq!(out, message.bytes()[..message.end() as usize]);
    if let Some(Ok(first)) = route::top(message) {
        let popped = route::pop(message, &first).expect("it is there");
        assert!(popped.contains(&message.range_of(first.bytes).start));
        if let Some((upper, Some(lower))) = route::pop_two(message) {
            assert!(upper.end <= lower.start);
        }
    }
}

/// Any answer can be framed and read, and keeps what identifies the transaction.
fn answers(message: &Message<'_>, reject: Option<Reject>) {
    if !matches!(message.start(), Start::Request { .. }) {
        return;
    }
    let reject = reject.unwrap_or(Reject::no_server(5));
    let mut out = Vec::new();
    answer::write(message, &reject, "[2001:db8::77]:7777".parse().expect("an address"), 7, &mut out);
    if out.len() > sip::frame::MESSAGE_BYTES_MAX {
        return; // only for a request that is nearly as large itself
    }
    assert_eq!(Framer::default().next(&out), Frame::Message(out.len()));
    let mut parser = Parser::new();
    let answer = parser.parse(&out).expect("an answer");
    assert_eq!(answer.status(), Some(reject.status()));
    // A NUL of a request is none in its answer.
    assert!(!out.contains(&0));
    let as_it_came = |value: &&[u8]| !value.contains(&0);
    for name in [Name::CallId, Name::CSeq, Name::From] {
        if let Some(value) = message.first_value(name).filter(as_it_came) {
            assert_eq!(answer.first_value(name), Some(value));
        }
    }
}
