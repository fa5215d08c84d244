//! A server of the farm: a user agent that rings, answers or refuses, repeats what RFC 3261 §17.2 and §13.3.1.4 ask it
//! to, and can hang, die and return with all forgotten.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use sip::{Message, Method, Parser, Transport};
use transaction::{
    InviteServer, InviteServerEvent, InviteServerState, NonInviteClient, NonInviteClientEvent, Output, Timers,
};

use crate::link::Packet;
use crate::node::{Arrival, Node};
use crate::phones::RECONNECT_AFTER;
use crate::stranger;
use crate::text::{self, Ask, Read};

/// How a server treats calls.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Of a thousand calls, so many are refused with 486.
    pub refuses_permille: u32,
    /// Of a thousand answered calls, so many are hung up by the server.
    pub hangs_up_permille: u32,
    /// From the INVITE to the answer at most; it rings half that time at least.
    pub rings: Duration,
}

/// What happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Takes part in the farm.
    Alive,
    /// Its process stands still: what it receives waits until it goes on.
    Hung,
    /// Its process is gone: nothing is received, and the sender may be told.
    Dead,
    /// Not started yet.
    Absent,
    /// Takes part, and says that it wants no more new calls.
    Drained,
}

impl Fate {
    fn is_well(self) -> bool {
        match self {
            Fate::Alive | Fate::Drained => true,
            Fate::Hung | Fate::Dead | Fate::Absent => false,
        }
    }
}

/// Longer than any caller talks, and than any way is cut.
const ABANDONED_AFTER: Duration = Duration::from_secs(20);

/// An INVITE and what became of it.
#[derive(Debug)]
struct Call {
    call_id: String,
    to_tag: String,
    invite: Vec<u8>,
    reply_to: SocketAddr,
    stream: bool,
    last: Vec<u8>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Ringing {
        answer_at: Time,
        status: u16,
    },
    /// The 2xx is sent again until the ACK (RFC 3261 §13.3.1.4).
    Answered {
        resend_at: Time,
        pause: Duration,
        give_up_at: Time,
    },
    Refused(InviteServer),
    /// Acknowledged; the dialog lives.
    Talking {
        hang_up_at: Option<Time>,
    },
    HangingUp {
        machine: NonInviteClient,
        packet: Packet,
        /// On a new connection, after the last one has ended.
        again_at: Option<Time>,
    },
    Over,
}

#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    pub fate: Fate,
    /// It died or hung at some time: what it forgot or missed is not held against others.
    pub failed_once: bool,
    /// What it got and did not expect.
    pub strays: Vec<String>,
    /// Call-IDs of all INVITEs that it gave a final answer, in all its lives, and when.
    pub answered: Vec<(String, Time)>,
    /// Call-IDs of all INVITEs that it saw, in all its lives.
    pub seen: Vec<String>,
    /// The client transaction of each INVITE for which it rang, by Call-ID, From tag and CSeq, and in which of its lives.
    pub rang: Vec<(String, String, u32, u32)>,
    /// Call-ID and status of the answer to each BYE of its own; 408 where none came.
    pub byes: Vec<(String, u16)>,
    /// Calls that end by themselves if nobody hangs up: where faults may have lost the caller.
    pub abandons: bool,
    life: u32,
    backlog: Vec<Packet>,
    manners: Manners,
    chance: Chance,
    timers: Timers,
    parser: Parser,
    calls: BTreeMap<String, Call>,
    tags: u64,
}

impl Server {
    pub fn new(address: SocketAddr, manners: Manners, chance: Chance) -> Server {
        Server {
            address,
            fate: Fate::Alive,
            failed_once: false,
            strays: Vec::new(),
            answered: Vec::new(),
            seen: Vec::new(),
            rang: Vec::new(),
            byes: Vec::new(),
            abandons: false,
            life: 0,
            backlog: Vec::new(),
            manners,
            chance,
            timers: Timers::default(),
            parser: Parser::new(),
            calls: BTreeMap::new(),
            tags: 0,
        }
    }

    pub fn suffer(&mut self, now: Time, fate: Fate, out: &mut Vec<Packet>) {
        if matches!(fate, Fate::Hung | Fate::Dead) {
            self.may_be_given_up(now);
        }
        if fate == Fate::Dead {
            self.calls.clear();
            self.life += 1;
        }
        self.fate = fate;
        for packet in std::mem::take(&mut self.backlog) {
            self.message(now, &packet, out);
        }
    }

