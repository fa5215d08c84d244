//! Via values read, marked and taken out.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn plain_parameters_are_read_as_all_others(
        text in "(branch|rport|received|rport1|Branch)?[ \\r\"=a1]{0,3}[=;,]?[a-z1;, \"\\x80\t]{0,40}",
    ) {
        prop_assert_eq!(read_parameter(text.as_bytes(), 0), parameters::read(text.as_bytes(), 0));
    }
}
use crate::message::Parser;

/// `expected` is one line per value: `transport sent_by branch received rport`.
fn check(given: &str, expected: &[&str]) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seen: Vec<String> = values(given.as_bytes())
        .map(|via| match via {
            Ok(via) => format!(
                "{} {} {} {} {}",
                text(via.transport),
                text(via.sent_by),
                via.branch.map_or("-".into(), text),
                via.received.map_or("-".into(), |ip| ip.to_string()),
                via.rport.map_or("-".into(), |port| format!("{port:?}")),
            ),
            Err(BadVia) => "bad".into(),
        })
        .collect();
    assert_eq!(seen, expected, "{given}");
}

#[test]
fn single_values() {
    check("SIP/2.0/UDP 192.0.2.1", &["UDP 192.0.2.1 - - -"]);
    check("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport", &["UDP 192.0.2.1:5060 z9hG4bK1 - None"]);
    check("SIP/2.0/TCP a.example;received=192.0.2.7;rport=99", &["TCP a.example - 192.0.2.7 Some(99)"]);
    check(
        "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
        &["UDP [2001:db8::9:1]:6050 z9hG4bKas3-111 - -"],
    );
    check(
        "SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z",
        &["UDP [2001:db8::9:1] z 2001:db8::9:255 -"],
    );
    check(
        "SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255",
        &["UDP [2001:db8::9:1] - 2001:db8::9:255 -"],
    );
    check("SIP  / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw", &["UDP 192.0.2.2 390skdjuw - -"]);
    check("SIP/2.0/UDP a : 5061 ; branch = z ;x=\",;\"", &["UDP a : 5061 z - -"]);
    check("HTTP/1.1/UNKNOWN a;branch=a=b;BRANCH=c", &["UNKNOWN a a=b - -"]);
    check("SIP/2.0/TCP a:0;branch=z", &["TCP a:0 z - -"]);
    check("SIP/2.0/UDP a;received=b;rport=x;branch=z", &["UDP a z - None"]);
}

#[test]
fn several_values() {
    check(
        "SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239",
        &["TCP spindle.example.com z9hG4bK9ikj8 - -", "UDP 192.168.255.111 z9hG4bK30239 - -"],
    );
    check("SIP/2.0/UDP a;x=\"b,c\",SIP/2.0/UDP d", &["UDP a - - -", "UDP d - - -"]);
    check("SIP/2.0/UDP a,", &["UDP a - - -", "bad"]);
}

#[test]
fn what_is_no_via() {
    for bad in [
        "",
        "SIP/2.0",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDP;branch=1",
        "SIP/2.0 UDP a",
        "SIP/2.0/UDPa",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP a:",
        "SIP/2.0/UDP a:x",
        "SIP/2.0/UDP a:99999",
        "SIP/2.0/UDP a:0x",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP 192.0.2.15;;,;,,",
        "SIP/2.0/UDP a;",
        "SIP/2.0/UDP a;branch=",
        "SIP/2.0/UDP a;x=\"",
    ] {
        check(bad, &["bad"]);
    }
}

fn request(vias: &str) -> String {
    format!("OPTIONS sip:a@b SIP/2.0\r\n{vias}Call-ID: 1\r\n\r\n")
}

fn check_mark(given: &str, remote: &str, expected: &str) {
    let (bytes, mut parser, mut edits, mut out) = (request(given), Parser::new(), Edits::new(), Vec::new());
    let message = parser.parse(bytes.as_bytes()).unwrap();
    let via = top(&message).unwrap().unwrap();
    let remote = remote.parse().unwrap();
    via.mark(&message, remote, &mut edits);
    edits.write_into(message.bytes(), message.end(), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), request(expected));
    let header = message.first(Name::Via).unwrap();
    out.clear();
    via.write_marked(message.value(header), remote, &mut out);
    assert_eq!(
        format!("Via: {}\r\n", String::from_utf8_lossy(&out)),
        expected.split_inclusive("\r\n").next().unwrap()
    );
}

