//! Single calls: requests in, answers out, on a clock that the test moves.

use sip::{Flow, Parser, Target};

use super::*;

const CALLER: &str = "127.0.0.1:5555";

struct Bench {
    server: Answerer,
    now: Time,
}

impl Bench {
    fn new(behaviour: Behaviour) -> Bench {
        let own = Address { transport: Transport::Udp, address: "127.0.0.1:7000".parse().unwrap() };
        Bench {
            server: Answerer::new(behaviour, vec![own], base::Chance::seeded(1)),
            now: Time::from_secs(100),
        }
    }

    /// Hands in a request; returns the texts of the messages sent.
    fn take(&mut self, text: &str) -> Vec<String> {
        let flow = Flow {
            listener: 0,
            transport: Transport::Udp,
            remote: CALLER.parse().unwrap(),
            connection: None,
        };
        let mut out = Outbox::default();
        self.server.handle(self.now, Input::Message { bytes: text.as_bytes(), flow }, &mut out);
        texts(&out)
    }

    /// Hands in a message; returns the one message sent and its target.
    fn only(&mut self, text: &str) -> (String, Target) {
        let remote = CALLER.parse().unwrap();
        let flow = Flow { listener: 0, transport: Transport::Udp, remote, connection: None };
        let mut out = Outbox::default();
        self.server.handle(self.now, Input::Message { bytes: text.as_bytes(), flow }, &mut out);
        assert_eq!(out.sends.len(), 1, "{text}");
        (texts(&out).remove(0), out.sends[0].to)
    }

    /// Moves the clock from deadline to deadline; returns the messages sent, with their times in milliseconds.
    fn pass(&mut self, time: Duration) -> Vec<(u64, String)> {
        let start = self.now;
        let end = self.now + time;
        let mut seen = Vec::new();
        while let Some(at) = self.server.next_deadline().filter(|at| *at <= end) {
            self.now = at;
            let mut out = Outbox::default();
            self.server.handle_timeout(at, &mut out);
            seen.extend(texts(&out).into_iter().map(|text| (at.since(start).as_millis() as u64, text)));
        }
        self.now = end;
        seen
    }

    fn count(&self, text: &str) -> u64 {
        self.server.counters().read().iter().find(|(name, _)| *name == text).unwrap().1
    }
}

fn texts(out: &Outbox) -> Vec<String> {
    out.sends
        .iter()
        .map(|send| {
            let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
            Parser::new().parse(bytes).expect("what the server sends can be read");
            String::from_utf8(bytes.to_vec()).unwrap()
        })
        .collect()
}

fn request(method: &str, sequence: u32, to_tag: &str, more: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let of = if method == "ACK" || method == "CANCEL" { "INVITE" } else { method };
    format!(
        "{method} sip:a@127.0.0.1:7000 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKlb{of}{sequence}\r\n\
         Via: SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bKc{sequence}\r\nMax-Forwards: 70\r\n\
         Record-Route: <sip:127.0.0.1:5060;lr;farmtag=x>\r\nFrom: <sip:b@c>;tag=f1\r\nTo: <sip:a@c>{to_tag}\r\n\
         Call-ID: one@c\r\nCSeq: {sequence} {method}\r\nContact: <sip:b@10.0.0.9:5070>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

fn status(text: &str) -> &str {
    &text[8..11]
}

fn tag_of(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("To:")).unwrap();
    line.split("tag=").nth(1).unwrap().to_owned()
}

#[test]
fn a_call_from_invite_to_bye() {
    let mut bench = Bench::new(Behaviour::default());
    let answers = bench.take(&request("INVITE", 1, "", ""));
    assert_eq!(answers.iter().map(|text| status(text)).collect::<Vec<_>>(), ["180", "200"]);
    let answer = &answers[1];
    assert_eq!(answer.matches("Via:").count(), 2, "{answer}");
    assert!(answer.contains("Record-Route: <sip:127.0.0.1:5060;lr;farmtag=x>\r\n"), "{answer}");
    assert!(answer.contains("Contact: <sip:answer@127.0.0.1:7000;transport=udp>\r\n"), "{answer}");
    assert!(answer.contains("m=audio"), "{answer}");
    let tag = tag_of(answer);
    assert_eq!(tag, tag_of(&answers[0]));
    assert_eq!(bench.take(&request("ACK", 1, &tag, "")), Vec::<String>::new());
    assert_eq!(bench.pass(Duration::from_secs(60)), [], "nothing is repeated after the ACK");
    assert_eq!(status(&bench.take(&request("BYE", 2, &tag, ""))[0]), "200");
    assert_eq!(status(&bench.take(&request("BYE", 2, &tag, ""))[0]), "200", "a copy");
    assert_eq!(bench.count("calls ended by BYE of the caller"), 1);
    assert_eq!(bench.count("calls in progress"), 0);
    bench.pass(Duration::from_secs(33));
    assert_eq!(status(&bench.take(&request("BYE", 2, &tag, ""))[0]), "481", "forgotten");
}

#[test]
fn a_success_is_repeated_until_the_ack_and_then_the_server_hangs_up() {
    let mut bench = Bench::new(Behaviour::default());
    bench.take(&request("INVITE", 1, "", ""));
    let seen = bench.pass(Duration::from_secs(31));
    let times: Vec<u64> = seen.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500]);
    assert!(seen.iter().all(|(_, text)| status(text) == "200"));
    let seen = bench.pass(Duration::from_secs(2));
    let bye = seen.iter().map(|(_, text)| text).find(|text| text.starts_with("BYE")).expect("a BYE");
    assert!(bye.starts_with("BYE sip:b@10.0.0.9:5070 SIP/2.0\r\n"), "{bye}");
    assert!(bye.contains("Route: <sip:127.0.0.1:5060;lr;farmtag=x>\r\n"), "{bye}");
    assert!(bye.contains("To: <sip:b@c>;tag=f1\r\n"), "{bye}");
    assert_eq!(bench.count("calls never confirmed by ACK"), 1);
}