    /// Others may take it for failed from now on, and its callers be lost to it.
    pub fn may_be_given_up(&mut self, now: Time) {
        self.failed_once = true;
        for call in self.calls.values_mut() {
            if let Phase::Talking { hang_up_at } = &mut call.phase {
                *hang_up_at = Some(now + ABANDONED_AFTER);
            }
        }
    }

    /// Calls that are neither refused nor hung up.
    pub fn unfinished(&self) -> impl Iterator<Item = String> + '_ {
        self.calls
            .iter()
            .filter(|(_, call)| !matches!(call.phase, Phase::Over))
            .map(|(key, call)| format!("{key} is {:?}", call.phase))
    }

    fn message(&mut self, now: Time, packet: &Packet, out: &mut Vec<Packet>) {
        let mut parser = std::mem::take(&mut self.parser);
        match parser.parse(&packet.bytes) {
            Ok(message) => match Read::of(&message) {
                Some(read) if read.status.is_some() => self.response(now, &read),
                Some(read) => self.request(now, &message, &read, packet, out),
                None => self.strays.push(format!("unreadable: {}", String::from_utf8_lossy(&packet.bytes))),
            },
            Err(error) => self.strays.push(format!("malformed: {error:?}")),
        }
        self.parser = parser;
    }

    fn request(
        &mut self,
        now: Time,
        message: &Message<'_>,
        read: &Read,
        packet: &Packet,
        out: &mut Vec<Packet>,
    ) {
        let timers = self.timers;
        let reply_to = if packet.stream { packet.from } else { read.via.unwrap_or(packet.from) };
        let answer = |status: u16, tag: &str| Packet {
            from: self.address,
            to: reply_to,
            stream: packet.stream,
            bytes: text::response(message, status, tag, Some(self.address)),
        };
        match read.method {
            Method::Invite => match self.calls.get_mut(&read.branch) {
                Some(call) => {
                    if let Phase::Refused(machine) = &mut call.phase {
                        machine.handle(now, InviteServerEvent::Invite, &timers);
                    }
                    // After the ACK, and after a 2xx, a copy is absorbed (RFC 3261 figure 7, RFC 6026 §7.1).
                    if matches!(call.phase, Phase::Ringing { .. } | Phase::Refused(_)) {
                        out.push(call.reply(self.address));
                    }
                }
                None => {
                    self.seen.push(read.call_id.clone());
                    self.rang.push((read.call_id.clone(), read.from_tag.clone(), read.sequence, self.life));
                    self.tags += 1;
                    let to_tag = format!("s{}n{}x{}", self.address, self.tags, self.chance.below(1 << 30))
                        .replace([':', '.'], "_");
                    let rings = self.manners.rings.as_micros() as u64 / 2;
                    let status = if self.chance.permille(self.manners.refuses_permille) { 486 } else { 200 };
                    let answer_at = now + Duration::from_micros(rings + self.chance.below(rings + 1));
                    let ringing = answer(180, &to_tag);
                    let call = Call {
                        call_id: read.call_id.clone(),
                        to_tag,
                        invite: packet.bytes.clone(),
                        reply_to,
                        stream: packet.stream,
                        last: ringing.bytes.clone(),
                        phase: Phase::Ringing { answer_at, status },
                    };
                    out.push(ringing);
                    self.calls.insert(read.branch.clone(), call);
                }
            },
            Method::Ack => self.acknowledged(now, read),
            Method::Cancel => match self.calls.get_mut(&read.branch) {
                Some(call) => {
                    out.push(answer(200, &call.to_tag));
                    if matches!(call.phase, Phase::Ringing { .. }) {
                        call.last = self.parser.parse(&call.invite).map_or_else(
                            |_| Vec::new(),
                            |invite| text::response(&invite, 487, &call.to_tag, None),
                        );
                        self.answered.push((call.call_id.clone(), now));
                        call.phase = final_phase(now, 487, &timers);
                        out.push(call.reply(self.address));
                    }
                }
                None => {
                    if !self.failed_once && read.from_tag != stranger::TAG {
                        self.strays.push(format!("nothing to cancel: {}", read.name()));
                    }
                    out.push(answer(481, "none"));
                }
            },
            Method::Bye => {
                let tag = read.to_tag.clone().unwrap_or_default();
                match self.calls.values_mut().find(|call| call.to_tag == tag) {
                    Some(call) => {
                        out.push(answer(200, &tag));
                        call.phase = Phase::Over;
                    }
                    None => {
                        out.push(answer(481, &tag));
                        self.unknown(read);
                    }
                }
            }
            // A load manager asks whether we live; a telephone registers, and the answer lists its contact.
            Method::Options | Method::Register => out.push(answer(200, "none")),
            _ => {
                self.strays.push(format!("asked: {}", read.name()));
                out.push(answer(501, "none"));
            }
        }
    }

    fn acknowledged(&mut self, now: Time, read: &Read) {
        let tag = read.to_tag.clone().unwrap_or_default();
        // One that was lost may have lost its callers meanwhile; it hangs up by itself, as session timers would have it.
        let hangs_up =
            match (self.failed_once || self.abandons, self.chance.permille(self.manners.hangs_up_permille)) {
                (true, _) => Some(ABANDONED_AFTER),
                (false, true) => Some(self.manners.rings),
                (false, false) => None,
            };
        let Some(call) = self.calls.values_mut().find(|call| call.to_tag == tag) else {
            return self.unknown(read);
        };
        match &mut call.phase {
            Phase::Answered { .. } => {
                call.phase = Phase::Talking { hang_up_at: hangs_up.map(|after| now + after) };
            }
            Phase::Refused(machine) => {
                machine.handle(now, InviteServerEvent::Ack, &self.timers);
                call.end_if_terminated();
            }
            Phase::Ringing { .. } => self.strays.push(format!("nothing to acknowledge: {}", read.name())),
            Phase::Talking { .. } | Phase::HangingUp { .. } | Phase::Over => {}
        }
    }

    fn response(&mut self, now: Time, read: &Read) {
        let ours = self.calls.values_mut().find(|call| read.branch == format!("z9hG4bK{}-bye", call.to_tag));
        let Some(call) = ours else {
            if !self.failed_once {
                self.strays.push(format!("never asked: {}", read.name()));
            }
            return;
        };
        let is_final = read.status.is_some_and(|status| status >= 200);
        if let Phase::HangingUp { machine, again_at, .. } = &mut call.phase
            && is_final
            && machine.handle(now, NonInviteClientEvent::Final, &self.timers) == Output::Pass
        {
            *again_at = None;
            self.byes.push((call.call_id.clone(), read.status.unwrap_or_default()));
            // Over a stream no copy of the answer is waited for.
            if machine.next_deadline().is_none() {
                call.phase = Phase::Over;
            }
        }
    }

    /// A request of a dialog that is not known here: right only where another server died and this one took over.
    fn unknown(&mut self, read: &Read) {
        if !self.failed_once && read.from_tag != stranger::TAG {
            self.strays.push(format!("unknown dialog: {} to {:?}", read.name(), read.to_tag));
        }
    }
}

