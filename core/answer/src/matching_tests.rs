//! Which call and which transaction a message belongs to, and the effect of a lost connection.

use sip::{ConnectionId, Flow, Parser, Target};

use super::*;

const MANAGER: &str = "127.0.0.1:5060";

struct Bench {
    server: Answerer,
    now: Time,
    transport: Transport,
    generation: u32,
}

impl Bench {
    fn new(transport: Transport, behaviour: Behaviour) -> Bench {
        let own = |transport| Address { transport, address: "127.0.0.1:7000".parse().unwrap() };
        let addresses = vec![own(Transport::Udp), own(Transport::Tcp)];
        let server = Answerer::new(behaviour, addresses, base::Chance::seeded(1));
        Bench { server, now: Time::from_secs(100), transport, generation: 1 }
    }

    fn connection(&self) -> Option<ConnectionId> {
        let id = ConnectionId { worker: 0, slot: 0, generation: self.generation };
        self.transport.is_reliable().then_some(id)
    }

    fn turn(&mut self, act: impl FnOnce(&mut Answerer, Time, &mut Outbox)) -> Vec<(String, Target)> {
        let mut out = Outbox::default();
        act(&mut self.server, self.now, &mut out);
        let text = |send: &turn::Outgoing| {
            let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
            Parser::new().parse(bytes).expect("what the server sends can be read");
            (String::from_utf8(bytes.to_vec()).unwrap(), send.to)
        };
        out.sends.iter().map(text).collect()
    }

    /// Status or method of each message that the server sends.
    fn say(&mut self, text: &str) -> Vec<String> {
        let listener = u8::from(self.transport.is_reliable());
        let (transport, remote) = (self.transport, "127.0.0.1:44444".parse().unwrap());
        let flow = Flow { listener, transport, remote, connection: self.connection() };
        let out = self.turn(|server, now, out| {
            server.handle(now, Input::Message { bytes: text.as_bytes(), flow }, out);
        });
        out.iter().map(|(text, _)| short(text)).collect()
    }

    fn pass(&mut self, time: Duration) -> Vec<(u64, String, Target)> {
        let (start, end) = (self.now, self.now + time);
        let mut seen = Vec::new();
        while let Some(at) = self.server.next_deadline().filter(|at| *at <= end) {
            self.now = at;
            let out = self.turn(|server, now, out| server.handle_timeout(now, out));
            let after = at.since(start).as_millis() as u64;
            seen.extend(out.into_iter().map(|(text, to)| (after, short(&text), to)));
        }
        self.now = end;
        seen
    }

    /// The connection ends; the next message comes over a new connection.
    fn close(&mut self) {
        let (id, peer) = (self.connection().unwrap(), "127.0.0.1:44444".parse().unwrap());
        assert!(self.turn(|server, now, out| server.handle(now, Input::Closed { id, peer }, out)).is_empty());
        self.generation += 1;
    }

    /// The To tag in all answers of the call.
    fn tag(&mut self) -> String {
        let options = message("OPTIONS", "o", 1, "");
        let flow = Flow {
            listener: 0,
            transport: Transport::Udp,
            remote: MANAGER.parse().unwrap(),
            connection: None,
        };
        let input = Input::Message { bytes: options.as_bytes(), flow };
        let out = self.turn(|server, now, out| server.handle(now, input, out));
        let to = out[0].0.lines().find(|line| line.starts_with("To:")).unwrap();
        to.split("tag=").nth(1).unwrap().to_owned()
    }

    fn live(&self) -> u64 {
        self.server.counters().live.get()
    }
}

/// Status or method.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    if words[0] == "SIP/2.0" { words[1] } else { words[0] }.to_owned()
}

fn message(method: &str, branch: &str, sequence: u32, to_tag: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:a@127.0.0.1:7000 SIP/2.0\r\nVia: SIP/2.0/UDP {MANAGER};branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nRecord-Route: <sip:{MANAGER};lr>\r\nFrom: <sip:b@c>;tag=f1\r\nTo: <sip:a@c>{to_tag}\r\n\
         Call-ID: one@c\r\nCSeq: {sequence} {method}\r\nContact: <sip:b@10.0.0.9:5070>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn rings() -> Behaviour {
    Behaviour { answer_after: Duration::from_secs(5), ..Behaviour::default() }
}

#[test]
fn an_invite_that_comes_by_two_ways_rings_once() {
    let mut bench = Bench::new(Transport::Udp, Behaviour::default());
    let tag = bench.tag();
    assert_eq!(bench.say(&message("INVITE", "i", 1, "")), ["180", "200"]);
    assert_eq!(bench.say(&message("INVITE", "other", 1, "")), ["482"]);
    bench.say(&message("ACK", "other", 1, "whatever"));
    assert_eq!(bench.pass(Duration::from_secs(1)).len(), 1, "the ACK to the 482 confirms no call");
    bench.say(&message("ACK", "new", 1, &tag));
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
}

#[test]
fn a_cancel_ends_the_invite_whose_branch_it_has_and_no_other() {
    let mut bench = Bench::new(Transport::Udp, rings());
    bench.say(&message("INVITE", "i", 1, ""));
    assert_eq!(bench.say(&message("CANCEL", "other", 1, "")), ["481"]);
    assert_eq!(bench.say(&message("CANCEL", "i", 1, "")), ["200", "487"]);
    let tag = bench.tag();
    bench.say(&message("ACK", "other", 1, &tag));
    assert_eq!(bench.pass(Duration::from_millis(500)).len(), 1, "that was another's ACK");
    bench.say(&message("ACK", "i", 1, &tag));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.say(&message("CANCEL", "i", 1, "")), ["200"], "a copy, when the INVITE is long over");
    bench.pass(Duration::from_secs(32));
    assert_eq!(bench.say(&message("CANCEL", "i", 1, "")), ["481"], "forgotten");
}