#[test]
fn a_copy_of_the_invite_gets_the_last_answer() {
    let mut bench = Bench::new(Behaviour { answer_after: Duration::from_secs(5), ..Behaviour::default() });
    assert_eq!(status(&bench.take(&request("INVITE", 1, "", ""))[0]), "180");
    assert_eq!(status(&bench.take(&request("INVITE", 1, "", ""))[0]), "180");
    assert_eq!(status(&bench.pass(Duration::from_secs(5))[0].1), "200");
    assert!(bench.take(&request("INVITE", 1, "", "")).is_empty(), "the 200 is repeated by its timer");
    assert_eq!(status(&bench.pass(Duration::from_millis(500))[0].1), "200");
    assert_eq!(bench.count("calls offered"), 1);
}

#[test]
fn a_cancel_ends_ringing_with_487_until_its_ack() {
    let mut bench = Bench::new(Behaviour { answer_after: Duration::from_secs(60), ..Behaviour::default() });
    bench.take(&request("INVITE", 1, "", ""));
    let answers = bench.take(&request("CANCEL", 1, "", ""));
    assert_eq!(answers.iter().map(|text| status(text)).collect::<Vec<_>>(), ["200", "487"]);
    let seen = bench.pass(Duration::from_secs(2));
    assert_eq!(
        seen.iter().map(|(at, text)| (*at, status(text))).collect::<Vec<_>>(),
        [(500, "487"), (1500, "487")]
    );
    bench.take(&request("ACK", 1, &tag_of(&answers[1]), ""));
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
    assert_eq!(bench.count("calls cancelled"), 1);
    assert_eq!(bench.server.book.next_deadline(), None, "nothing is left");
}

#[test]
fn work_of_one_call_waits_for_that_of_the_other() {
    let mut bench = Bench::new(Behaviour { work: Duration::from_millis(400), ..Behaviour::default() });
    bench.take(&request("INVITE", 1, "", ""));
    bench.take(&request("INVITE", 1, "", "").replace("one@c", "two@c"));
    let seen = bench.pass(Duration::from_millis(850));
    let answered: Vec<u64> =
        seen.iter().filter(|(_, text)| status(text) == "200").map(|(at, _)| *at).collect();
    assert_eq!(answered, [400, 800]);
}

