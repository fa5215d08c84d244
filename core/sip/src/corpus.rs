//! The messages of RFC 4475 and RFC 5118, each as one datagram and as a stream, and the verdict on it.
//!
//! The reasons are beside the messages, in `tests/src/rfc4475/MANIFEST.md` and `tests/src/rfc5118/MANIFEST.md`.

use crate::frame::{Broken, Frame, Framer};
use crate::headers::{address, cseq, max_forwards, route, via};
use crate::validate::{self, BadResponse};
use crate::{Edits, Host, Malformed, Name, Parser, Start, Uri, answer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Forward,
    Reject(u16),
    DropResponse,
    Malformed,
}
use Verdict::{DropResponse, Forward, Reject};

macro_rules! corpus {
    ($directory:literal: $($section:literal $file:literal $verdict:expr,)*) => {
        &[$(($section, $file, $verdict, include_bytes!(concat!("../../../tests/src/", $directory, "/", $file)))),*]
    };
}

type Case = (&'static str, &'static str, Verdict, &'static [u8]);

const RFC4475: &[Case] = corpus!("rfc4475":
    "3.1.1.1" "wsinv.dat" Forward,
    "3.1.1.2" "intmeth.dat" Forward,
    "3.1.1.3" "esc01.dat" Forward,
    "3.1.1.4" "escnull.dat" Forward,
    "3.1.1.5" "esc02.dat" Forward,
    "3.1.1.6" "lwsdisp.dat" Forward,
    "3.1.1.7" "longreq.dat" Forward,
    "3.1.1.8" "dblreq.dat" Forward,
    "3.1.1.9" "semiuri.dat" Forward,
    "3.1.1.10" "transports.dat" Forward,
    "3.1.1.11" "mpart01.dat" Forward,
    "3.1.1.12" "unreason.dat" Forward,
    "3.1.1.13" "noreason.dat" Forward,
    "3.1.2.1" "badinv01.dat" Reject(400),
    "3.1.2.2" "clerr.dat" Reject(400),
    "3.1.2.3" "ncl.dat" Reject(400),
    "3.1.2.4" "scalar02.dat" Reject(400),
    "3.1.2.5" "scalarlg.dat" DropResponse,
    "3.1.2.6" "quotbal.dat" Reject(400),
    "3.1.2.7" "ltgtruri.dat" Reject(400),
    "3.1.2.8" "lwsruri.dat" Reject(400),
    "3.1.2.9" "lwsstart.dat" Reject(400),
    "3.1.2.10" "trws.dat" Reject(400),
    "3.1.2.11" "escruri.dat" Reject(400),
    "3.1.2.12" "baddate.dat" Forward,
    "3.1.2.13" "regbadct.dat" Forward,
    "3.1.2.14" "badaspec.dat" Reject(400),
    "3.1.2.15" "baddn.dat" Verdict::Malformed,
    "3.1.2.15" "derived/baddn-terminated.dat" Reject(400),
    "3.1.2.16" "badvers.dat" Reject(505),
    "3.1.2.17" "mismatch01.dat" Reject(400),
    "3.1.2.18" "mismatch02.dat" Reject(400),
    "3.1.2.19" "bigcode.dat" DropResponse,
    "3.2.1" "badbranch.dat" Reject(400),
    "3.3.1" "insuf.dat" Reject(400),
    "3.3.2" "unkscm.dat" Reject(416),
    "3.3.3" "novelsc.dat" Reject(416),
    "3.3.4" "unksm2.dat" Forward,
    "3.3.5" "bext01.dat" Reject(420),
    "3.3.6" "invut.dat" Forward,
    "3.3.7" "regaut01.dat" Forward,
    "3.3.8" "multi01.dat" Reject(400),
    "3.3.9" "mcl01.dat" Reject(400),
    // An element that looks for its own Via on top drops this. The Via below is a broadcast address and leads nowhere.
    "3.3.10" "bcast.dat" Forward,
    "3.3.11" "zeromf.dat" Reject(483),
    "3.3.12" "cparam01.dat" Forward,
    "3.3.13" "cparam02.dat" Forward,
    "3.3.14" "regescrt.dat" Forward,
    "3.3.15" "sdp01.dat" Forward,
    "3.4.1" "inv2543.dat" Forward,
    "none" "extra/test.dat" Verdict::Malformed,
);

const RFC5118: &[Case] = corpus!("rfc5118":
    "4.1" "ipv6-good.sip" Forward,
    "4.2" "ipv6-bad.sip" Reject(400),
    "4.3" "port-ambiguous.sip" Forward,
    "4.4" "port-unambiguous.sip" Forward,
    "4.5" "via-received-param-with-delim.sip" Forward,
    "4.5" "via-received-param-no-delim.sip" Forward,
    "4.6" "ipv6-in-sdp.sip" Forward,
    "4.7" "mult-ip-in-header.sip" Forward,
    "4.8" "mult-ip-in-sdp.sip" Forward,
    "4.9" "ipv4-mapped-ipv6.sip" Forward,
    "4.10" "ipv6-bug-abnf-3-colons.sip" Forward,
    "4.10" "ipv6-correct-abnf-2-colons.sip" Forward,
    "4.6" "orig-content-length/ipv6-in-sdp.sip" Reject(400),
    "4.8" "orig-content-length/mult-ip-in-sdp.sip" Forward,
    "4.9" "orig-content-length/ipv4-mapped-ipv6.sip" Forward,
    "4.1" "raw-archive/ipv6-good" Verdict::Malformed,
    "4.2" "raw-archive/ipv6-bad" Verdict::Malformed,
    "4.3" "raw-archive/port-ambiguous" Verdict::Malformed,
    "4.4" "raw-archive/port-unambiguous" Verdict::Malformed,
    "4.5" "raw-archive/via-received-param-with-delim" Verdict::Malformed,
    "4.5" "raw-archive/via-received-param-no-delim" Verdict::Malformed,
    "4.6" "raw-archive/ipv6-in-sdp" Verdict::Malformed,
    "4.7" "raw-archive/mult-ip-in-header" Verdict::Malformed,
    "4.8" "raw-archive/mult-ip-in-sdp" Verdict::Malformed,
    "4.9" "raw-archive/ipv4-mapped-ipv6" Verdict::Malformed,
    "4.10" "raw-archive/ipv6-bug-abnf-3-colons" Verdict::Malformed,
    "4.10" "raw-archive/ipv6-correct-abnf-2-colons" Verdict::Malformed,
);

fn bytes(file: &str) -> &'static [u8] {
    let (_, _, _, bytes) =
        RFC4475.iter().chain(RFC5118).find(|case| case.1 == file).expect("a file of the corpora");
    bytes
}