impl Node for Server {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, out: &mut Vec<Packet>) {
        match arrival {
            Arrival::Message(packet) if self.fate == Fate::Hung => self.backlog.push(packet.clone()),
            Arrival::Message(packet) if self.fate.is_well() => self.message(now, packet, out),
            Arrival::Closed(_) | Arrival::Refused(_) => {
                for call in self.calls.values_mut() {
                    if let Phase::HangingUp { machine, packet, again_at } = &mut call.phase {
                        let waits = packet.stream && machine.next_deadline().is_some();
                        *again_at = waits.then(|| now + RECONNECT_AFTER);
                    }
                }
            }
            Arrival::Message(_) | Arrival::Unreachable { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        if !self.fate.is_well() {
            return None;
        }
        let deadline = |call: &Call| match &call.phase {
            Phase::Ringing { answer_at, .. } => Some(*answer_at),
            Phase::Answered { resend_at, give_up_at, .. } => Some(*resend_at.min(give_up_at)),
            Phase::Refused(machine) => machine.next_deadline(),
            Phase::Talking { hang_up_at } => *hang_up_at,
            Phase::HangingUp { machine, again_at, .. } => {
                machine.next_deadline().into_iter().chain(*again_at).min()
            }
            Phase::Over => None,
        };
        self.calls.values().filter_map(deadline).min()
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>) {
        if !self.fate.is_well() {
            return;
        }
        let (address, timers) = (self.address, self.timers);
        for call in self.calls.values_mut() {
            match &mut call.phase {
                Phase::Ringing { answer_at, status } if *answer_at <= now => {
                    let status = *status;
                    self.answered.push((call.call_id.clone(), now));
                    call.last = self.parser.parse(&call.invite).map_or_else(
                        |_| Vec::new(),
                        |invite| text::response(&invite, status, &call.to_tag, Some(address)),
                    );
                    out.push(call.reply(address));
                    call.phase = final_phase(now, status, &timers);
                }
                Phase::Answered { give_up_at, .. } if *give_up_at <= now => {
                    self.strays.push(format!("no ACK for {} ({})", call.call_id, call.to_tag));
                    call.phase = Phase::Over;
                }
                Phase::Answered { resend_at, pause, .. } if *resend_at <= now => {
                    *pause = (*pause * 2).min(timers.t2);
                    *resend_at = now + *pause;
                    out.push(call.reply(address));
                }
                Phase::Refused(machine) => {
                    if let Some(event) = machine.due(now) {
                        match machine.handle(now, event, &timers) {
                            Output::Repeat => out.push(call.reply(address)),
                            Output::Timeout => {
                                self.strays.push(format!("no ACK for {} ({})", call.call_id, call.to_tag))
                            }
                            _ => {}
                        }
                    }
                    call.end_if_terminated();
                }
                Phase::Talking { hang_up_at: Some(at) } if *at <= now => {
                    if let Some(packet) = call.bye(address, &mut self.parser) {
                        out.push(packet.clone());
                        let machine = NonInviteClient::start(now, packet.stream, &timers);
                        call.phase = Phase::HangingUp { machine, packet, again_at: None };
                    } else {
                        call.phase = Phase::Over;
                    }
                }
                Phase::HangingUp { machine, packet, again_at } => {
                    if again_at.take_if(|at| *at <= now).is_some() {
                        out.push(packet.clone());
                    }
                    if let Some(event) = machine.due(now) {
                        match machine.handle(now, event, &timers) {
                            Output::Repeat => out.push(packet.clone()),
                            Output::Timeout => {
                                self.byes.push((call.call_id.clone(), 408));
                                call.phase = Phase::Over;
                            }
                            _ => call.phase = Phase::Over,
                        }
                    }
                }
                Phase::Ringing { .. } | Phase::Answered { .. } | Phase::Talking { .. } | Phase::Over => {}
            }
        }
    }
}

impl Call {
    fn reply(&self, from: SocketAddr) -> Packet {
        Packet { from, to: self.reply_to, stream: self.stream, bytes: self.last.clone() }
    }

