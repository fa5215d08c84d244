//! The examples of RFC 3263, and what stands beside them: names with a port, without records, with failures.

use sip::Transport;

use super::*;
use crate::testing::{Zone, addresses, name, naptr, srv};

const ALL: Reach = Reach { udp: [true; 2], tcp: [true; 2], tls: [true; 2] };
const PLAIN: Reach = Reach { udp: [true, false], tcp: [true, false], tls: [false; 2] };

fn target(text: &str) -> Target {
    Target { name: name(text), port: None, transport: None, secure: false, searched: false }
}

/// What is found, as text: `transport address priority/weight`.
fn told(located: &Located) -> Vec<String> {
    match located {
        Located::Found(choices) => choices
            .iter()
            .flat_map(|choice| {
                choice.addresses.iter().map(|address| {
                    format!("{} {address} {}/{}", choice.transport.word(), choice.priority, choice.weight)
                })
            })
            .collect(),
        Located::Waiting => vec!["waiting".into()],
        Located::Nowhere(why) => vec![format!("{why:?}")],
    }
}

fn check(target: &Target, reach: &Reach, zone: &mut Zone, expected: &[&str]) {
    assert_eq!(told(&locate(target, reach, &mut |question| zone.see(question))), expected, "{target:?}");
}

/// The records of the example in RFC 3263 §4.1.
fn example() -> Zone {
    Zone::of(&[
        (
            "example.com",
            naptr(&[
                (100, 50, "SIP+D2U", "_sip._udp.example.com"),
                (50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
                (90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                (10, 50, "E2U+sip", "_sip._udp.elsewhere.example"),
            ]),
        ),
        (
            "_sip._tcp.example.com",
            srv(&[(0, 1, 5060, "server1.example.com"), (0, 2, 5060, "server2.example.com")]),
        ),
        ("_sip._udp.example.com", srv(&[(0, 0, 5060, "server1.example.com")])),
        ("_sips._tcp.example.com", srv(&[(1, 0, 5061, "server2.example.com")])),
        ("server1.example.com", addresses(&["192.0.2.1"])),
        ("server2.example.com", addresses(&["192.0.2.2"])),
        ("server2.example.com", addresses(&["2001:db8::2"])),
    ])
}

#[test]
fn the_example_of_the_rfc() {
    // "Since the client supports TCP and UDP, TCP will be used."
    check(
        &target("example.com"),
        &PLAIN,
        &mut example(),
        &["tcp 192.0.2.1:5060 0/1", "tcp 192.0.2.2:5060 0/2"],
    );
    check(
        &target("example.com"),
        &ALL,
        &mut example(),
        &["tls 192.0.2.2:5061 1/0", "tls [2001:db8::2]:5061 1/0"],
    );
    let udp = Reach { udp: [true, false], ..Reach::default() };
    check(&target("example.com"), &udp, &mut example(), &["udp 192.0.2.1:5060 0/0"]);
    check(&Target { secure: true, ..target("example.com") }, &PLAIN, &mut example(), &["NoTransport"]);
}

#[test]
fn a_port_or_a_transport_leaves_out_what_it_says() {
    let mut zone = example();
    let with_port = Target { port: Some(5070), ..target("server1.example.com") };
    check(&with_port, &PLAIN, &mut zone, &["udp 192.0.2.1:5070 0/0"]);
    let by_tcp = Target { transport: Some(Transport::Tcp), ..with_port };
    check(&by_tcp, &PLAIN, &mut zone, &["tcp 192.0.2.1:5070 0/0"]);
    assert!(zone.asked.iter().all(|(_, kind)| *kind == Kind::A), "only addresses: {:?}", zone.asked);
    let mut zone = example();
    let by_udp = Target { transport: Some(Transport::Udp), ..target("example.com") };
    check(&by_udp, &PLAIN, &mut zone, &["udp 192.0.2.1:5060 0/0"]);
    assert!(zone.asked.iter().all(|(_, kind)| *kind != Kind::Naptr), "{:?}", zone.asked);
    let service = target("_sip._udp.example.com");
    check(&service, &PLAIN, &mut example(), &["udp 192.0.2.1:5060 0/0"]);
}

#[test]
fn without_naptr_there_is_srv_and_without_srv_there_are_addresses() {
    let records = [
        ("_sip._tcp.a.example", srv(&[(7, 3, 5062, "h.a.example")])),
        ("h.a.example", addresses(&["192.0.2.9"])),
        ("b.example", addresses(&["192.0.2.3", "192.0.2.4"])),
    ];
    check(&target("a.example"), &PLAIN, &mut Zone::of(&records), &["tcp 192.0.2.9:5062 7/3"]);
    let both = ["udp 192.0.2.3:5060 0/0", "udp 192.0.2.4:5060 0/0"];
    check(&target("b.example"), &PLAIN, &mut Zone::of(&records), &both);
    let tls = ["tls 192.0.2.3:5061 0/0", "tls 192.0.2.4:5061 0/0"];
    check(&Target { secure: true, ..target("b.example") }, &ALL, &mut Zone::of(&records), &tls);
    check(&target("c.example"), &PLAIN, &mut Zone::of(&records), &["NoRecord"]);
    let tcp_alone = Reach { tcp: [true, false], ..Reach::default() };
    let by_tcp = ["tcp 192.0.2.3:5060 0/0", "tcp 192.0.2.4:5060 0/0"];
    check(&target("b.example"), &tcp_alone, &mut Zone::of(&records), &by_tcp);
}

#[test]
fn failures_and_missing_answers_conclude_nothing() {
    let failed = |kind| example().with("example.com", kind, Seen::Failed(Failure::Silent));
    check(&target("example.com"), &PLAIN, &mut failed(Kind::Naptr), &["Failed(Silent)"]);
    let waiting = example().with("_sip._tcp.example.com", Kind::Srv, Seen::Waiting);
    check(&target("example.com"), &PLAIN, &mut { waiting }, &["waiting"]);
    // One target that cannot be found does not take the others away.
    let one = example().with("server1.example.com", Kind::A, Seen::Failed(Failure::ServerFailure));
    check(&target("example.com"), &PLAIN, &mut { one }, &["tcp 192.0.2.2:5060 0/2"]);
    let all = example().with("server1.example.com", Kind::A, Seen::Failed(Failure::ServerFailure)).with(
        "server2.example.com",
        Kind::A,
        Seen::Nothing,
    );
    check(&target("example.com"), &PLAIN, &mut { all }, &["Failed(ServerFailure)"]);
    let unoffered = Zone::of(&[("_sip._udp.d.example", srv(&[(0, 0, 1, ".")]))]);
    check(&target("d.example"), &PLAIN, &mut { unoffered }, &["NotOffered"]);
    let nobody = Zone::of(&[("e.example", addresses(&["0.0.0.0", "224.0.0.1", "255.255.255.255"]))]);
    check(&target("e.example"), &PLAIN, &mut { nobody }, &["NoRecord"]);
}

#[test]
fn one_answer_cannot_make_a_farm_without_end() {
    let many: Vec<String> = (0..200).map(|number| format!("192.0.2.{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut zone = Zone::of(&[
        (
            "_sip._udp.f.example",
            srv(&[(0, 1, 5060, "g.example"), (0, 1, 5061, "g.example"), (0, 1, 5062, "g.example")]),
        ),
        ("g.example", addresses(&many)),
    ]);
    let found = locate(&target("f.example"), &PLAIN, &mut |question| zone.see(question));
    assert_eq!(told(&found).len(), RECORDS_MAX);
}
