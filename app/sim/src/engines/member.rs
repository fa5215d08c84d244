//! An engine of the farm: the product's core, the effects of its turns one behind the other, and what may befall it between
//! any two of them.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use base::{Duration, Time};
use engine::{Address, Answer, Counters, Engine, FarmSecret, Settings};
use sip::{Flow, Target, Transport};
use state::planted::{self, Bug};
use state::{Ask, Command, Reply};
use turn::{Core, Input, Outbox};

use crate::link::Packet;

/// Microseconds since 1970 at the beginning of a run.
pub(super) const EPOCH_US: u64 = 1_790_000_000_000_000;

/// Faults by which a message leaves too early.
const EARLY: [Bug; 4] =
    [Bug::AckBeforePut, Bug::AnswerBeforePut, Bug::InviteBeforeCreate, Bug::FailureBeforePut];

/// A partition of the other primary.
pub(super) const OTHER: u8 = u8::MAX;

/// Datagrams that the socket of a stopped process keeps.
const BACKLOG_MAX: usize = 4096;

/// What an engine is made from, besides its number.
#[derive(Clone, Debug)]
pub(super) struct Make {
    /// Its place among the members.
    pub(super) at: usize,
    /// The address that all engines share.
    pub(super) farm: SocketAddr,
    pub(super) callees: Vec<SocketAddr>,
    pub(super) route: Option<SocketAddr>,
    pub(super) ring_max: Duration,
    pub(super) talk_max: Option<Duration>,
}

/// One effect of a turn.
#[derive(Debug)]
pub(super) enum Deed {
    Ask(Ask),
    Send(Packet),
}

impl Deed {
    /// Polls and marks are not worth a fault.
    fn is_of_a_call(&self) -> bool {
        match self {
            Deed::Ask(ask) => {
                !matches!(ask.command, Command::Due(_) | Command::Mark(_) | Command::OwnedBy(_))
            }
            Deed::Send(_) => true,
        }
    }
}

/// What befalls an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    Dies,
    /// The process stands still for so long.
    Stops(Duration),
}

/// What comes to an engine.
#[derive(Debug)]
pub(super) enum Incoming {
    Message(Packet),
    Reply(Reply),
}

/// See the head of this module.
pub(super) struct Member {
    /// The number of the present life.
    pub(super) number: u32,
    pub(super) engine: Option<Engine>,
    /// The server of the store that it takes for the primary.
    pub(super) believes: usize,
    /// The local time at the beginning of the run.
    pub(super) offset: Duration,
    /// How far its clock of the state tier is wrong.
    pub(super) wrong_us: i64,
    /// A blow that falls after so many further effects.
    pub(super) doom: Option<(u32, Blow)>,
    /// The process stands still; these effects and inputs wait.
    pub(super) frozen: Option<(Vec<Deed>, VecDeque<Incoming>)>,
    /// Counters of all lives.
    pub(super) counters: Vec<Arc<Counters>>,
    make: Make,
}

/// Where a member takes letters, in all its lives.
pub(super) fn letters_of(at: usize) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, at as u8 + 1], 5099))
}

impl Member {
    pub(super) fn new(make: Make, offset: Duration, wrong_us: i64) -> Member {
        Member {
            number: 0,
            engine: None,
            believes: 0,
            offset,
            wrong_us,
            doom: None,
            frozen: None,
            counters: Vec::new(),
            make,
        }
    }

