//! Validation and answers on a message with one thing changed.

use crate::validate::{self, BadResponse};
use crate::{Parser, Reject, answer};

const BYE: &str = "BYE sip:bob@192.0.2.4 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@a.example>;tag=1\r\n\
    To: <sip:bob@b.example>;tag=2\r\n\
    Call-ID: 1@a\r\n\
    CSeq: 2 BYE\r\n\
    Content-Length: 0\r\n\r\n";

const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK2\r\n\
    Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
    From: <sip:alice@a.example>;tag=1\r\n\
    To: <sip:bob@b.example>;tag=2\r\n\
    Call-ID: 1@a\r\n\
    CSeq: 2 BYE\r\n\
    Content-Length: 0\r\n\r\n";

fn changed(message: &str, from: &str, to: &str) -> String {
    assert!(message.contains(from), "{from}");
    message.replacen(from, to, 1)
}

/// `expected` is the status and the reason; 0 when it is good.
fn check(from: &str, to: &str, expected: (u16, &str)) {
    let given = changed(BYE, from, to);
    let mut parser = Parser::new();
    let message = parser.parse(given.as_bytes()).unwrap();
    let seen = validate::request(&message).map(|_| ()).map_err(|reject| (reject.status(), reject.reason()));
    assert_eq!(seen.err().unwrap_or((0, "")), expected, "{given}");
}

const GOOD: (u16, &str) = (0, "");

#[test]
fn good_requests() {
    check("BYE", "BYE", GOOD);
    check("Max-Forwards: 70\r\n", "", GOOD);
    check("Max-Forwards: 70", "Max-Forwards: 300", GOOD);
    check(";branch=z9hG4bK1", "", GOOD);
    check(";tag=1", "", GOOD);
    check("Content-Length: 0\r\n", "", GOOD);
    check("Content-Length: 0", "Content-Length: 0\r\nl: 0", GOOD);
    check("SIP/2.0\r\n", "sip/2.0\r\n", GOOD);
    check("Max-Forwards", "Proxy-Require:\r\nMax-Forwards", GOOD);
    check("<sip:bob@b.example>", "\"Bob, the <builder>\" <tel:+1>", GOOD);
    check("Call-ID: 1@a", "i: <\"1\">@[a]", GOOD);
    check("sip:bob@192.0.2.4", "tel:+1-201-555-0123;phone-context=a", GOOD);
    check("sip:bob@192.0.2.4", "urn:service:sos", GOOD);
    check("192.0.2.1:5060", "0.0.0.0:0", GOOD);
    check(";rport", ";rport=x;received=here", GOOD);
}

#[test]
fn bad_requests() {
    let bad = |reason| (400, reason);
    check("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n", "", bad("Missing Via"));
    check("From: <sip:alice@a.example>;tag=1\r\n", "", bad("Missing From"));
    check("To: <sip:bob@b.example>;tag=2\r\n", "", bad("Missing To"));
    check("Call-ID: 1@a\r\n", "", bad("Missing Call-ID"));
    check("CSeq: 2 BYE\r\n", "", bad("Missing CSeq"));
    check("Max-", "f: <sip:x>\r\nMax-", bad("More than One From"));
    check("Max-", "t: <sip:x>\r\nMax-", bad("More than One To"));
    check("Max-", "i: 1@a\r\nMax-", bad("More than One Call-ID"));
    check("Max-", "cseq: 2 BYE\r\nMax-", bad("More than One CSeq"));
    check("Max-", "max-forwards: 70\r\nMax-", bad("More than One Max-Forwards"));
    check("Call-ID: 1@a", "Call-ID:", bad("Bad Call-ID"));
    check("Call-ID: 1@a", "Call-ID: 1 a", bad("Bad Call-ID"));
    check("CSeq: 2 BYE", "CSeq: 2", bad("Bad CSeq"));
    check("CSeq: 2 BYE", "CSeq: 2147483648 BYE", bad("Bad CSeq"));
    check("CSeq: 2 BYE", "CSeq: 2 bye", bad("CSeq Method Does Not Match"));
    check("192.0.2.1:5060", "192.0.2.1:99999", bad("Bad Via"));
    check("z9hG4bK1", "z9hG4bK", bad("Bad Via Branch"));
    check(";tag=1", ";tag=", bad("Bad From"));
    check("<sip:bob@b.example>", "<sip:bob@b.example", bad("Bad To"));
    check("70", "seventy", bad("Bad Max-Forwards"));
    check("Content-Length: 0", "Content-Length: 1", bad("Body Shorter than Content-Length"));
    check("Content-Length: 0", "Content-Length: none", bad("Bad Content-Length"));
    check("sip:bob@192.0.2.4", "sip:bob@192.0.2.400", bad("Bad Request-URI"));
    check("sip:bob@192.0.2.4", "sip:bob@192.0.2.4?a=b", bad("Header Fields in Request-URI"));
    check("sip:bob@192.0.2.4", "sip:bob@ 192.0.2.4", bad("Bad White Space in Request Line"));
    check("SIP/2.0\r\n", "SIP/2.0\t\r\n", bad("Bad White Space in Request Line"));
}

