//! Two engines on one store: any order of messages of a call and of strangers, answers of the store that are late or lost, time that
//! passes, engines that die and come back. Nothing panics, what leaves can be read, and memory keeps its bounds.

#![no_main]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use base::{Duration, Time};
use engine::application::Forward;
use engine::{Address, Answer, Engine, FarmSecret, Settings};
use libfuzzer_sys::fuzz_target;
use sip::{Flow, Parser, Transport};
use state::{Ask, Partition, Reply, Unanswered};
use turn::{Core, Input, Outbox};

/// Small, so that they are reached.
const BOUNDS: engine::Bounds = engine::Bounds { calls_max: 6, requests_max: 4, ringing_per_source: 3 };
const EPOCH_US: u64 = 1_767_225_600_000_000;
/// Messages that a test remembers to answer or to change.
const SEEN_MAX: usize = 32;
/// More than both engines ask at once: each of 256 partitions for the calls of each life that has ended.
const TURN_ASKS_MAX: usize = 50_000;
/// Things that happen in one run, and the time in which they do: most of it goes to polls of the store.
const STEPS_MAX: usize = 100;
const TIME_MAX: Duration = Duration::from_secs(20);
/// The links of an engine wait so long for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
const CALLER: &str = "10.0.0.1:5060";
const CALLEE: &str = "10.0.0.9:5060";
const STATUS: [&str; 8] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "200 OK",
    "302 Moved Temporarily",
    "407 Proxy Authentication Required",
    "486 Busy Here",
    "503 Service Unavailable",
];
const METHODS: [&str; 6] = ["ACK", "BYE", "CANCEL", "INFO", "INVITE", "OPTIONS"];

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut farm = Farm::new(first & 1 == 1);
    let mut rest = rest;
    for _ in 0..STEPS_MAX {
        let Some((step, more)) = rest.split_first_chunk::<3>() else { break };
        rest = more;
        match farm.step(*step, rest) {
            // The rest was taken as a message.
            true => break,
            false => {
                farm.settle();
                farm.check();
            }
        }
    }
    farm.away = false;
    farm.holds = false;
    farm.settle();
    farm.pass(Duration::from_secs(2));
    farm.check();
});

struct Farm {
    is_proxy: bool,
    engines: [Engine; 2],
    numbers: [u32; 2],
    next_number: u32,
    partitions: HashMap<u8, Partition>,
    /// Of an engine, its number, and since when.
    asks: VecDeque<(usize, u32, Time, Ask)>,
    /// Messages that left, the newest last.
    seen: VecDeque<Vec<u8>>,
    holds: bool,
    away: bool,
    now: Time,
}

impl Farm {
    fn new(is_proxy: bool) -> Farm {
        let now = Time::from_secs(1000);
        let engine = |number| Engine::new(settings(number, is_proxy), (now, EPOCH_US));
        Farm {
            is_proxy,
            engines: [engine(1), engine(2)],
            numbers: [1, 2],
            next_number: 3,
            partitions: HashMap::new(),
            asks: VecDeque::new(),
            seen: VecDeque::new(),
            holds: false,
            away: false,
            now,
        }
    }

    /// One thing happens. `true`: the rest of the input was a message.
    fn step(&mut self, [what, which, how]: [u8; 3], rest: &[u8]) -> bool {
        let at = usize::from(what >> 7);
        let seen = self.seen.get(usize::from(which) % self.seen.len().max(1)).cloned();
        match what & 0x0f {
            0 | 1 => self.deliver(at, CALLER, &invite(which % 4, how % 2)),
            2 | 3 => {
                if let Some(request) = seen.filter(|message| !message.starts_with(b"SIP/2.0")) {
                    self.deliver(at, CALLEE, &response(&request, STATUS[usize::from(how) % STATUS.len()]));
                }
            }
            4 | 5 => {
                if let Some(message) = seen {
                    let method = METHODS[usize::from(how) % METHODS.len()];
                    self.deliver(at, CALLER, &request(&message, method, how / 6, false));
                    self.deliver(at, CALLEE, &request(&message, method, how / 6, true));
                }
            }
            6 if self.now < Time::from_secs(1000) + TIME_MAX => {
                self.pass(Duration::from_millis(u64::from(which) * u64::from(how) / 8));
            }
            7 => self.holds = !self.holds,
            8 if !self.away => self.carry_out(usize::from(which)),
            9 => self.lose(how % 2 == 0),
            10 => self.away = !self.away,
            11 => self.restart(at),
            12 => {
                if let Some(mut message) = seen {
                    let place = usize::from(how) * message.len() / 256;
                    message[place] ^= which | 1;
                    self.deliver(at, CALLER, &message);
                }
            }
            13 => {
                // A copy of what left, as it comes back or as a letter comes in.
                if let Some(message) = seen {
                    self.deliver(at, CALLEE, &message);
                }
            }
            14 => {
                // A notice that a server is gone, with anything behind its first bytes.
                self.deliver(at, CALLER, &[&heartbeat::death::DEATH_ID.to_be_bytes(), rest].concat());
                return true;
            }
            15 => {
                self.deliver(at, CALLER, rest);
                return true;
            }
            _ => {}
        }
        false
    }

