//! The work that a message causes, compared with the size of the message: for each list that a stranger can send, ten times
//! the list is at most ten times the work (and a little), from the first byte read to the last one written.

use super::farm::*;
use crate::http::{Asked, Head, Names};
use crate::register::settings::RegisterTo;
use crate::settings::*;
use crate::signed::keyring::KeyRing;

/// Bytes of the short list; the long one is ten times as long, and still fits into one message. Both are too long for a
/// datagram to a server, so that both take the same way.
const SHORT: usize = 5_000;

/// Steps of loops for each byte received or sent. A Contact of a REGISTER answer may be compared with 64 others; all else
/// stays far below.
const STEPS_PER_BYTE_MAX: u64 = 40;

/// Compares the work of `run` for a short list with that for a list ten times as long. `run` returns the steps, and the bytes
/// received and sent.
fn linear(name: &str, run: impl Fn(usize) -> (u64, usize)) {
    let ((short, short_bytes), (long, long_bytes)) = (run(SHORT), run(SHORT * 10));
    println!("{name:44} {short:>8} steps of {short_bytes:>6} bytes, {long:>8} of {long_bytes:>6}");
    assert!(
        long <= short * 11,
        "{name}: ten times the list is {:.1} times the work",
        long as f64 / short as f64
    );
    for (steps, bytes) in [(short, short_bytes), (long, long_bytes)] {
        assert!(steps <= STEPS_PER_BYTE_MAX * bytes as u64, "{name}: {steps} steps of {bytes} bytes");
    }
}

/// Copies of `entry`, this many bytes in all; `#` is the number of each copy.
fn list(bytes: usize, entry: &str, between: &str) -> String {
    let one = |at: usize| entry.replace('#', &format!("{at:05}"));
    let number = bytes / (one(0).len() + between.len());
    (0..number).map(one).collect::<Vec<_>>().join(between)
}

/// Header fields, and parts of them, each as long as its sender likes. `~` is the place of the list.
const FIELDS: &[(&str, &str, &str)] = &[
    ("Via: SIP/2.0/UDP h#;branch=z9hG4bK#\r\n", "", "~"),
    ("SIP/2.0/UDP h#;branch=z9hG4bK#", ",", "Via: ~\r\n"),
    ("p#=\"#\"", ";", "Via: SIP/2.0/UDP h;~\r\n"),
    ("Route: <sip:h#;lr>\r\n", "", "~"),
    ("<sip:h#;lr>", ", ", "Route: ~\r\n"),
    ("<sip:h#>", ",", "Route: ~\r\n"),
    ("Route: <sip:198.51.100.1;lr>\r\n", "", "~"),
    ("<sip:198.51.100.1;lr>", ",", "Route: ~\r\n"),
    ("Route: <sip:198.51.100.1;lr;farmtag=a>\r\n", "", "~"),
    ("p#", ";", "Route: <sip:198.51.100.1;~;lr>\r\n"),
    ("p#=1", ";", "Route: <sip:h;lr>;~\r\n"),
    ("Record-Route: <sip:h#;lr>\r\n", "", "~"),
    ("<sip:h#;farmtag=#>", ",", "Record-Route: ~\r\n"),
    ("p#", ";", "Record-Route: <sip:h;~;lr>\r\n"),
    ("Contact: <sip:b@h#>\r\n", "", "~"),
    ("<sip:b@h#>;expires=#", ",", "Contact: ~\r\n"),
    ("p#=#", ";", "Contact: <sip:b@h;~>\r\n"),
    ("p#=#", ";", "Contact: <sip:b@h>;~\r\n"),
    ("p#=#", "&", "Contact: <sip:b@h?~>\r\n"),
    ("\\\"", "", "Contact: \"~\" <sip:b@h>\r\n"),
    ("X#: y\r\n", "", "~"),
    (" y#", "\r\n", "X: x\r\n~\r\n"),
    ("a#", ",", "Proxy-Require: ~\r\n"),
    ("Require: a#\r\n", "", "~"),
    ("a#", ", ", "Supported: ~\r\n"),
    ("Supported: a#\r\n", "", "~"),
    ("Expires: #\r\n", "", "~"),
    ("Content-Length: 0\r\n", "", "~"),
    ("Retry-After: 5\r\n", "", "~"),
    ("Max-Breadth: 60\r\n", "", "~"),
    ("Strowger-Tag: a#\r\n", "", "~"),
    ("WWW-Authenticate: Digest realm=\"r#\", nonce=\"#\"\r\n", "", "~"),
    ("p#=\"#\"", ", ", "WWW-Authenticate: Digest realm=\"r\", ~\r\n"),
    ("Proxy-Authenticate: Digest realm=\"r\", nonce=\"#\"\r\n", "", "~"),
    ("Authorization: Digest realm=\"r#\", nonce=\"#\"\r\n", "", "~"),
    ("p#=\"#\"", ",", "Authorization: Digest realm=\"r\", ~\r\n"),
    ("Via: SIP/2.0/UDP h#\r\nContact: <sip:h#>\r\n", "", "~"),
    ("WWW-Authenticate: Digest realm=\"r#\"\r\nVia: SIP/2.0/UDP h#\r\n", "", "~"),
];