    fn end_if_terminated(&mut self) {
        if let Phase::Refused(machine) = &self.phase
            && machine.state() == InviteServerState::Terminated
        {
            self.phase = Phase::Over;
        }
    }

    /// The BYE of the server's side, along the route set that the INVITE brought (RFC 3261 §12.1.1).
    fn bye(&self, from: SocketAddr, parser: &mut Parser) -> Option<Packet> {
        let invite = Read::of(&parser.parse(&self.invite).ok()?)?;
        let target = invite.contact?;
        let to = text::address_of(invite.record_routes.first().unwrap_or(&target))?;
        let bytes = text::request(&Ask {
            method: "BYE",
            uri: &target,
            transport: if self.stream { Transport::Tcp } else { Transport::Udp },
            from,
            branch: &format!("{}-bye", self.to_tag),
            from_header: &format!("<sip:bob@farm.example>;tag={}", self.to_tag),
            to_header: &format!("<sip:caller@example.com>;tag={}", invite.from_tag),
            call_id: &invite.call_id,
            sequence: 1,
            routes: &invite.record_routes,
            body: "",
        });
        Some(Packet { from, to, stream: self.stream, bytes })
    }
}

fn final_phase(now: Time, status: u16, timers: &Timers) -> Phase {
    if status < 300 {
        let (resend_at, give_up_at) = (now + timers.t1, now + timers.h());
        return Phase::Answered { resend_at, pause: timers.t1, give_up_at };
    }
    let mut machine = InviteServer::start(false);
    machine.handle(now, InviteServerEvent::Failure, timers);
    Phase::Refused(machine)
}