    /// A new process, with the next number of the store.
    pub(super) fn start(&mut self, now: Time, number: u32) {
        let Make { farm, callees, route, ring_max, talk_max, .. } = &self.make;
        let sent_by = farm.to_string().into_bytes();
        let settings = Settings {
            mode: engine::Mode::B2bua,
            secret: FarmSecret::new([7; 32]),
            engine: number,
            worker: 0,
            workers: 1,
            listeners: vec![Address { transport: Transport::Udp, sent_by: sent_by.into(), is_ipv4: true }],
            letters: letters_of(self.make.at).to_string().into_bytes().into(),
            application: Arc::new(engine::application::Forward { talk_max: *talk_max }),
            to: callees.iter().map(|to| format!("sip:{to}").into_bytes().into()).collect(),
            route: route.map(|route| format!("<sip:{route};lr>").into_bytes().into()),
            hosts: HashMap::new(),
            timers: transaction::Timers::default(),
            ring_max: *ring_max,
            // No run is so long.
            silence_max: base::Duration::from_secs(43_200),
            bounds: engine::Bounds::default(),
        };
        let micros = (EPOCH_US + now.as_micros()).saturating_add_signed(self.wrong_us);
        let mut engine = Engine::new(settings, (now + self.offset, micros));
        // The other primary of the state tier is never out of reach: it has marks alone.
        let primaries = Answer::Primaries(vec![(0, 0), (1, OTHER)]);
        engine.handle(now + self.offset, Input::Answer(&primaries), &mut Outbox::default());
        self.counters.push(engine.counters());
        (self.number, self.engine, self.doom, self.frozen) = (number, Some(engine), None, None);
    }

    pub(super) fn lives(&self) -> bool {
        self.engine.is_some()
    }

    /// It carries out turns now.
    pub(super) fn runs(&self) -> bool {
        self.lives() && self.frozen.is_none()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let deadline = self.engine.as_ref().filter(|_| self.runs())?.next_deadline()?;
        Some(deadline - self.offset)
    }

    /// Something comes: the effects that it leads to, in their order.
    pub(super) fn receive(&mut self, now: Time, incoming: Incoming) -> Vec<Deed> {
        if let Some((_, backlog)) = &mut self.frozen {
            if backlog.len() < BACKLOG_MAX {
                backlog.push_back(incoming);
            }
            return Vec::new();
        }
        self.turn(now, |engine, now, out| match &incoming {
            Incoming::Message(packet) => {
                let (transport, remote) = (Transport::Udp, packet.from);
                let flow = Flow { listener: 0, transport, remote, connection: None };
                engine.handle(now, Input::Message { bytes: &packet.bytes, flow }, out);
            }
            Incoming::Reply(reply) => {
                engine.handle(now, Input::Answer(&Answer::Reply(reply.clone())), out);
            }
        })
    }

    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<Deed> {
        self.turn(now, |engine, now, out| engine.handle_timeout(now, out))
    }

    fn turn(&mut self, now: Time, run: impl FnOnce(&mut Engine, Time, &mut Out)) -> Vec<Deed> {
        let Some(engine) = self.engine.as_mut() else { return Vec::new() };
        let mut out = Out::default();
        run(engine, now + self.offset, &mut out);
        if out.asks.is_empty() && out.sends.is_empty() {
            return Vec::new();
        }
        let asks: Vec<Deed> = out.asks.drain(..).map(Deed::Ask).collect();
        let (farm, letters, bytes) = (self.make.farm, letters_of(self.make.at), &out.bytes);
        let sends = out.sends.iter().map(|send| {
            let bytes = bytes[send.bytes.start as usize..send.bytes.end as usize].to_vec();
            let (Target::Datagram { to, .. } | Target::Stream { to, .. } | Target::Connection { to, .. }) =
                send.to;
            // Engines know each other by their own addresses.
            let from = if to.port() == letters.port() { letters } else { farm };
            Deed::Send(Packet { from, to, stream: false, bytes })
        });
        let sends: Vec<Deed> = sends.collect();
        // What is asked leaves before what is sent, unless a planted fault has it otherwise.
        if EARLY.into_iter().any(planted::is) {
            sends.into_iter().chain(asks).collect()
        } else {
            asks.into_iter().chain(sends).collect()
        }
    }

    /// Whether the blow falls before this effect.
    pub(super) fn is_struck(&mut self, deed: &Deed) -> Option<Blow> {
        if !deed.is_of_a_call() {
            return None;
        }
        let (left, blow) = self.doom.as_mut()?;
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                None
            }
            None => {
                let blow = *blow;
                self.doom = None;
                Some(blow)
            }
        }
    }
}

type Out = Outbox<Ask, engine::Letter, engine::Event>;