    fn deliver(&mut self, at: usize, from: &str, bytes: &[u8]) {
        let remote: SocketAddr = from.parse().expect("an address");
        let flow = Flow { listener: 0, transport: Transport::Udp, remote, connection: None };
        self.turn(at, |engine, now, out| engine.handle(now, Input::Message { bytes, flow }, out));
    }

    fn turn(
        &mut self,
        at: usize,
        run: impl FnOnce(&mut Engine, Time, &mut Outbox<Ask, engine::Letter, engine::Event>),
    ) {
        let mut out = Outbox::default();
        run(&mut self.engines[at], self.now, &mut out);
        let mut parser = Parser::new();
        for send in &out.sends {
            let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
            let is_letter = bytes.starts_with(b"SWL1") || bytes.starts_with(b"SWH1");
            assert!(
                is_letter || parser.parse(bytes).is_ok(),
                "left unreadable: {}",
                String::from_utf8_lossy(bytes)
            );
            self.seen.push_back(bytes.to_vec());
            if self.seen.len() > SEEN_MAX {
                self.seen.pop_front();
            }
        }
        let (number, now) = (self.numbers[at], self.now);
        self.asks.extend(out.asks.into_iter().map(|ask| (at, number, now, ask)));
    }

    /// Unless the store waits or is away, it carries out all that is asked, and what its answers lead to.
    fn settle(&mut self) {
        if !self.holds && !self.away {
            self.carry_out(self.asks.len() + TURN_ASKS_MAX);
            assert!(self.asks.is_empty(), "asked without end: {:?}", self.asks);
        }
    }

    /// The store carries out commands that wait, and the engines get its answers.
    fn carry_out(&mut self, count: usize) {
        for _ in 0..count {
            let Some((at, number, _, ask)) = self.asks.pop_front() else { return };
            let answer = Ok(self.apply(&ask));
            self.reply(at, number, Reply { token: ask.token, answer });
        }
    }

    /// The answer to the next command is lost; perhaps the command, too.
    fn lose(&mut self, is_applied: bool) {
        let Some((at, number, _, ask)) = self.asks.pop_front() else { return };
        if is_applied {
            self.apply(&ask);
        }
        self.reply(at, number, Reply { token: ask.token, answer: Err(Unanswered::OutOfReach) });
    }

    fn apply(&mut self, ask: &Ask) -> state::Answer {
        let millis = EPOCH_US / 1000 + self.now.as_millis() - 1_000_000;
        let bounds = state::Bounds { bytes_max: 1 << 20, effects_max: 10 };
        let partition = self.partitions.entry(ask.partition).or_insert_with(|| Partition::new(bounds));
        partition.apply(millis, ask.command.clone())
    }

    fn reply(&mut self, at: usize, number: u32, reply: Reply) {
        // What an engine asked before it died is nobody's.
        if self.numbers[at] == number {
            self.turn(at, |engine, now, out| engine.handle(now, Input::Answer(&Answer::Reply(reply)), out));
        }
    }

    /// An engine dies; its next life begins at once.
    fn restart(&mut self, at: usize) {
        let micros = EPOCH_US + (self.now.as_millis() - 1_000_000) * 1000;
        self.numbers[at] = self.next_number;
        self.next_number += 1;
        self.engines[at] = Engine::new(settings(self.numbers[at], self.is_proxy), (self.now, micros));
    }

