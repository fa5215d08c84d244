//! Engines on one store, without a network: messages and replies come when a test says so.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use base::{Duration, Time};
use sip::{Flow, Parser, Target, Transport};
use state::{Ask, Bounds, Partition, Reply};
use turn::{Core, Input};

use crate::{Address, Answer, Engine, FarmSecret, Settings};

pub(super) const CALLER: &str = "10.0.0.1:5060";
pub(super) const CALLEE: &str = "10.0.0.9:5060";
const FARM: &str = "10.0.0.5:5060";

/// 2026 began so many microseconds after 1970.
const EPOCH_US: u64 = 1_767_225_600_000_000;

pub(super) struct World {
    pub(super) engines: Vec<Option<Engine>>,
    partitions: HashMap<u8, Partition>,
    pub(super) now: Time,
    /// What left, until a test takes it: destination and text.
    pub(super) sent: VecDeque<(SocketAddr, String)>,
    /// Where messages went, all since the start.
    pub(super) targets: Vec<Target>,
    /// Commands that have not reached the store: engine and command.
    pub(super) asks: VecDeque<(usize, Ask)>,
    /// Commands since the start.
    pub(super) asked: usize,
    /// How often engines have looked for the calls of a dead one.
    pub(super) looks: usize,
    /// Whether commands wait until a test carries them out.
    pub(super) holds: bool,
    /// Letters that have not arrived: who sent it, number of the engine, and bytes. `sent` shows them too.
    pub(super) letters: VecDeque<(usize, usize, Vec<u8>)>,
    /// Where the last message went.
    pub(super) last: Option<Target>,
    /// Engines that stand still: nothing runs in them.
    pub(super) still: Vec<bool>,
    /// The store answers nothing.
    pub(super) away: bool,
    /// An engine of an older build: it cannot read what the others write.
    pub(super) old: Option<usize>,
}

pub(super) fn letters_of(engine: u32) -> String {
    format!("10.1.0.{engine}:5099")
}

pub(super) fn settings(engine: u32) -> Settings {
    Settings {
        mode: crate::Mode::B2bua,
        secret: FarmSecret::new([7; 32]),
        engine,
        worker: 0,
        workers: 1,
        listeners: vec![Address {
            transport: Transport::Udp,
            sent_by: FARM.as_bytes().into(),
            is_ipv4: true,
        }],
        letters: letters_of(engine).into_bytes().into(),
        application: std::sync::Arc::new(crate::application::Forward::default()),
        to: vec![format!("sip:{CALLEE}").into_bytes().into()],
        route: None,
        hosts: HashMap::new(),
        timers: transaction::Timers::default(),
        ring_max: Duration::from_secs(180),
        silence_max: Duration::from_secs(43_200),
        bounds: crate::Bounds::default(),
    }
}

impl World {
    /// `count` engines, numbered from 1.
    pub(super) fn new(count: u32) -> World {
        World::with(count, |_| {})
    }

    pub(super) fn with(count: u32, change: impl Fn(&mut Settings)) -> World {
        let now = Time::from_secs(1000);
        let engine = |number| {
            let mut settings = settings(number);
            change(&mut settings);
            Some(Engine::new(settings, (now, EPOCH_US)))
        };
        World {
            engines: (1..=count).map(engine).collect(),
            partitions: HashMap::new(),
            now,
            sent: VecDeque::new(),
            targets: Vec::new(),
            asks: VecDeque::new(),
            asked: 0,
            looks: 0,
            holds: false,
            letters: VecDeque::new(),
            last: None,
            still: vec![false; count as usize],
            away: false,
            old: None,
        }
    }

    fn turn(&mut self, at: usize, run: impl FnOnce(&mut Engine, Time, &mut crate::process::Outbox)) {
        let mut out = crate::process::Outbox::default();
        let Some(engine) = self.engines[at].as_mut() else { return };
        run(engine, self.now, &mut out);
        for sent in &out.sends {
            let bytes = &out.bytes[sent.bytes.start as usize..sent.bytes.end as usize];
            self.targets.push(sent.to);
            let to = match sent.to {
                Target::Datagram { to, .. } | Target::Stream { to, .. } | Target::Connection { to, .. } => to,
            };
            self.last = Some(sent.to);
            if [b"SWL1", b"SWP1", b"SWH1"].into_iter().any(|magic| bytes.starts_with(magic)) {
                let number = to.to_string().split(['.', ':']).nth(3).and_then(|text| text.parse().ok());
                let number: usize = number.expect("the address of letters");
                let is_hint = bytes.starts_with(b"SWH1");
                if !is_hint || self.engines[number - 1].is_some() {
                    self.letters.push_back((at, number, bytes.to_vec()));
                }
                if is_hint {
                    continue;
                }
            }
            self.sent.push_back((to, String::from_utf8_lossy(bytes).into_owned()));
        }
        self.asked += out.asks.len();
        let is_look = |ask: &&Ask| matches!(ask.command, state::Command::OwnedBy(_));
        self.looks += out.asks.iter().filter(is_look).count();
        self.asks.extend(out.asks.into_iter().map(|ask| (at, ask)));
        if !self.holds {
            self.carry_out();
        }
    }

