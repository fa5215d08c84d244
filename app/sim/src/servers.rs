//! A server of the farm: the product's user agent server, driven by the virtual clock. It can hang, die and return with empty
//! memory.

use std::net::SocketAddr;

use answer::{Address, Answerer, Behaviour};
use base::{Chance, Duration, Time};
use sip::{Target, Transport};
use turn::{Core, Input, Outbox};

use crate::fate::{Fate, Manners};
use crate::link::Packet;
use crate::node::{Arrival, Node};
use crate::sockets::{Sockets, TCP, UDP};
use crate::witness::Witness;

/// Longer than any caller talks, and than any way stays cut.
const ABANDONED_AFTER: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub fate: Fate,
    /// The server died or hung at some time: other nodes are not blamed for what it forgot or missed.
    pub failed_once: bool,
    pub witness: Witness,
    behaviour: Behaviour,
    chance: Chance,
    life: u32,
    answerer: Answerer,
    outbox: Outbox,
    sockets: Sockets,
    /// Messages that reached the server while it hung.
    backlog: Vec<Waiting>,
}

enum Waiting {
    Message(Packet),
    Closed(SocketAddr),
    Refused(SocketAddr),
}

impl Server {
    /// `abandons`: faults may take away the callers of its calls, so that the server hangs up by itself in the end, as with
    /// session timers.
    pub fn new(address: SocketAddr, manners: Manners, abandons: bool, mut chance: Chance) -> Server {
        let Manners { refuses_permille, hangs_up_permille, rings } = manners;
        let usual = Behaviour::default();
        let behaviour = Behaviour {
            answer_after: rings / 2,
            answer_spread: rings / 2,
            failure_permille: refuses_permille,
            failure_status: 486,
            fails_after_ringing: true,
            hang_up_after: Some(rings),
            hang_up_permille: hangs_up_permille,
            abandon_after: if abandons { ABANDONED_AFTER } else { usual.abandon_after },
            ..usual
        };
        let answerer = start(address, &behaviour, &mut chance);
        Server {
            address,
            fate: Fate::Alive,
            failed_once: false,
            witness: Witness::default(),
            behaviour,
            chance,
            life: 0,
            answerer,
            outbox: Outbox::default(),
            sockets: Sockets::default(),
            backlog: Vec::new(),
        }
    }

    pub fn suffer(&mut self, now: Time, fate: Fate, out: &mut Vec<Packet>) {
        if matches!(fate, Fate::Hung | Fate::Dead) {
            self.failed_once = true;
        }
        self.fate = fate;
        let backlog = std::mem::take(&mut self.backlog);
        if fate == Fate::Dead {
            self.life += 1;
            self.witness.died();
            self.answerer = start(self.address, &self.behaviour, &mut self.chance);
            self.sockets = Sockets::default();
            return;
        }
        for waiting in backlog {
            self.receive(now, waiting.arrival(), out);
        }
    }

    /// The server has calls, or waits for the ACK to an answer.
    pub fn is_busy(&self, now: Time) -> bool {
        self.calls() > 0 || self.witness.waits(now)
    }

    /// Calls that are neither refused nor hung up.
    pub fn calls(&self) -> u64 {
        self.answerer.counters().live.get()
    }

    fn input(&mut self, now: Time, input: Input<'_>, out: &mut Vec<Packet>) {
        self.answerer.handle(now, input, &mut self.outbox);
        self.flush(now, out);
    }

    fn flush(&mut self, now: Time, out: &mut Vec<Packet>) {
        let mut failed = Vec::new();
        for send in self.outbox.sends.drain(..) {
            let Some((to, stream)) = self.sockets.way_of(send.to) else {
                failed.push(send.to);
                continue;
            };
            let bytes = self.outbox.bytes[send.bytes.start as usize..send.bytes.end as usize].to_vec();
            let packet = Packet { from: self.address, to, stream, bytes };
            self.witness.sent(now, &packet);
            out.push(packet);
        }
        self.outbox.bytes.clear();
        // The server only sets a later deadline here and sends nothing.
        for to in failed {
            self.answerer.handle(now, Input::SendFailed { to }, &mut self.outbox);
        }
    }
}

impl Waiting {
    fn arrival(&self) -> Arrival<'_> {
        match self {
            Waiting::Message(packet) => Arrival::Message(packet),
            Waiting::Closed(peer) => Arrival::Closed(*peer),
            Waiting::Refused(to) => Arrival::Refused(*to),
        }
    }
}

impl Node for Server {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, out: &mut Vec<Packet>) {
        match (self.fate, arrival) {
            (Fate::Dead | Fate::Absent, _) => {}
            (Fate::Hung, Arrival::Message(packet)) => self.backlog.push(Waiting::Message(packet.clone())),
            (Fate::Hung, Arrival::Closed(peer)) => self.backlog.push(Waiting::Closed(peer)),
            (Fate::Hung, Arrival::Refused(to)) => self.backlog.push(Waiting::Refused(to)),
            (Fate::Hung, Arrival::Unreachable { .. }) => {}
            (Fate::Alive | Fate::Drained, Arrival::Message(packet)) => {
                self.witness.received(now, packet);
                let flow = self.sockets.flow(packet, 0, self.life);
                self.input(now, Input::Message { bytes: &packet.bytes, flow }, out);
            }
            (Fate::Alive | Fate::Drained, Arrival::Closed(peer)) => {
                if let Some(id) = self.sockets.close(peer) {
                    self.input(now, Input::Closed { id, peer }, out);
                }
            }
            (Fate::Alive | Fate::Drained, Arrival::Refused(to)) => {
                self.input(now, Input::SendFailed { to: Target::Stream { listener: TCP, to } }, out);
            }
            (Fate::Alive | Fate::Drained, Arrival::Unreachable { to, quoted }) => {
                self.input(now, Input::Returned { to: Target::Datagram { listener: UDP, to }, quoted }, out);
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.answerer.next_deadline().filter(|_| self.fate.is_well())
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>) {
        if self.fate.is_well() {
            self.answerer.handle_timeout(now, &mut self.outbox);
            self.flush(now, out);
        }
    }
}

/// A new process, with its own random numbers.
fn start(address: SocketAddr, behaviour: &Behaviour, chance: &mut Chance) -> Answerer {
    let listener = |transport| Address { transport, address };
    let addresses = vec![listener(Transport::Udp), listener(Transport::Tcp)];
    Answerer::new(behaviour.clone(), addresses, Chance::seeded(chance.next_u64()))
}