#[test]
fn marks_of_the_receiver() {
    let here = "192.0.2.9:7000";
    check_mark("Via: SIP/2.0/UDP 192.0.2.9\r\n", here, "Via: SIP/2.0/UDP 192.0.2.9\r\n");
    check_mark("Via: SIP/2.0/UDP 192.0.2.1\r\n", here, "Via: SIP/2.0/UDP 192.0.2.1;received=192.0.2.9\r\n");
    check_mark(
        "Via: SIP/2.0/UDP a.example;x\r\n",
        here,
        "Via: SIP/2.0/UDP a.example;x;received=192.0.2.9\r\n",
    );
    check_mark(
        "Via: SIP/2.0/UDP 192.0.2.9;rport;branch=z\r\n",
        here,
        "Via: SIP/2.0/UDP 192.0.2.9;rport=7000;branch=z;received=192.0.2.9\r\n",
    );
    check_mark(
        "Via: SIP/2.0/UDP a;branch=z;rport\r\n",
        here,
        "Via: SIP/2.0/UDP a;branch=z;rport=7000;received=192.0.2.9\r\n",
    );
    check_mark(
        "Via: SIP/2.0/UDP a;received=203.0.113.1;rport=1, SIP/2.0/UDP b;rport\r\n",
        here,
        "Via: SIP/2.0/UDP a;received=192.0.2.9;rport=7000, SIP/2.0/UDP b;rport\r\n",
    );
    check_mark(
        "Via: SIP/2.0/UDP a;received=b;rport=x;branch=z;received=192.0.2.9\r\n",
        here,
        "Via: SIP/2.0/UDP a;received=192.0.2.9;rport=7000;branch=z;received=192.0.2.9\r\n",
    );
    check_mark(
        "Via: SIP/2.0/UDP a;received;branch=z\r\n",
        here,
        "Via: SIP/2.0/UDP a;received=192.0.2.9;branch=z\r\n",
    );
    check_mark(
        "Via: SIP/2.0/UDP [2001:db8::1]\r\n",
        "[2001:db8::2]:5060",
        "Via: SIP/2.0/UDP [2001:db8::1];received=2001:db8::2\r\n",
    );
    check_mark("Via: SIP/2.0/UDP 192.0.2.9\r\n", "[::ffff:192.0.2.9]:1", "Via: SIP/2.0/UDP 192.0.2.9\r\n");
}

fn check_pop(given: &str, expected: &str) {
    let (bytes, mut parser, mut edits, mut out) = (request(given), Parser::new(), Edits::new(), Vec::new());
    let message = parser.parse(bytes.as_bytes()).unwrap();
    let via = top(&message).unwrap().unwrap();
    edits.delete(pop(&message, &via).unwrap());
    edits.write_into(message.bytes(), message.end(), &mut out);
    assert_eq!(String::from_utf8_lossy(&out), request(expected));
}

#[test]
fn what_stands_below_the_topmost_value() {
    for (vias, expected) in [
        ("Via: SIP/2.0/UDP a\r\n", false),
        ("Via: SIP/2.0/UDP a ,\r\n", false),
        ("Via: SIP/2.0/UDP a, SIP/2.0/UDP b\r\n", true),
        ("Via: SIP/2.0/UDP a, not a Via\r\n", true),
        ("Via: SIP/2.0/UDP a\r\nv: not a Via\r\n", true),
    ] {
        let (bytes, mut parser) = (request(vias), Parser::new());
        let message = parser.parse(bytes.as_bytes()).unwrap();
        assert_eq!(has_below(&message, &top(&message).unwrap().unwrap()), expected, "{vias}");
    }
}

#[test]
fn the_topmost_value_goes_and_no_other() {
    check_pop("Via: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\n", "Via: SIP/2.0/UDP b\r\n");
    check_pop("Via: SIP/2.0/UDP a , SIP/2.0/UDP b\r\n", "Via: SIP/2.0/UDP b\r\n");
    check_pop("Via:SIP/2.0/UDP a,\r\n SIP/2.0/UDP b\r\n", "Via:SIP/2.0/UDP b\r\n");
    check_pop(
        "v: SIP/2.0/UDP a;x=\",\",SIP/2.0/UDP b,SIP/2.0/UDP c\r\n",
        "v: SIP/2.0/UDP b,SIP/2.0/UDP c\r\n",
    );
    check_pop("Via: SIP/2.0/UDP a\r\n  ;branch=1\r\n", "");
}