    /// The store carries out what waits, and what that leads to.
    pub(super) fn carry_out(&mut self) {
        while let Some((at, ask)) = self.asks.pop_front() {
            let mut reply = self.answer_of(ask);
            if self.old == Some(at) {
                reply.answer.as_mut().into_iter().for_each(raise_least_reader);
            }
            self.reply(at, reply);
        }
    }

    /// The store carries out a command; its answer is not delivered.
    pub(super) fn answer_of(&mut self, ask: Ask) -> Reply {
        if self.away {
            return Reply { token: ask.token, answer: Err(state::Unanswered::OutOfReach) };
        }
        let millis = EPOCH_US / 1000 + self.now.as_millis() - 1_000_000;
        let partition = self
            .partitions
            .entry(ask.partition)
            .or_insert_with(|| Partition::new(Bounds { bytes_max: 1 << 30, effects_max: 1000 }));
        Reply { token: ask.token, answer: Ok(partition.apply(millis, ask.command)) }
    }

    pub(super) fn reply(&mut self, at: usize, reply: Reply) {
        self.turn(at, |engine, now, out| engine.handle(now, Input::Answer(&Answer::Reply(reply)), out));
    }

    pub(super) fn deliver(&mut self, at: usize, from: &str, text: &str) {
        let remote = from.parse().expect("an address");
        self.deliver_on(at, Flow { listener: 0, transport: Transport::Udp, remote, connection: None }, text);
    }

    pub(super) fn deliver_on(&mut self, at: usize, flow: Flow, text: &str) {
        self.deliver_bytes(at, flow, text.as_bytes());
    }

    pub(super) fn deliver_from(&mut self, at: usize, from: &str, bytes: &[u8]) {
        let remote = from.parse().expect("an address");
        let flow = Flow { listener: 0, transport: Transport::Udp, remote, connection: None };
        self.deliver_bytes(at, flow, bytes);
    }

    /// Calls that this engine took over.
    pub(super) fn taken_over(&self, at: usize) -> u64 {
        self.engines[at].as_ref().map_or(0, |engine| engine.counters().taken_over.get())
    }

    pub(super) fn deliver_bytes(&mut self, at: usize, flow: Flow, bytes: &[u8]) {
        self.turn(at, |engine, now, out| engine.handle(now, Input::Message { bytes, flow }, out));
    }

    /// Letters arrive, and those that they lead to; how many there were.
    pub(super) fn carry_letters(&mut self) -> usize {
        let mut count = 0;
        while let Some((from, number, bytes)) = self.letters.pop_front() {
            count += 1;
            assert!(count < 10, "letters without end");
            let remote = letters_of(from as u32 + 1).parse().expect("an address");
            let flow = Flow { listener: 0, transport: Transport::Udp, remote, connection: None };
            self.turn(number - 1, |engine, now, out| {
                engine.handle(now, Input::Message { bytes: &bytes, flow }, out);
            });
        }
        count
    }

    /// One engine is told that another is dead.
    pub(super) fn tell(&mut self, at: usize, dead: u32) {
        self.turn(at, |engine, now, out| {
            engine.told_dead(now, dead, out);
        });
    }