fn fields(case: &(&str, &str, &str), bytes: usize) -> String {
    let (entry, between, around) = case;
    around.replace('~', &list(bytes / around.matches('~').count(), entry, between))
}

fn sizes(left: &[Left]) -> usize {
    left.iter().map(|left| left.text.len()).sum()
}

/// The work of one message by UDP, and the number of bytes received and sent.
fn of_datagram(farm: &mut Farm, from: &str, text: &str) -> (u64, usize, Vec<Left>) {
    let mut left = Vec::new();
    let steps = sip::work::of(|| {
        left = farm.udp(from, text);
        left.extend(farm.timers());
    });
    (steps, text.len() + sizes(&left), left)
}

fn farm(to_all: bool) -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.tag_header = true;
    if to_all {
        settings.register.to = RegisterTo::All;
    }
    Farm::new(settings)
}

#[test]
fn a_request_costs_what_it_is_long() {
    for method in ["INVITE", "BYE", "OPTIONS", "REGISTER"] {
        for case in FIELDS {
            linear(&format!("{method} {}", case.0.escape_debug()), |bytes| {
                let text = request(method, "call", "z9hG4bKa", &fields(case, bytes));
                let (steps, bytes, _) = of_datagram(&mut farm(false), CLIENT, &text);
                (steps, bytes)
            });
        }
    }
}

#[test]
fn a_request_of_a_server_costs_what_it_is_long() {
    for case in FIELDS {
        linear(&format!("from a server {}", case.0.escape_debug()), |bytes| {
            let text = request("INVITE", "call", "z9hG4bKa", &fields(case, bytes)).replacen(
                "sip:bob@198.51.100.1 ",
                "sip:bob@192.0.2.77 ",
                1,
            );
            let (steps, bytes, _) = of_datagram(&mut farm(false), "10.0.0.1:5060", &text);
            (steps, bytes)
        });
    }
}

/// The start line, and the mandatory fields.
#[test]
fn what_every_request_has_costs_what_it_is_long() {
    for (what, with, entry, between) in [
        ("sip:bob@198.51.100.1 ", "sip:bob@198.51.100.1;~ ", "p#=#", ";"),
        ("sip:bob@198.51.100.1 ", "sip:bob@198.51.100.1;farmtag=a;~ ", "p#", ";"),
        ("sip:bob@198.51.100.1 ", "sip:bob@198.51.100.1?~ ", "p#=#", "&"),
        ("sip:bob@198.51.100.1 ", "sip:~@198.51.100.1 ", "%4#", ";"),
        ("<sip:alice@example.com>;", "<sip:alice@example.com>;~;", "p#=#", ";"),
        ("<sip:bob@example.com>", "<sip:bob@example.com;~>", "p#=#", ";"),
        ("<sip:bob@example.com>", "<sip:~@example.com>", "b%41#", ""),
        ("<sip:bob@example.com>", "\"~\" <sip:bob@example.com>", "\\\\", ""),
        ("branch=z9hG4bKa", "branch=z9hG4bK~", "a#", "."),
        ("UDP 192.0.2.1;", "UDP h~.example;", "a#", "."),
        ("Call-ID: call", "Call-ID: ~", "a#", "@"),
        ("CSeq: 1 ", "CSeq: ~1 ", "0", ""),
        ("Max-Forwards: 70", "Max-Forwards: ~70", "0", ""),
        ("Content-Length: 0", "Content-Length: ~0", "0", ""),
    ] {
        for (method, to_all) in [("INVITE", false), ("REGISTER", false), ("REGISTER", true)] {
            linear(&format!("{method} {with} {entry}"), |bytes| {
                let text = request(method, "call", "z9hG4bKa", "");
                assert!(text.contains(what), "{what}");
                let with = with.replace('~', &list(bytes, entry, between));
                let (steps, bytes, _) =
                    of_datagram(&mut farm(to_all), CLIENT, &text.replacen(what, &with, 1));
                (steps, bytes)
            });
        }
    }
}