#[test]
fn the_delays_are_kept() {
    let behaviour = Behaviour {
        ring_after: Duration::from_millis(300),
        answer_after: Duration::from_secs(1),
        hang_up_after: Some(Duration::from_secs(3)),
        ..Behaviour::default()
    };
    let mut bench = Bench::new(behaviour);
    let answers = bench.take(&request("INVITE", 1, "", ""));
    assert_eq!(status(&answers[0]), "100");
    let seen = bench.pass(Duration::from_millis(1400));
    assert_eq!(
        seen.iter().map(|(at, text)| (*at, status(text))).collect::<Vec<_>>(),
        [(300, "180"), (1300, "200")]
    );
    bench.take(&request("ACK", 1, &tag_of(&seen[1].1), ""));
    let seen = bench.pass(Duration::from_secs(3));
    assert!(seen[0].1.starts_with("BYE"), "{seen:?}");
    let answer = |branch: &str| {
        format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch={branch}\r\nFrom: <sip:a@c>;tag=x\r\n\
             To: <sip:b@c>;tag=f1\r\nCall-ID: one@c\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    bench.take(&answer("z9hG4bKx"));
    assert_eq!(bench.count("calls in progress"), 1, "it was not asked that");
    let branch = seen[0].1.split("branch=").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
    bench.take(&answer(branch));
    assert_eq!(bench.count("calls in progress"), 0);
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
}

#[test]
fn a_full_server_refuses_and_goes_on_with_what_it_has() {
    let mut bench = Bench::new(Behaviour { calls_max: 1, full_status: 486, ..Behaviour::default() });
    let answers = bench.take(&request("INVITE", 1, "", ""));
    let second = request("INVITE", 1, "", "").replace("one@c", "two@c");
    assert_eq!(status(&bench.take(&second)[0]), "486");
    let tag = tag_of(&answers[1]);
    bench.take(&request("ACK", 1, &tag, ""));
    assert_eq!(status(&bench.take(&request("INVITE", 2, &tag, ""))[0]), "200", "a re-INVITE is no new call");
    assert_eq!(bench.count("calls refused for want of room"), 1);
}

#[test]
fn so_many_of_a_thousand_are_refused() {
    let mut bench =
        Bench::new(Behaviour { failure_permille: 250, failure_status: 500, ..Behaviour::default() });
    for number in 0..2000 {
        bench.take(&request("INVITE", 1, "", "").replace("one@c", &format!("{number}@c")));
    }
    let refused = bench.count("calls refused");
    assert!((400..600).contains(&refused), "{refused}");
}

#[test]
fn calls_of_others_are_unknown_or_taken_over() {
    for (take_over, expected) in [(false, "481"), (true, "200")] {
        let mut bench = Bench::new(Behaviour { take_over, ..Behaviour::default() });
        for (method, sequence) in [("UPDATE", 5), ("INVITE", 6), ("INFO", 7), ("BYE", 8)] {
            let mut answers = bench.take(&request(method, sequence, "others", ""));
            let last = answers.pop().unwrap();
            assert_eq!(status(&last), expected, "{method}");
            assert_eq!(tag_of(&last), "others");
        }
        let taken_over = bench.count("requests taken over");
        assert_eq!(taken_over, if take_over { 2 } else { 0 }, "the INVITE makes the call known");
    }
}

/// The server that died was a proxy: its address is in the Route, or its call's far end is not a server like this one.
#[test]
fn what_a_proxy_that_died_would_have_passed_on_is_passed_on() {
    let mut bench = Bench::new(Behaviour { take_over: true, ..Behaviour::default() });
    for (uri, routes, to, left) in [
        ("sip:bob@10.0.0.7:5090", "Route: <sip:127.0.0.1:7000;lr;ftag=1>\r\n", "10.0.0.7:5090", None),
        (
            "sip:bob@10.0.0.7",
            "Route: <sip:127.0.0.1:7000;lr>, <sip:10.0.0.8;lr>\r\n",
            "10.0.0.8:5060",
            Some("Route: <sip:10.0.0.8;lr>\r\n"),
        ),
        (
            "sip:answer@10.0.0.7",
            "Route: <sip:127.0.0.1:7000;lr>\r\nRoute: <sip:10.0.0.8;lr>\r\n",
            "10.0.0.8:5060",
            Some("Route: <sip:10.0.0.8;lr>\r\n"),
        ),
        ("sip:bob@10.0.0.7", "", "10.0.0.7:5060", None),
    ] {
        for method in ["BYE", "INVITE", "ACK", "CANCEL", "INFO"] {
            let text = request(method, 3, "others", routes).replace("sip:a@127.0.0.1:7000", uri);
            let (passed, target) = bench.only(&text);
            assert_eq!(target, Target::Datagram { listener: 0, to: to.parse().unwrap() }, "{passed}");
            assert!(passed.starts_with(&format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bKpassed"
            )));
            assert_eq!(passed.matches("Route: <").count(), 1 + usize::from(left.is_some()), "{passed}");
            assert!(left.is_none_or(|left| passed.contains(left)), "{passed}");
            assert!(passed.contains("Max-Forwards: 69\r\n"), "{passed}");
            if method == "ACK" {
                continue;
            }
            let line = |name: &str| {
                passed
                    .lines()
                    .filter(|line| line.starts_with(name))
                    .map(|line| format!("{line}\r\n"))
                    .collect::<String>()
            };
            let answer = ["Via", "From", "To", "Call-ID", "CSeq"].map(line).concat();
            let answer = format!("SIP/2.0 200 OK\r\n{answer}Content-Length: 0\r\n\r\n");
            let (back, target) = bench.only(&answer);
            assert_eq!(target, Target::Datagram { listener: 0, to: "127.0.0.1:5060".parse().unwrap() });
            assert!(!back.contains("passed") && back.matches("Via:").count() == 2, "{back}");
            // A forged Via cannot make us send to another address.
            assert!(
                bench
                    .take(
                        &answer.replace("Via: SIP/2.0/UDP 127.0.0.1:5060", "Via: SIP/2.0/UDP 127.0.0.2:5060")
                    )
                    .is_empty()
            );
        }
    }
    assert_eq!(
        bench
            .take(
                &request("BYE", 3, "others", "")
                    .replace("Max-Forwards: 70", "Max-Forwards: 0")
                    .replace("a@127.0.0.1:7000", "b@10.0.0.7")
            )
            .len(),
        1
    );
    assert_eq!(bench.count("calls in progress"), 0, "nothing is kept");
}