#[test]
fn an_old_ack_confirms_no_new_answer() {
    let mut bench = Bench::new(Transport::Udp, Behaviour::default());
    let tag = bench.tag();
    bench.say(&message("INVITE", "i", 1, ""));
    bench.say(&message("ACK", "a", 1, &tag));
    assert_eq!(bench.say(&message("INVITE", "j", 2, &tag)), ["200"]);
    bench.say(&message("ACK", "a", 1, &tag));
    assert_eq!(bench.pass(Duration::from_millis(500)).len(), 1, "the 200 is repeated");
    bench.say(&message("ACK", "b", 2, &tag));
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
}

#[test]
fn who_was_refused_may_try_again() {
    let mut bench = Bench::new(Transport::Udp, Behaviour { failure_permille: 1000, ..Behaviour::default() });
    assert_eq!(bench.say(&message("INVITE", "i", 1, "")), ["503"]);
    let tag = bench.tag();
    bench.say(&message("ACK", "i", 1, &tag));
    assert_eq!(bench.say(&message("INVITE", "j", 2, "")), ["503"]);
    assert_eq!(bench.server.counters().invites.get(), 2);
}

#[test]
fn who_refuses_late_rings_first() {
    let behaviour = Behaviour {
        failure_permille: 1000,
        failure_status: 486,
        fails_after_ringing: true,
        answer_spread: Duration::from_secs(1),
        ..rings()
    };
    let mut bench = Bench::new(Transport::Tcp, behaviour);
    assert_eq!(bench.say(&message("INVITE", "i", 1, "")), ["180"]);
    let seen = bench.pass(Duration::from_secs(30));
    assert!(matches!(&seen[..], [(5000..=6000, status, _)] if status == "486"), "{seen:?}");
    assert_eq!(bench.live(), 0);
}

#[test]
fn a_bye_that_was_lost_with_its_connection_is_sent_again_to_where_the_route_says() {
    let behaviour = Behaviour { hang_up_after: Some(Duration::from_secs(1)), ..Behaviour::default() };
    let mut bench = Bench::new(Transport::Tcp, behaviour);
    let tag = bench.tag();
    bench.say(&message("INVITE", "i", 1, ""));
    bench.say(&message("ACK", "a", 1, &tag));
    let seen = bench.pass(Duration::from_secs(10));
    let manager = MANAGER.parse().unwrap();
    assert!(
        matches!(&seen[..], [(1000, bye, Target::Connection { to, or_connect: true, .. })]
            if bye == "BYE" && *to == manager),
        "{seen:?}"
    );
    bench.close();
    assert!(matches!(&bench.pass(Duration::from_secs(10))[..], [(500, bye, _)] if bye == "BYE"));
    // The new connection is refused.
    let to = Target::Stream { listener: 1, to: manager };
    bench.turn(|server, now, out| server.handle(now, Input::SendFailed { to }, out));
    assert!(matches!(&bench.pass(Duration::from_secs(5))[..], [(500, bye, _)] if bye == "BYE"));
    assert_eq!(bench.pass(Duration::from_secs(8)), [], "timer F ends it");
    assert_eq!(bench.live(), 0);
    bench.close();
    assert_eq!(bench.server.next_deadline().filter(|at| *at < bench.now + Duration::from_secs(3600)), None);
}

#[test]
fn an_answer_finds_another_connection_when_its_own_has_ended() {
    let mut bench = Bench::new(Transport::Tcp, rings());
    bench.say(&message("INVITE", "i", 1, ""));
    bench.close();
    let seen = bench.pass(Duration::from_secs(5));
    let manager = MANAGER.parse().unwrap();
    assert!(
        matches!(&seen[..], [(5000, status, Target::Connection { to, or_connect: true, .. })]
            if status == "200" && *to == manager),
        "{seen:?}"
    );
}

#[test]
fn a_bye_that_crosses_ours_is_answered_and_one_to_a_moved_contact_goes_there() {
    let behaviour = Behaviour { abandon_after: Duration::from_secs(9), ..Behaviour::default() };
    let mut bench = Bench::new(Transport::Udp, behaviour);
    let tag = bench.tag();
    bench.say(&message("INVITE", "i", 1, ""));
    bench.say(&message("ACK", "a", 1, &tag));
    let moved = message("INVITE", "j", 2, &tag).replace("10.0.0.9:5070", "10.0.0.8:5080");
    bench.say(&moved);
    bench.say(&message("ACK", "b", 2, &tag));
    bench.now = bench.now + Duration::from_secs(9);
    let out = bench.turn(|server, now, out| server.handle_timeout(now, out));
    assert!(out[0].0.starts_with("BYE sip:b@10.0.0.8:5080 SIP/2.0\r\n"), "{}", out[0].0);
    assert_eq!(bench.say(&message("BYE", "k", 3, &tag)), ["200"]);
    assert_eq!(bench.pass(Duration::from_secs(20)), [], "and ours is repeated no more");
}
