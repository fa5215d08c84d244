//! A telephone that registers again and again through a load manager, and the answers that it gets.

use std::net::SocketAddr;

use base::{Duration, Time};
use sip::{Method, Parser, Transport};
use transaction::{NonInviteClient, NonInviteClientEvent, Output, Timers};

use crate::link::Packet;
use crate::node::{Arrival, Node};
use crate::text::{self, Ask, Read};

/// Pause between the end of a client's connection and the opening of another.
pub const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// The plan of a telephone.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub transport: Transport,
    pub manager: SocketAddr,
    pub starts: Time,
    /// Pause between the answer to a registration and the next registration.
    pub pause: Duration,
    pub registrations: u32,
}

#[derive(Debug)]
pub struct Phone {
    pub address: SocketAddr,
    pub plan: Plan,
    pub call_id: String,
    /// Status of the answer to each REGISTER; 408 if no answer came.
    pub answers: Vec<u16>,
    /// Unexpected messages.
    pub strays: Vec<String>,
    timers: Timers,
    parser: Parser,
    asking: Option<(NonInviteClient, Packet)>,
    again_at: Option<Time>,
    next: Time,
}

impl Phone {
    pub fn new(address: SocketAddr, number: usize, plan: Plan) -> Phone {
        Phone {
            address,
            plan,
            call_id: format!("phone{number}@{}", address.ip()),
            answers: Vec::new(),
            strays: Vec::new(),
            timers: Timers::default(),
            parser: Parser::new(),
            asking: None,
            again_at: None,
            next: plan.starts,
        }
    }

    pub fn is_done(&self) -> bool {
        self.answers.len() as u32 == self.plan.registrations
    }

    fn answered(&mut self, now: Time, status: u16) {
        self.answers.push(status);
        (self.asking, self.again_at, self.next) = (None, None, now + self.plan.pause);
    }

    fn register(&self) -> Packet {
        let number = self.answers.len() as u32 + 1;
        let name = self.call_id.split('@').next().unwrap_or_default();
        let bytes = text::request(&Ask {
            method: "REGISTER",
            uri: "sip:farm.example",
            transport: self.plan.transport,
            from: self.address,
            branch: &format!("{name}-{number}"),
            from_header: &format!("<sip:{name}@farm.example>;tag=from-{name}"),
            to_header: &format!("<sip:{name}@farm.example>"),
            call_id: &self.call_id,
            sequence: number,
            routes: &[],
            body: "",
        });
        let stream = self.plan.transport.is_reliable();
        Packet { from: self.address, to: self.plan.manager, stream, bytes }
    }
}

impl Node for Phone {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, _out: &mut Vec<Packet>) {
        let packet = match arrival {
            Arrival::Message(packet) => packet,
            Arrival::Unreachable { .. } => return,
            Arrival::Closed(_) | Arrival::Refused(_) => {
                self.again_at = self.asking.is_some().then(|| now + RECONNECT_AFTER);
                return;
            }
        };
        let mut parser = std::mem::take(&mut self.parser);
        let read = parser.parse(&packet.bytes).ok().and_then(|message| Read::of(&message));
        self.parser = parser;
        match read {
            Some(Read { status: Some(status), sequence, method: Method::Register, .. }) => {
                let event = match status {
                    100..200 => NonInviteClientEvent::Provisional,
                    _ => NonInviteClientEvent::Final,
                };
                // A copy of an earlier answer means nothing.
                let current = sequence == self.answers.len() as u32 + 1;
                if let Some((machine, _)) = self.asking.as_mut().filter(|_| current)
                    && machine.handle(now, event, &self.timers) == Output::Pass
                    && event == NonInviteClientEvent::Final
                {
                    self.answered(now, status);
                }
            }
            Some(read) => self.strays.push(format!("unexpected: {}", read.name())),
            None => self.strays.push("unreadable".into()),
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        match &self.asking {
            Some((machine, _)) => machine.next_deadline().into_iter().chain(self.again_at).min(),
            None => (!self.is_done()).then_some(self.next),
        }
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>) {
        if self.asking.is_none() && !self.is_done() && self.next <= now {
            let packet = self.register();
            let machine = NonInviteClient::start(now, packet.stream, &self.timers);
            out.push(packet.clone());
            self.asking = Some((machine, packet));
        }
        let mut timed_out = false;
        if let Some((machine, packet)) = &mut self.asking {
            if self.again_at.take_if(|at| *at <= now).is_some() {
                out.push(packet.clone());
            }
            if let Some(event) = machine.due(now) {
                match machine.handle(now, event, &self.timers) {
                    Output::Repeat => out.push(packet.clone()),
                    Output::Timeout => timed_out = true,
                    _ => {}
                }
            }
        }
        if timed_out {
            self.answered(now, 408);
        }
    }
}