#[test]
fn a_response_to_what_died_goes_back_to_the_load_manager_that_sent_it_and_nowhere_else() {
    let mut bench = Bench::new(Behaviour { take_over: true, ..Behaviour::default() });
    let ringing = |below: &str| {
        format!(
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.0.1:7001;branch=z9hG4bKdead\r\nVia: SIP/2.0/UDP {below}\r\n\
             Via: SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKc\r\nFrom: <sip:b@c>;tag=f1\r\nTo: <sip:a@c>;tag=x\r\n\
             Call-ID: two@c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let (back, target) = bench.only(&ringing("127.0.0.1:5060;branch=z9hG4bKlb;hop=abc"));
    assert_eq!(target, Target::Datagram { listener: 0, to: "127.0.0.1:5060".parse().unwrap() });
    assert!(
        back.starts_with(
            "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKlb;hop=abc\r\n"
        ),
        "{back}"
    );
    for below in ["10.0.0.1:5060;branch=z9hG4bKlb;hop=abc", "127.0.0.1:5060;branch=z9hG4bKlb"] {
        assert!(bench.take(&ringing(below)).is_empty(), "{below}");
    }
    let mut other = Bench::new(Behaviour::default());
    assert!(other.take(&ringing("127.0.0.1:5060;branch=z9hG4bKlb;hop=abc")).is_empty());
}

#[test]
fn what_is_asked_outside_calls_is_answered() {
    let mut bench = Bench::new(Behaviour::default());
    for (method, more, expected) in [
        ("OPTIONS", "", "200"),
        ("REGISTER", "Expires: 60\r\n", "200"),
        ("MESSAGE", "", "200"),
        ("SUBSCRIBE", "", "405"),
        ("INVITE", "Require: 100rel\r\n", "420"),
        ("INVITE", "Proxy-Require: x\r\n", "180"),
        ("CANCEL", "", "200"),
    ] {
        let answers = bench.take(&request(method, 1, "", more));
        assert_eq!(status(&answers[0]), expected, "{method}");
    }
    let answers = bench.take(&request("REGISTER", 2, "", "Expires: 60\r\n"));
    assert!(
        answers[0].contains("Expires: 60\r\n") && answers[0].contains("Contact: <sip:b@10.0.0.9:5070>\r\n")
    );
}

#[test]
fn rubbish_is_counted() {
    let mut bench = Bench::new(Behaviour::default());
    assert!(bench.take("hello\r\n\r\n").is_empty());
    let answers = bench.take(&request("INVITE", 1, "", "").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    assert_eq!(status(&answers[0]), "400");
    assert!(bench.take(&request("ACK", 1, "", "").replace("CSeq: 1 ACK", "CSeq: x ACK")).is_empty());
    assert_eq!(bench.count("messages that could not be read"), 1);
    assert_eq!(bench.count("requests refused as wrong"), 2);
}

#[test]
fn answers_go_where_the_via_says() {
    let mut server = Answerer::new(
        Behaviour::default(),
        vec![Address { transport: Transport::Udp, address: "127.0.0.1:7000".parse().unwrap() }],
        base::Chance::seeded(1),
    );
    for (via, expected) in
        [("127.0.0.1:5060", "127.0.0.1:5060"), ("127.0.0.1:5060;rport", CALLER), ("a.b", "127.0.0.1:5060")]
    {
        let text = request("OPTIONS", 1, "", "").replacen("127.0.0.1:5060", via, 1);
        let flow = Flow {
            listener: 0,
            transport: Transport::Udp,
            remote: CALLER.parse().unwrap(),
            connection: None,
        };
        let mut out = Outbox::default();
        server.handle(Time::from_secs(1), Input::Message { bytes: text.as_bytes(), flow }, &mut out);
        assert_eq!(out.sends[0].to, Target::Datagram { listener: 0, to: expected.parse().unwrap() }, "{via}");
    }
}