/// The verdict on one datagram, and why.
fn verdict(bytes: &[u8]) -> (Verdict, String) {
    let mut parser = Parser::new();
    let message = match parser.parse(bytes) {
        Ok(message) => message,
        Err(malformed) => return (Verdict::Malformed, format!("{malformed:?}")),
    };
    match message.start() {
        Start::Request { .. } => match validate::request(&message) {
            Ok(_) => (Forward, String::new()),
            Err(reject) => (Reject(reject.status()), reject.reason().into()),
        },
        Start::Response { .. } => match validate::response(&message) {
            Ok(_) => (Forward, String::new()),
            Err(BadResponse(reason)) => (DropResponse, reason.into()),
        },
    }
}

#[test]
fn every_message_gets_what_it_deserves() {
    let mut wrong = 0;
    for (section, file, expected, bytes) in RFC4475.iter().chain(RFC5118) {
        let (seen, reason) = verdict(bytes);
        let mark = if seen == *expected { ' ' } else { '!' };
        println!(
            "{mark} {section:8} {file:41} {:14} {:14} {reason}",
            format!("{expected:?}"),
            format!("{seen:?}")
        );
        wrong += usize::from(seen != *expected);
    }
    assert_eq!(wrong, 0, "see the lines marked with !");
    assert_eq!(RFC4475.iter().filter(|case| !case.1.contains('/')).count(), 49);
    assert_eq!(RFC5118.iter().filter(|case| !case.1.contains('/')).count(), 12);
}

/// Whatever is wrong with a message, an answer to it can be read, and without edits it is forwarded byte for byte.
#[test]
fn every_answer_can_be_read() {
    for (_, file, _, bytes) in RFC4475.iter().chain(RFC5118) {
        let mut parser = Parser::new();
        let Ok(message) = parser.parse(bytes) else { continue };
        let mut out = Vec::new();
        Edits::new().write_into(bytes, message.end(), &mut out);
        assert_eq!(out, bytes[..message.end() as usize], "{file}");

        out.clear();
        let remote = "192.0.2.200:5999".parse().unwrap();
        let Err(reject) = validate::request(&message) else { continue };
        answer::write(&message, &reject, remote, 7, &mut out);
        let mut parser = Parser::new();
        let answer = parser.parse(&out).unwrap_or_else(|error| panic!("{file}: {error:?}"));
        assert_eq!(answer.status(), Some(reject.status()), "{file}");
        assert_eq!(answer.first_value(Name::CallId), message.first_value(Name::CallId), "{file}");
        assert_eq!(Framer::default().next(&out), Frame::Message(out.len()), "{file}");
    }
}