    /// Each timer that is due runs once in a step; there are at most 200 steps.
    fn pass(&mut self, time: Duration) {
        let step = Duration::from_millis(20).max(time / 200);
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + step;
            while self.asks.front().is_some_and(|(_, _, since, _)| *since + PATIENCE <= self.now) {
                self.lose(false);
            }
            for at in 0..self.engines.len() {
                if self.engines[at].next_deadline().is_some_and(|due| due <= self.now) {
                    self.turn(at, |engine, now, out| engine.handle_timeout(now, out));
                }
            }
            self.settle();
        }
    }

    fn check(&self) {
        for engine in &self.engines {
            let counts = engine.counters().read();
            let cached = counts.iter().find(|(name, _, _)| *name == "cached").expect("a counter").2;
            assert!(cached <= BOUNDS.calls_max as u64, "{cached} calls in memory");
        }
    }
}

fn settings(engine: u32, is_proxy: bool) -> Settings {
    let own = "10.0.0.5:5060";
    Settings {
        mode: if is_proxy { engine::Mode::Proxy } else { engine::Mode::B2bua },
        secret: FarmSecret::new([7; 32]),
        engine,
        worker: 0,
        workers: 1,
        listeners: vec![Address { transport: Transport::Udp, sent_by: own.as_bytes().into(), is_ipv4: true }],
        letters: format!("10.1.0.{engine}:5099").into_bytes().into(),
        application: Arc::new(Forward { talk_max: Some(Duration::from_secs(20)) }),
        to: [CALLEE, "10.0.0.10:5060"].map(|to| format!("sip:{to}").into_bytes().into()).into(),
        route: None,
        hosts: HashMap::new(),
        timers: transaction::Timers::default(),
        ring_max: Duration::from_secs(30),
        silence_max: Duration::from_secs(60),
        bounds: BOUNDS,
    }
}

fn invite(call: u8, branch: u8) -> Vec<u8> {
    format!(
        "INVITE sip:bob@farm.example SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bKi{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@a.example>;tag=alice\r\nTo: <sip:bob@farm.example>\r\nCall-ID: call-{call}\r\nCSeq: 7 INVITE\r\n\
         Contact: <sip:alice@{CALLER}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// The lines of a message that begin so.
fn lines<'m>(message: &'m str, names: &'m [&str]) -> impl Iterator<Item = &'m str> {
    message.split("\r\n").filter(move |line| names.iter().any(|name| line.starts_with(name)))
}

/// The answer of whoever gets this request.
fn response(request: &[u8], status: &str) -> Vec<u8> {
    let request = String::from_utf8_lossy(request);
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in lines(&request, &["Via: ", "Record-Route: ", "From: ", "To: ", "Call-ID: ", "CSeq: "]) {
        let is_new = line.starts_with("To: ") && !line.contains(";tag=");
        text.push_str(&format!("{line}{}\r\n", if is_new { ";tag=bob" } else { "" }));
    }
    text.push_str(&format!("Contact: <sip:bob@{CALLEE}>\r\nContent-Length: 0\r\n\r\n"));
    text.into_bytes()
}

/// A request in the dialog of this message, or of its transaction. `turned`: from the other side.
fn request(message: &[u8], method: &str, number: u8, turned: bool) -> Vec<u8> {
    let message = String::from_utf8_lossy(message);
    let mut text = format!("{method} sip:10.0.0.5:5060 SIP/2.0\r\nMax-Forwards: 70\r\n");
    for line in lines(&message, &["From: ", "To: ", "Call-ID: ", "Via: "]) {
        let turned_line = match line.split_once(": ") {
            Some(("From", value)) if turned => format!("To: {value}"),
            Some(("To", value)) if turned => format!("From: {value}"),
            _ => line.to_owned(),
        };
        text.push_str(&format!("{turned_line}\r\n"));
    }
    let number = if matches!(method, "ACK" | "CANCEL") { 7 } else { 8 + u32::from(number) };
    text.push_str(&format!(
        "CSeq: {number} {method}\r\nContact: <sip:alice@{CALLER}>\r\nContent-Length: 0\r\n\r\n"
    ));
    text.into_bytes()
}
