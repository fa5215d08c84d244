//! Callers against a server without sockets, on a clock that the test moves. The two ends of the demo keep to the protocol,
//! whatever is lost between them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use base::{Chance, Duration, Time};
use sip::{Flow, Transport};
use turn::Input;
use turn::Outbox;

use super::{Callers, Pacing};
use answer::{Address, Answerer, Behaviour};
use turn::Core;

struct Line {
    callers: Callers,
    server: Answerer,
    chance: Chance,
    loss_permille: u32,
    now: Time,
}

impl Line {
    fn new(behaviour: Behaviour, loss_permille: u32) -> Line {
        let (own, to) = ("127.0.0.1:1000".parse().unwrap(), "127.0.0.1:2000".parse().unwrap());
        let now = Time::from_secs(10);
        let pacing = Pacing { calls_per_second: 50, talk: Duration::from_secs(2) };
        let server = Answerer::new(
            behaviour,
            vec![Address { transport: Transport::Udp, address: to }],
            Chance::seeded(7),
        );
        Line {
            callers: Callers::new(pacing, own, to, 0xabc, now),
            server,
            chance: Chance::seeded(5),
            loss_permille,
            now,
        }
    }

    /// Carries messages between the two ends until none is left.
    fn exchange(&mut self, mut from_callers: Outbox, mut from_server: Outbox) {
        while !from_callers.sends.is_empty() || !from_server.sends.is_empty() {
            let (mut to_server, mut to_callers) = (Outbox::default(), Outbox::default());
            for send in from_callers.sends.drain(..) {
                let bytes = &from_callers.bytes[send.bytes.start as usize..send.bytes.end as usize];
                if !self.chance.permille(self.loss_permille) {
                    self.server.handle(self.now, input(bytes, "127.0.0.1:1000"), &mut to_callers);
                }
            }
            for send in from_server.sends.drain(..) {
                let bytes = &from_server.bytes[send.bytes.start as usize..send.bytes.end as usize];
                if !self.chance.permille(self.loss_permille) {
                    self.callers.handle(self.now, input(bytes, "127.0.0.1:2000"), &mut to_server);
                }
            }
            (from_callers, from_server) = (to_server, to_callers);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = [self.callers.next_deadline(), self.server.next_deadline()]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            let (mut from_callers, mut from_server) = (Outbox::default(), Outbox::default());
            self.callers.handle_timeout(self.now, &mut from_callers);
            self.server.handle_timeout(self.now, &mut from_server);
            self.exchange(from_callers, from_server);
        }
        self.now = end;
    }
}

fn input<'a>(bytes: &'a [u8], remote: &str) -> Input<'a> {
    let remote: SocketAddr = remote.parse().unwrap();
    Input::Message { bytes, flow: Flow { listener: 0, transport: Transport::Udp, remote, connection: None } }
}

#[test]
fn calls_at_the_asked_pace_all_end_well() {
    let mut line =
        Line::new(Behaviour { answer_after: Duration::from_millis(500), ..Behaviour::default() }, 0);
    line.pass(Duration::from_secs(10));
    let tally = line.callers.tally();
    assert!((499..=501).contains(&tally.started.get()), "{}", tally.started.get());
    tally.ending.store(true, Ordering::Relaxed);
    line.pass(Duration::from_secs(5));
    assert_eq!((tally.ended.get(), tally.lost.get()), (tally.started.get(), 0));
    assert_eq!(tally.repeated.get(), 0);
    assert!(tally.is_settled());
}

#[test]
fn a_tenth_of_all_messages_lost_costs_no_call() {
    let mut line = Line::new(Behaviour::default(), 100);
    line.pass(Duration::from_secs(20));
    let tally = line.callers.tally();
    tally.ending.store(true, Ordering::Relaxed);
    line.pass(Duration::from_secs(60));
    assert!(tally.repeated.get() > 100, "{}", tally.repeated.get());
    assert_eq!((tally.ended.get(), tally.lost.get()), (tally.started.get(), 0), "{:?}", tally.reasons);
}

#[test]
fn a_dead_server_costs_calls_and_says_so() {
    let mut line = Line::new(Behaviour::default(), 1000);
    line.pass(Duration::from_secs(1));
    let tally = line.callers.tally();
    tally.ending.store(true, Ordering::Relaxed);
    line.pass(Duration::from_secs(40));
    assert_eq!((tally.ended.get(), tally.lost.get()), (0, tally.started.get()));
    assert!(tally.reasons.lock().unwrap()[0].contains("nobody answered its INVITE"));
}

#[test]
fn refused_calls_are_lost_calls() {
    let mut line = Line::new(Behaviour { failure_permille: 1000, ..Behaviour::default() }, 0);
    line.pass(Duration::from_secs(1));
    let tally = line.callers.tally();
    assert_eq!((tally.answered.get(), tally.lost.get()), (0, tally.started.get()));
    assert!(tally.reasons.lock().unwrap()[0].contains("answered 503"));
    let pending = line.server.counters().read();
    assert!(
        pending.iter().any(|(name, value)| *name == "calls in progress" && *value == 0),
        "the ACK to the failure came"
    );
}