fn check_stream(file: &str, expected: Frame) {
    assert_eq!(Framer::default().next(bytes(file)), expected, "{file}");
}

#[test]
fn over_a_stream() {
    check_stream("wsinv.dat", Frame::Message(bytes("wsinv.dat").len()));
    check_stream("mpart01.dat", Frame::Message(bytes("mpart01.dat").len()));
    check_stream("clerr.dat", Frame::Incomplete);
    check_stream("ncl.dat", Frame::Broken(Broken::ContentLength));
    check_stream("mcl01.dat", Frame::Broken(Broken::ContentLength));
    check_stream("inv2543.dat", Frame::Broken(Broken::ContentLength));
    check_stream("extra/test.dat", Frame::Broken(Broken::NotSip));
    check_stream("dblreq.dat", Frame::Message(bytes("dblreq.dat").len() - 450));
}

#[test]
fn details_of_the_tortuous_invite() {
    let mut parser = Parser::new();
    let message = parser.parse(bytes("wsinv.dat")).unwrap();
    let vias: Vec<_> = via::all(&message).map(|via| (via.unwrap().transport, via.unwrap().branch)).collect();
    let expected: [(&[u8], Option<&[u8]>); 3] =
        [(b"UDP", Some(b"390skdjuw")), (b"TCP", Some(b"z9hG4bK9ikj8")), (b"UDP", Some(b"z9hG4bK30239"))];
    assert_eq!(vias, expected);
    assert_eq!(cseq::parse(message.first_value(Name::CSeq).unwrap()).unwrap().number, 9);
    assert_eq!(max_forwards::parse(message.first_value(Name::MaxForwards).unwrap()), Some(68));
    let to = address::parse(message.first_value(Name::To).unwrap()).unwrap();
    assert_eq!((to.uri, to.tag()), (&b"sip:vivekg@chair-dnrc.example.com"[..], Some(&b"1918181833n"[..])));
    let from = address::parse(message.first_value(Name::From).unwrap()).unwrap();
    assert_eq!((from.display_name, from.tag()), (&br#""J Rosenberg \\\"""#[..], Some(&b"98asjd8"[..])));
    let route = route::top(&message).unwrap().unwrap();
    assert_eq!(Uri::parse(route.uri).unwrap().host, Host::Name(b"services.example.com"));
}

#[test]
fn details_of_others() {
    let mut parser = Parser::new();
    let message = parser.parse(bytes("mpart01.dat")).unwrap();
    assert_eq!(message.body().len(), 553);
    let message = parser.parse(bytes("dblreq.dat")).unwrap();
    assert_eq!((message.body(), message.bytes().len() - message.end() as usize), (&b""[..], 450));
    let message = parser.parse(bytes("longreq.dat")).unwrap();
    assert_eq!(via::all(&message).filter(Result::is_ok).count(), 34);
    let message = parser.parse(bytes("esc02.dat")).unwrap();
    assert_eq!(message.all(Name::Contact).count(), 2);
    let message = parser.parse(bytes("inv2543.dat")).unwrap();
    assert_eq!(message.end() as usize, bytes("inv2543.dat").len());
    assert_eq!(parser.parse(bytes("baddn.dat")).unwrap_err(), Malformed::NoEndOfHeaders);
    let message = parser.parse(bytes("mult-ip-in-header.sip")).unwrap();
    let received = via::all(&message).map(|via| via.unwrap().received).collect::<Vec<_>>();
    assert_eq!(received, [None, None, "192.0.2.200".parse().ok()]);
}

#[test]
fn an_answer_lists_what_proxy_require_asked_for() {
    let (mut parser, mut out) = (Parser::new(), Vec::new());
    let message = parser.parse(bytes("bext01.dat")).unwrap();
    let reject = validate::request(&message).unwrap_err();
    answer::write(&message, &reject, "192.0.2.1:5060".parse().unwrap(), 0xA, &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "SIP/2.0 420 Bad Extension\r\n\
         Via: SIP/2.0/TLS fold-and-staple.example.com;branch=z9hG4bKkdjuw;received=192.0.2.1\r\n\
         From: sip:caller@example.net;tag=242etr\r\n\
         To: sip:j_user@example.com;tag=000000000000000a\r\n\
         Call-ID: bext01.0ha0isndaksdj\r\n\
         CSeq: 8 OPTIONS\r\n\
         Unsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis\r\n\
         Content-Length: 0\r\n\r\n"
    );
}