/// RFC 3261 §25.1: control characters are quoted, or there are none. Tabs and folds are white space, and the body may be anything.
#[test]
fn control_characters_stand_in_quoted_strings_alone() {
    let bad = (400, "Control Character in Header Fields");
    for control in (0..32).map(char::from).chain(['\x7F']).filter(|byte| !"\t\r\n".contains(*byte)) {
        let put = |text: &str| text.replace('~', &control.to_string());
        for loose in [
            "Subject: a~b\r\nMax-",
            "Subject: ~\r\nMax-",
            "Subject: \"a\" ~\r\nMax-",
            "Subject: \"a~\r\nMax-",
            "Subject: \"a\\\"~\r\nMax-",
            "Subject: a\r\n ~b\r\nMax-",
            "User-Agent: x (a~b)\r\nMax-",
            "User-Agent: \\~ (a)\r\nMax-",
            "User-Agent: (a) \\~\r\nMax-",
            "User-Agent: (\\\\~)\r\nMax-",
            "Contact: <sip:a@b;c~d>\r\nMax-",
            "Contact: <sip:a@b>;c~d\r\nMax-",
        ] {
            check("Max-", &put(loose), bad);
            let given = changed(OK, "Call-ID", &put(loose).replace("Max-", "Call-ID"));
            let mut parser = Parser::new();
            let message = parser.parse(given.as_bytes()).unwrap();
            let expected = Err(BadResponse("Control Character in Header Fields"));
            assert_eq!(validate::response(&message).map(|_| ()), expected, "{given:?}");
        }
        for quoted in [
            "Subject: \"a~b\"\r\nMax-",
            "Subject: \"a\\~b\"\r\nMax-",
            "Subject: \"\\\"~b\"\r\nMax-",
            "Contact: \"(~\" <sip:a@b>\r\nMax-",
            "User-Agent: x (a \\~ (b \\~) \\~)\r\nMax-",
        ] {
            check("Max-", &put(quoted), GOOD);
        }
        check("Via: SIP/2.0/UDP", &put("Via: SIP/2.0/UDP~"), bad);
        check_response(
            "SIP/2.0 200 OK",
            &put("SIP/2.0 200 O~K"),
            Err(BadResponse("Control Character in Header Fields")),
        );
        check("Content-Length: 0\r\n\r\n", &put("Content-Length: 1\r\n\r\n~"), GOOD);
    }
    check("Max-", "Subject: a\tb\r\n\tc\r\nMax-", GOOD);
}

#[test]
fn other_refusals() {
    check("SIP/2.0\r\n", "SIP/3.0\r\n", (505, "Version Not Supported"));
    check("sip:bob@192.0.2.4", "phone:+1", (416, "Unsupported URI Scheme"));
    check("Max-Forwards: 70", "Max-Forwards: 0", (483, "Too Many Hops"));
    check("Max-Forwards: 70", "Proxy-Require: a", (420, "Bad Extension"));
}

#[test]
fn the_first_check_that_fails_decides() {
    check("Max-Forwards: 70\r\nFrom: <sip:alice@a.example>;tag=1", "Max-Forwards: 0", (400, "Missing From"));
    check("sip:bob@192.0.2.4 SIP/2.0", "phone:+1 SIP/3.0", (505, "Version Not Supported"));
    check("Max-Forwards: 70", "Proxy-Require: a\r\nMax-Forwards: 0", (483, "Too Many Hops"));
}

/// RFC 3261 §8.2.2.3.
#[test]
fn proxy_require_means_nothing_in_cancel_and_ack() {
    for method in ["CANCEL", "ACK"] {
        let given = BYE.replace("BYE", method).replace("Max-Forwards: 70", "Proxy-Require: a");
        assert!(validate::request(&Parser::new().parse(given.as_bytes()).unwrap()).is_ok(), "{method}");
    }
}

fn check_response(from: &str, to: &str, expected: Result<(), BadResponse>) {
    let given = changed(OK, from, to);
    let mut parser = Parser::new();
    let message = parser.parse(given.as_bytes()).unwrap();
    assert_eq!(validate::response(&message).map(|_| ()), expected, "{given}");
}

