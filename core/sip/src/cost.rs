//! What one message costs, measured: `cargo test --release -p strowger-sip cost -- --ignored --nocapture`.
//!
//! The product forwards a message in about 2 µs, system calls included; to read and judge it may take a small part of that.

use std::hint::black_box;
use std::net::SocketAddr;

use crate::headers::{route, via};
use crate::{Edits, Parser, Start, answer, validate};

pub(crate) const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@biloxi.example.com>\r\n\
    Call-ID: 3848276298220188511@atlanta.example.com\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@client.atlanta.example.com;transport=udp>\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, UPDATE\r\n\
    Supported: replaces, timer, 100rel\r\n\
    User-Agent: SomePhone/4.2.1 (rev 1234)\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 151\r\n\
    \r\n\
    v=0\r\n\
    o=alice 2890844526 2890844526 IN IP4 client.atlanta.example.com\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.101\r\n\
    t=0 0\r\n\
    m=audio 49172 RTP/AVP 0\r\n\
    a=rtpmap:0 PCMU/8000\r\n";

pub(crate) const BYE: &str = "BYE sip:bob@192.0.2.4:5060 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.101:5060;branch=z9hG4bKnashds10\r\n\
    Max-Forwards: 70\r\n\
    Route: <sip:192.0.2.50;lr;farmtag=0123456789abcdef>\r\n\
    From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@biloxi.example.com>;tag=8321234356\r\n\
    Call-ID: 3848276298220188511@atlanta.example.com\r\n\
    CSeq: 2 BYE\r\n\
    Content-Length: 0\r\n\r\n";

pub(crate) const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK0123456789abcdef;hop=0123456789abcdef0123456789\r\n\
    Via: SIP/2.0/UDP 192.0.2.101:5060;branch=z9hG4bKnashds10;received=192.0.2.101\r\n\
    From: \"Alice\" <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
    To: \"Bob\" <sip:bob@biloxi.example.com>;tag=8321234356\r\n\
    Call-ID: 3848276298220188511@atlanta.example.com\r\n\
    CSeq: 2 BYE\r\n\
    Content-Length: 0\r\n\r\n";

#[test]
fn the_messages_are_good() {
    let mut parser = Parser::new();
    for message in [INVITE, BYE] {
        assert!(validate::request(&parser.parse(message.as_bytes()).unwrap()).is_ok());
    }
    assert!(validate::response(&parser.parse(OK.as_bytes()).unwrap()).is_ok());
}

/// The best of several rounds, in nanoseconds: what disturbs a round only makes it longer.
fn nanoseconds(name: &str, mut run: impl FnMut()) {
    const ROUNDS: u32 = 300;
    const REPETITIONS: u32 = 1_000;
    let mut best = u128::MAX;
    for _ in 0..ROUNDS {
        #[expect(clippy::disallowed_methods, reason = "a measurement, not core")]
        let start = std::time::Instant::now();
        for _ in 0..REPETITIONS {
            run();
        }
        best = best.min(start.elapsed().as_nanos());
    }
    println!("{name:34} {:7.1} ns", best as f64 / f64::from(REPETITIONS));
}

#[test]
#[ignore = "a measurement"]
fn cost() {
    let remote: SocketAddr = "192.0.2.101:5060".parse().unwrap();
    let (mut parser, mut edits, mut out) = (Parser::new(), Edits::new(), Vec::new());
    for (name, text) in [("INVITE", INVITE), ("BYE", BYE), ("200", OK)] {
        let bytes = text.as_bytes();
        nanoseconds(&format!("{name} parse"), || {
            let _ = black_box(parser.parse(black_box(bytes)));
        });
        nanoseconds(&format!("{name} parse, validate"), || {
            let message = parser.parse(black_box(bytes)).unwrap();
            let good = match message.start() {
                Start::Request { .. } => validate::request(&message).is_ok(),
                Start::Response { .. } => validate::response(&message).is_ok(),
            };
            assert!(black_box(good));
        });
        nanoseconds(&format!("{name} parse, validate, edit, write"), || {
            let message = parser.parse(black_box(bytes)).unwrap();
            edits.clear();
            out.clear();
            let top = via::top(&message).unwrap().unwrap();
            match message.start() {
                Start::Request { .. } => {
                    assert!(validate::request(&message).is_ok());
                    top.mark(&message, remote, &mut edits);
                    edits.insert(message.headers_start(), |out| {
                        out.extend_from_slice(
                            b"Via: SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK0123456789abcdef\r\n",
                        );
                    });
                    if let Some(Ok(value)) = route::top(&message) {
                        edits.delete(route::pop(&message, &value).unwrap());
                    }
                }
                Start::Response { .. } => {
                    assert!(validate::response(&message).is_ok());
                    edits.delete(via::pop(&message, &top).unwrap());
                }
            }
            edits.write_into(message.bytes(), message.end(), &mut out);
            black_box(&out);
        });
    }
    let message = parser.parse(INVITE.as_bytes()).unwrap();
    nanoseconds("answer to INVITE", || {
        out.clear();
        answer::write(black_box(&message), &crate::Reject::no_server(5), remote, 1, &mut out);
        black_box(&out);
    });
    nanoseconds("frame INVITE", || {
        black_box(crate::frame::Framer::default().next(black_box(INVITE.as_bytes())));
    });
}