    /// Time passes in steps of 10 ms; timers run.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + Duration::from_millis(10);
            for at in 0..self.engines.len() {
                let due = self.engines[at].as_ref().and_then(|engine| engine.next_deadline());
                let due = due.filter(|_| !self.still[at]);
                if due.is_some_and(|due| due <= self.now) {
                    self.turn(at, |engine, now, out| engine.handle_timeout(now, out));
                }
            }
        }
    }

    /// An engine dies; the others hear of it.
    pub(super) fn kill(&mut self, at: usize) {
        self.engines[at] = None;
        let dead = at as u32 + 1;
        for other in 0..self.engines.len() {
            self.turn(other, |engine, now, out| {
                engine.told_dead(now, dead, out);
            });
        }
    }

    /// The next message that left, which must go there and begin like this.
    #[track_caller]
    pub(super) fn expect(&mut self, to: &str, start: &str) -> String {
        let Some((address, text)) = self.sent.pop_front() else { panic!("nothing left; expected {start}") };
        assert!(
            address.to_string() == to && text.starts_with(start),
            "to {address}: {text}\nexpected {start}"
        );
        let mut parser = Parser::new();
        let message = parser.parse(text.as_bytes()).expect("a message");
        if message.method().is_some() {
            sip::validate::request(&message).map(drop).expect("a good request");
        } else {
            sip::validate::response(&message).map(drop).expect("a good response");
        }
        text
    }

    #[track_caller]
    pub(super) fn expect_nothing(&mut self) {
        assert!(self.sent.is_empty(), "{:#?}", self.sent);
    }

    /// What applications have emitted.
    pub(super) fn effects(&mut self) -> Vec<state::Effect> {
        let drain = state::Command::Drain { engine: 1, now: 0, lease: 1, limit: 1000 };
        let drained =
            self.partitions.values_mut().flat_map(|partition| match partition.apply(0, drain.clone()) {
                state::Answer::Effects(effects) => effects,
                other => panic!("{other:?}"),
            });
        drained.map(|(_, effect)| effect).collect()
    }

    /// Records and tombstones in the store.
    pub(super) fn records(&self) -> (usize, usize) {
        let counts = self.partitions.values().map(Partition::counts);
        counts.fold((0, 0), |(records, tombstones), one| (records + one.records, tombstones + one.tombstones))
    }
}

/// The records of an answer become those of a newer build.
fn raise_least_reader(answer: &mut state::Answer) {
    let of_newer = |bytes: &mut Box<[u8]>| {
        if !state::Header::is_of_tombstone(bytes) {
            bytes[29] = state::FORMAT + 1;
        }
    };
    match answer {
        state::Answer::Record(Some(bytes)) | state::Answer::Refused(Some(bytes)) => of_newer(bytes),
        state::Answer::Due(due) => due.iter_mut().for_each(|(_, bytes)| of_newer(bytes)),
        _ => {}
    }
}

/// The value of a field.
pub(super) fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.split("\r\n").find(|line| line.starts_with(&format!("{name}: ")));
    line.map(|line| &line[name.len() + 2..]).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A response as the receiver of this request writes it.
pub(super) fn response(request: &str, status: &str, tag: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in
        request.split("\r\n").filter(|line| line.starts_with("Via: ") || line.starts_with("Record-Route: "))
    {
        text.push_str(&format!("{line}\r\n"));
    }
    let to = field(request, "To");
    let to = if to.contains(";tag=") || tag.is_empty() { to.to_owned() } else { format!("{to};tag={tag}") };
    let (from, call_id, sequence) =
        (field(request, "From"), field(request, "Call-ID"), field(request, "CSeq"));
    text.push_str(&format!("From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {sequence}\r\n{more}"));
    if !more.contains("Content-Length") {
        text.push_str("Content-Length: 0\r\n\r\n");
    }
    text
}

pub(super) const INVITE: &str = "INVITE sip:bob@farm.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKinvite\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:alice@a.example>;tag=alice\r\n\
    To: <sip:bob@farm.example>\r\n\
    Call-ID: call-1@a.example\r\n\
    CSeq: 7 INVITE\r\n\
    Contact: <sip:alice@10.0.0.1:5060>\r\n\
    Subject: lunch\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 3\r\n\r\nv=0";

/// A request of the caller within its dialog; `to`: the To that it got.
pub(super) fn of_caller(method: &str, number: u32, branch: &str, to: &str) -> String {
    format!(
        "{method} sip:{FARM} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@a.example>;tag=alice\r\nTo: {to}\r\nCall-ID: call-1@a.example\r\n\
         CSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request of the callee within its dialog, which this INVITE began.
pub(super) fn of_callee(method: &str, number: u32, branch: &str, invite: &str) -> String {
    let (from, to, call_id) = (field(invite, "From"), field(invite, "To"), field(invite, "Call-ID"));
    format!(
        "{method} sip:{FARM} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLEE};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: {to};tag=bob\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

pub(super) const CONTACT: &str = "Contact: <sip:bob@10.0.0.9:5060>\r\n";