#[test]
fn responses() {
    let bad = |reason| Err(BadResponse(reason));
    check_response("OK", "", Ok(()));
    check_response("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n", "", Ok(()));
    check_response("To: <sip:bob@b.example>", "To: Bell, Alexander <sip:bob@b.example>", Ok(()));
    check_response("200", "099", bad("Bad Status Code"));
    check_response("200", "700", bad("Bad Status Code"));
    check_response("SIP/2.0 200", "SIP/2.1 200", bad("Bad Version"));
    check_response("CSeq: 2 BYE\r\n", "", bad("Missing CSeq"));
    check_response("2 BYE", "2147483648 BYE", bad("Bad CSeq"));
    check_response("192.0.2.50;", "192.0.2.50;;", bad("Bad Via"));
    check_response("Content-Length: 0", "Content-Length: 1", bad("Body Shorter than Content-Length"));
    check_response("Content-Length: 0", "Content-Length: none", bad("Bad Content-Length"));
}

/// RFC 3261 §17.1.3: what the topmost Via and the CSeq say is enough.
#[test]
fn a_response_is_not_dropped_for_what_the_way_back_does_not_need() {
    let good = |from: &str, to: &str| check_response(from, to, Ok(()));
    for field in
        ["From: <sip:alice@a.example>;tag=1\r\n", "To: <sip:bob@b.example>;tag=2\r\n", "Call-ID: 1@a\r\n"]
    {
        good(field, "");
        good(field, &field.repeat(2));
    }
    good("Call-ID: 1@a", "Call-ID: 1 a");
    good("Call-ID: 1@a", "Call-ID: 1@a\r\nMax-Forwards: 1\r\nMax-Forwards: 2");
    good("CSeq: 2 BYE", "cseq :  2 \t BYE ");
    good("192.0.2.50;", "192.0.2.50;rport=x;received=here;");
    good("192.0.2.1;", "192.0.2.1;;");
    good("z9hG4bK2", "z9hG4bK2,SIP/2.0/UDP 255.255.255.255");
    for host in
        ["255.255.255.255", "224.0.1.75", "0.0.0.0", "[ff02::1]", "[::ffff:255.255.255.255]", "a;received=::"]
    {
        good("192.0.2.1;", &format!("{host};"));
    }
}

fn check_answer(from: &str, to: &str, reject: Reject, expected: &str) {
    let given = changed(BYE, from, to);
    let (mut parser, mut out) = (Parser::new(), Vec::new());
    let message = parser.parse(given.as_bytes()).unwrap();
    answer::write(&message, &reject, "192.0.2.9:7000".parse().unwrap(), 0xFE, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected.replace('\n', "\r\n"));
}

#[test]
fn an_answer_copies_what_identifies_the_transaction() {
    check_answer(
        "Max-Forwards: 70",
        "v: SIP/2.0/TCP x,SIP/2.0/TCP y;rport",
        Reject::no_server(7),
        "SIP/2.0 503 No Server Available\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport=7000;received=192.0.2.9\n\
         v: SIP/2.0/TCP x,SIP/2.0/TCP y;rport\n\
         From: <sip:alice@a.example>;tag=1\n\
         To: <sip:bob@b.example>;tag=2\n\
         Call-ID: 1@a\n\
         CSeq: 2 BYE\n\
         Retry-After: 7\n\
         Content-Length: 0\n\n",
    );
}

#[test]
fn an_answer_to_what_is_broken() {
    let broken = "From: \"x\r\nTo: <sip:bob@b.example>\r\nTo: <sip:second>\r\n";
    check_answer(
        "Max-Forwards: 70\r\nFrom: <sip:alice@a.example>;tag=1\r\nTo: <sip:bob@b.example>;tag=2\r\nCall-ID: 1@a\r\n",
        broken,
        Reject::bad_request("Bad From"),
        "SIP/2.0 400 Bad From\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport=7000;received=192.0.2.9\n\
         From: \"x\n\
         To: <sip:bob@b.example>;tag=00000000000000fe\n\
         CSeq: 2 BYE\n\
         Content-Length: 0\n\n",
    );
}

#[test]
fn a_provisional_answer_gets_no_tag() {
    check_answer(
        ";tag=2",
        "",
        Reject::trying(),
        "SIP/2.0 100 Trying\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport=7000;received=192.0.2.9\n\
         From: <sip:alice@a.example>;tag=1\n\
         To: <sip:bob@b.example>\n\
         Call-ID: 1@a\n\
         CSeq: 2 BYE\n\
         Content-Length: 0\n\n",
    );
}