#[test]
fn a_response_costs_what_it_is_long() {
    for (status, method) in [("200 OK", "INVITE"), ("503 No", "INVITE"), ("200 OK", "REGISTER")] {
        for case in FIELDS {
            linear(&format!("{status} to {method} {}", case.0.escape_debug()), |bytes| {
                let mut farm = farm(false);
                let asked = farm.tcp("192.0.2.1:40000", 3, &request(method, "call", "z9hG4bKa", ""));
                let answer = response(&asked[0], status).replacen(
                    "Content-Length",
                    &format!("{}Content-Length", fields(case, bytes)),
                    1,
                );
                let (steps, bytes, _) = of_datagram(&mut farm, &asked[0].address()[4..], &answer);
                (steps, bytes)
            });
        }
    }
}

/// A REGISTER to all servers: the telephone's part of the answers comes back from each of them.
#[test]
fn an_answer_of_several_servers_costs_what_they_said() {
    for (status, more) in
        [("200 OK", ""), ("401 No", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n"), ("403 No", "")]
    {
        for case in FIELDS.iter().chain(BINDINGS) {
            linear(&format!("{status} of all {}", case.0.escape_debug()), |bytes| {
                let mut farm = farm(true);
                let credentials = "Authorization: Digest realm=\"r\", nonce=\"x\"\r\n";
                let asked = farm.udp(CLIENT, &request("REGISTER", "call", "z9hG4bKa", credentials));
                assert_eq!(asked.len(), 4);
                let (mut steps, mut sum, mut answered) = (0, 0, Vec::new());
                for one in &asked {
                    let fields = format!("{more}{}Content-Length", fields(case, bytes));
                    let answer = response(one, status).replacen("Content-Length", &fields, 1);
                    let (some, more, left) = of_datagram(&mut farm, &one.address()[4..], &answer);
                    (steps, sum) = (steps + some, sum + more);
                    answered.extend(left);
                }
                assert_eq!(answered.len(), 1, "the telephone hears one answer");
                (steps, sum)
            });
        }
    }
}

/// The answer of a registrar to a telephone on a stream: the telephone's contact is looked for among all of the user's, and
/// each is hashed with the address of record.
#[test]
fn a_long_list_of_contacts_of_a_long_user_costs_what_it_is_long() {
    linear("contacts of a long user", |bytes| {
        let mut farm = farm(false);
        let user = format!("To: <sip:{}@example.com>", "b".repeat(bytes / 2));
        let text = request("REGISTER", "call", "z9hG4bKa", "").replace("To: <sip:bob@example.com>", &user);
        let asked = farm.tcp("192.0.2.1:40000", 3, &text);
        let contacts = list(bytes / 2, "Contact: <sip:b@h#>\r\n", "");
        let answer =
            response(&asked[0], "200 OK").replacen("Content-Length", &format!("{contacts}Content-Length"), 1);
        let (steps, bytes, _) = of_datagram(&mut farm, "10.0.0.1:5060", &answer);
        (steps, bytes)
    });
}

#[test]
fn challenges_of_very_many_realms_cost_what_they_are_long() {
    linear("challenges of servers of different realms", |bytes| {
        let mut farm = farm(true);
        let asked = farm.udp(CLIENT, &request("REGISTER", "call", "z9hG4bKa", ""));
        let (mut steps, mut sum) = (0, 0);
        for (at, one) in asked.iter().enumerate() {
            let entry = format!("WWW-Authenticate: Digest realm=\"{at}#\", nonce=\"#\"\r\n");
            let fields = format!("{}Content-Length", list(bytes, &entry, ""));
            let answer = response(one, "401 No").replacen("Content-Length", &fields, 1);
            let (some, more, _) = of_datagram(&mut farm, &one.address()[4..], &answer);
            (steps, sum) = (steps + some, sum + more);
        }
        (steps, sum)
    });
}

/// Contacts that differ only in the part that is compared last.
const BINDINGS: &[(&str, &str, &str)] = &[
    ("Contact: <sip:bobbobbobbob@192.0.2.1;a=1;b=2;c=3;d=4;e=5;f=#>\r\n", "", "~"),
    ("<sip:b@h;x=#>", ",", "Contact: ~\r\n"),
    ("<sip:b@h>;reg-id=#", ",", "Contact: ~\r\n"),
    ("<tel:#>", ",", "Contact: ~\r\n"),
    ("%4#", "", "Contact: <sip:~@h>\r\n"),
    ("p#=#", ";", "Contact: <sip:b@h;~>, <sip:b@h;~>\r\n"),
    ("b#", ";", "Contact: <sip:b@h;a=~>\r\n"),
];

#[test]
fn the_head_of_an_http_request_costs_what_it_is_long() {
    let keys = KeyRing::new(&Keys { tag: vec![(1, [7; 16].into())], heartbeat: None });
    let names = Names { cookie: "s".into(), header: "s".into(), parameter: "s".into() };
    let of = |target: String, cookie: String| {
        let head = Head { target: &target, header: &[], cookies: &[cookie.as_bytes()] };
        let steps = sip::work::of(|| drop(Asked::read(&keys, &names, head)));
        (steps, target.len() + cookie.len())
    };
    for (entry, between) in [("s=#", "&"), ("x=#", "&"), ("s=%4", "")] {
        linear(&format!("query {entry}"), |bytes| {
            of(format!("/?{}", list(bytes, entry, between)), String::new())
        });
    }
    for (entry, between) in [("s=#", ";"), ("a;s=#", "/"), ("x", ";")] {
        linear(&format!("path {entry}"), |bytes| {
            of(format!("/{}", list(bytes, entry, between)), String::new())
        });
    }
    for (entry, between) in [("s=#", ";"), ("x=#", "; "), ("s=\"%41\"", ";")] {
        linear(&format!("cookie {entry}"), |bytes| of("/".into(), list(bytes, entry, between)));
    }
}

/// The same with small numbers: a bound on a list does not excuse much work below the bound.
#[test]
fn no_number_of_bindings_is_dear() {
    for number in [2, 8, 16, 31, 32, 33, 63, 64, 65, 100] {
        for parameters in [1, 31, 32, 33] {
            let mut farm = farm(true);
            let asked = farm.udp(CLIENT, &request("REGISTER", "call", "z9hG4bKa", ""));
            let (mut steps, mut bytes) = (0, 0);
            for one in &asked {
                let same = list(parameters * 9, "p#=1", ";");
                let contact = format!("Contact: <sip:b@h;{same};z=#####>\r\n");
                let contacts: String =
                    (0..number).map(|at| contact.replace("#####", &format!("{at:05}"))).collect();
                let answer = response(one, "200 OK").replacen(
                    "Content-Length",
                    &format!("{contacts}Content-Length"),
                    1,
                );
                let (some, more, _) = of_datagram(&mut farm, &one.address()[4..], &answer);
                (steps, bytes) = (steps + some, bytes + more);
            }
            println!("{number} contacts of {parameters} parameters: {steps} steps of {bytes} bytes");
            assert!(steps <= STEPS_PER_BYTE_MAX * bytes as u64);
        }
    }
}
