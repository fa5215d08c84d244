//! A caller: one call from its INVITE to the answer to its BYE, with the transactions of RFC 3261 §17.1, and a list of all
//! unexpected messages.

use std::net::SocketAddr;

use base::Time;
use sip::{Message, Method, Parser, Reject};
use transaction::{
    InviteClient, InviteClientEvent, InviteClientState, NonInviteClient, NonInviteClientEvent,
    NonInviteClientState, Output, Timers,
};

use crate::dialog::{Bye, Dialog};
use crate::link::Packet;
use crate::node::{Arrival, Node};
use crate::phones::RECONNECT_AFTER;
pub use crate::plan::{Outcome, Plan};
use crate::text::{self, Ask, Read};

#[derive(Debug)]
pub struct Caller {
    pub number: usize,
    pub address: SocketAddr,
    pub plan: Plan,
    pub call_id: String,
    pub outcome: Outcome,
    /// To tags of early dialogs, in the order of their first responses.
    pub early: Vec<String>,
    /// Unexpected messages.
    pub strays: Vec<String>,
    /// Status of the answer to each BYE; 408 if no answer came.
    pub byes: Vec<u16>,
    timers: Timers,
    parser: Parser,
    /// Time on the caller's own clock when the call was answered, refused or given up.
    pub settled: Option<Time>,
    /// A connection of the caller has ended; at this time the caller opens another one for its unanswered requests.
    again_at: Option<Time>,
    /// The caller has sent a request twice over streams, so two answers may come.
    sent_again: bool,
    /// When the CANCEL left.
    pub(crate) cancelled: Option<Time>,
    /// The final answer to the CANCEL.
    pub(crate) cancel_status: Option<u16>,
    invite: Option<(InviteClient, Packet)>,
    cancel: Option<(NonInviteClient, Packet)>,
    dialogs: Vec<Dialog>,
}

impl Caller {
    pub fn new(address: SocketAddr, number: usize, plan: Plan) -> Caller {
        Caller {
            number,
            address,
            plan,
            call_id: format!("call{number}@{}", address.ip()),
            outcome: Outcome::Pending,
            early: Vec::new(),
            strays: Vec::new(),
            byes: Vec::new(),
            timers: Timers::default(),
            parser: Parser::new(),
            settled: None,
            again_at: None,
            sent_again: false,
            cancelled: None,
            cancel_status: None,
            invite: None,
            cancel: None,
            dialogs: Vec::new(),
        }
    }

    /// Neither the call nor one of its dialogs is left.
    pub fn is_done(&self) -> bool {
        self.outcome != Outcome::Pending && !self.dialogs.iter().any(Dialog::lasts)
    }

    /// The caller may send a CANCEL once a provisional answer has come (RFC 3261 §9.1).
    pub fn has_cancelled(&self) -> bool {
        self.cancel.is_some()
    }

    /// The other side has ended a dialog.
    pub fn was_hung_up(&self) -> bool {
        self.dialogs.iter().any(|dialog| dialog.ended)
    }

    /// To tags of dialogs whose BYEs crossed: the other side's came before the answer to the caller's, which is sent no longer.
    pub fn crossed(&self) -> impl Iterator<Item = &str> {
        self.dialogs.iter().filter(|dialog| dialog.has_crossed()).map(|dialog| &*dialog.to_tag)
    }

    fn cancel_at(&self) -> Option<Time> {
        let (invite, _) = self.invite.as_ref()?;
        let ringing = invite.state() == InviteClientState::Proceeding && self.cancel.is_none();
        self.plan.patience.filter(|_| ringing).map(|patience| self.plan.starts + patience)
    }

    /// After its CANCEL the caller waits no longer than this for an answer to the INVITE (RFC 3261 §9.1).
    fn hopeless_at(&self) -> Option<Time> {
        let pending = self.outcome == Outcome::Pending;
        self.cancelled.filter(|_| pending).map(|at| at + self.timers.t1 * 64)
    }

    /// Unanswered requests go over a new connection. The answer to a ringing INVITE comes over a connection that the other side
    /// opens.
    fn send_again(&mut self, out: &mut Vec<Packet>) {
        self.sent_again = true;
        let calling = |(machine, _): &&(InviteClient, Packet)| machine.state() == InviteClientState::Calling;
        out.extend(self.invite.as_ref().filter(calling).map(|(_, packet)| packet.clone()));
        let waits = |(machine, _): &&(NonInviteClient, Packet)| machine.next_deadline().is_some();
        out.extend(self.cancel.as_ref().filter(waits).map(|(_, packet)| packet.clone()));
        let byes =
            self.dialogs.iter().filter(|dialog| !dialog.ended).filter_map(|dialog| dialog.bye.as_ref());
        out.extend(byes.filter(|bye| bye.status.is_none()).map(|bye| bye.packet.clone()));
    }

    fn bye(&mut self, at: usize, now: Time, out: &mut Vec<Packet>) {
        let dialog = &self.dialogs[at];
        if dialog.ended {
            return;
        }
        if dialog.bye.is_none() && dialog.bye_at <= now {
            let packet = self.in_dialog(dialog, "BYE", 2);
            let machine = NonInviteClient::start(now, self.plan.transport.is_reliable(), &self.timers);
            out.push(packet.clone());
            self.dialogs[at].bye = Some(Bye { machine, packet, status: None });
        }
        if let Some(bye) = &mut self.dialogs[at].bye
            && let Some(event) = bye.machine.due(now)
        {
            match bye.machine.handle(now, event, &self.timers) {
                Output::Repeat => out.push(bye.packet.clone()),
                Output::Timeout => {
                    bye.status = Some(408);
                    self.byes.push(408);
                }
                _ => {}
            }
        }
    }

    fn message(&mut self, now: Time, packet: &Packet, out: &mut Vec<Packet>) {
        let mut parser = std::mem::take(&mut self.parser);
        match parser.parse(&packet.bytes) {
            Ok(message) => match Read::of(&message) {
                Some(read) if read.call_id != self.call_id => {
                    self.strays.push(format!("not mine: {}", read.name()))
                }
                Some(read) if read.status.is_some() => self.response(now, &read, out),
                Some(read) => self.request(&message, &read, packet, out),
                None => self.strays.push(format!("unreadable: {}", String::from_utf8_lossy(&packet.bytes))),
            },
            Err(error) => self.strays.push(format!("malformed: {error:?}")),
        }
        self.parser = parser;
    }

    fn response(&mut self, now: Time, read: &Read, out: &mut Vec<Packet>) {
        let status = read.status.unwrap_or_default();
        let event = match status {
            100..200 => NonInviteClientEvent::Provisional,
            _ => NonInviteClientEvent::Final,
        };
        if read.branch.ends_with("-1") && read.method == Method::Invite {
            return self.invite_response(now, read, status, out);
        }
        if read.branch.ends_with("-1") && read.method == Method::Cancel {
            self.cancel_status = self.cancel_status.or(Some(status).filter(|_| status >= 200));
            match &mut self.cancel {
                Some((machine, _)) => {
                    if machine.handle(now, event, &self.timers) == Output::Ignored && !self.sent_again {
                        self.strays.push(format!("late: {}", read.name()));
                    }
                }
                None => self.strays.push(format!("never cancelled: {}", read.name())),
            }
            return;
        }
        let bye = self.dialogs.iter_mut().find_map(|dialog| {
            dialog.bye.as_mut().filter(|_| read.branch.ends_with(&format!("-2-{}", dialog.to_tag)))
        });
        match bye {
            Some(bye) => {
                let before = bye.machine.state();
                let output = bye.machine.handle(now, event, &self.timers);
                if event == NonInviteClientEvent::Final && output == Output::Pass {
                    bye.status = Some(status);
                    self.byes.push(status);
                } else if output == Output::Ignored
                    && before == NonInviteClientState::Terminated
                    && !self.sent_again
                {
                    self.strays.push(format!("late: {}", read.name()));
                }
            }
            None => self.strays.push(format!("never asked: {}", read.name())),
        }
    }

    fn invite_response(&mut self, now: Time, read: &Read, status: u16, out: &mut Vec<Packet>) {
        let Some((machine, _)) = &mut self.invite else {
            return self.strays.push(format!("before the call: {}", read.name()));
        };
        let event = match status {
            100..200 => InviteClientEvent::Provisional,
            200..300 => InviteClientEvent::Success,
            _ => InviteClientEvent::Failure,
        };
        let state = machine.state();
        let output = machine.handle(now, event, &self.timers);
        if status > 100
            && event == InviteClientEvent::Provisional
            && output == Output::Pass
            && let Some(tag) = &read.to_tag
            && !self.early.contains(tag)
        {
            self.early.push(tag.clone());
        }
        match (event, output) {
            (InviteClientEvent::Success, Output::Pass) => self.answered(now, read, out),
            (InviteClientEvent::Failure, Output::AcknowledgeAndPass) => {
                (self.outcome, self.settled) = (Outcome::Refused(status), Some(now));
                out.push(self.acknowledge(read));
            }
            (InviteClientEvent::Failure, Output::Acknowledge) => out.push(self.acknowledge(read)),
            // A final answer overtook this provisional answer, which means nothing then.
            (InviteClientEvent::Provisional, _) => {}
            (_, Output::Ignored) => self.strays.push(format!("{} in {state:?}", read.name())),
            _ => {}
        }
    }

    fn answered(&mut self, now: Time, read: &Read, out: &mut Vec<Packet>) {
        let tag = read.to_tag.clone().unwrap_or_default();
        if let Some(dialog) = self.dialogs.iter().find(|dialog| dialog.to_tag == tag) {
            return out.push(dialog.ack.clone());
        }
        let first = self.dialogs.is_empty();
        self.outcome = Outcome::Answered;
        self.settled.get_or_insert(now);
        let mut dialog = Dialog {
            to_tag: tag,
            target: read.contact.clone().unwrap_or_else(|| "sip:nobody.invalid".into()),
            routes: read.record_routes.iter().rev().cloned().collect(),
            ack: Packet { from: self.address, to: self.plan.manager, stream: false, bytes: Vec::new() },
            bye: None,
            // If several servers answer, the caller talks to the first and hangs up on the others (RFC 3261 §13.2.2.4).
            bye_at: if first { now + self.plan.talks } else { now },
            ended: false,
        };
        dialog.ack = self.in_dialog(&dialog, "ACK", 1);
        out.push(dialog.ack.clone());
        self.dialogs.push(dialog);
    }

    /// The other side hangs up.
    fn request(&mut self, message: &Message<'_>, read: &Read, packet: &Packet, out: &mut Vec<Packet>) {
        let dialog = self.dialogs.iter_mut().find(|dialog| dialog.to_tag == read.from_tag);
        let status = match (read.method, dialog) {
            (Method::Bye, Some(dialog)) => {
                dialog.ended = true;
                200
            }
            _ => {
                self.strays.push(format!("asked: {}", read.name()));
                481
            }
        };
        let mut bytes = Vec::new();
        sip::answer::write(message, &Reject::with_status(status), packet.from, 0, &mut bytes);
        out.push(Packet { from: self.address, to: packet.from, stream: packet.stream, bytes });
    }

    fn acknowledge(&self, read: &Read) -> Packet {
        let tag = read.to_tag.clone().unwrap_or_default();
        self.packet(self.plan.manager, self.ask("ACK", &tag, 1, None))
    }

    fn in_dialog(&self, dialog: &Dialog, method: &str, sequence: u32) -> Packet {
        let next = dialog.routes.first().unwrap_or(&dialog.target);
        let to = text::address_of(next).unwrap_or(self.plan.manager);
        self.packet(to, self.ask(method, &dialog.to_tag, sequence, Some(dialog)))
    }

    /// `in_dialog`: the routes of the dialog that the request is of.
    fn ask(&self, method: &str, to_tag: &str, sequence: u32, in_dialog: Option<&Dialog>) -> Vec<u8> {
        let uri = in_dialog.map_or("sip:bob@farm.example", |dialog| &dialog.target);
        let routes = in_dialog.map_or(&[][..], |dialog| &dialog.routes);
        let in_dialog = in_dialog.is_some();
        let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
        // CANCEL and the ACK to a failure have the INVITE's branch; every other request has its own branch.
        let name = self.call_id.split('@').next().unwrap_or_default();
        let branch = match (method, in_dialog) {
            ("ACK", true) => format!("{name}-ack-{to_tag}"),
            (_, true) => format!("{name}-{sequence}-{to_tag}"),
            (_, false) => format!("{name}-1"),
        };
        text::request(&Ask {
            method,
            uri,
            transport: self.plan.transport,
            from: self.address,
            branch: &branch,
            from_header: &format!("<sip:{name}@example.com>;tag=from-{name}"),
            to_header: &format!("<sip:bob@farm.example>{tag}"),
            call_id: &self.call_id,
            sequence,
            routes,
            body: if method == "INVITE" { "v=0\r\n" } else { "" },
        })
    }

    fn packet(&self, to: SocketAddr, bytes: Vec<u8>) -> Packet {
        Packet { from: self.address, to, stream: self.plan.transport.is_reliable(), bytes }
    }
}

impl Node for Caller {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, out: &mut Vec<Packet>) {
        match arrival {
            Arrival::Message(packet) => self.message(now, packet, out),
            Arrival::Closed(_) | Arrival::Refused(_) if self.plan.transport.is_reliable() => {
                self.again_at = Some(now + RECONNECT_AFTER);
            }
            Arrival::Closed(_) | Arrival::Refused(_) | Arrival::Unreachable { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let Some((invite, _)) = &self.invite else { return Some(self.plan.starts) };
        let patience = self.cancel_at();
        let cancel = self.cancel.as_ref().and_then(|(machine, _)| machine.next_deadline());
        let dialogs = self.dialogs.iter().filter_map(Dialog::deadline);
        [invite.next_deadline(), patience, cancel, self.again_at, self.hopeless_at()]
            .into_iter()
            .flatten()
            .chain(dialogs)
            .min()
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>) {
        if self.invite.is_none() && self.plan.starts <= now {
            let packet = self.packet(self.plan.manager, self.ask("INVITE", "", 1, None));
            let reliable = self.plan.transport.is_reliable();
            self.invite = Some((InviteClient::start(now, reliable, &self.timers), packet.clone()));
            out.push(packet);
        }
        if let Some((machine, packet)) = &mut self.invite
            && let Some(event) = machine.due(now)
        {
            match machine.handle(now, event, &self.timers) {
                Output::Repeat => out.push(packet.clone()),
                Output::Timeout => (self.outcome, self.settled) = (Outcome::Unheard, Some(now)),
                _ => {}
            }
        }
        if self.cancel_at().is_some_and(|at| at <= now) {
            let packet = self.packet(self.plan.manager, self.ask("CANCEL", "", 1, None));
            let reliable = self.plan.transport.is_reliable();
            self.cancel = Some((NonInviteClient::start(now, reliable, &self.timers), packet.clone()));
            out.push(packet);
            self.cancelled = Some(now);
        }
        if let Some((machine, packet)) = &mut self.cancel
            && let Some(event) = machine.due(now)
            && machine.handle(now, event, &self.timers) == Output::Repeat
        {
            out.push(packet.clone());
        }
        if self.hopeless_at().is_some_and(|at| at <= now) {
            (self.outcome, self.settled) = (Outcome::GivenUp, Some(now));
        }
        if self.again_at.take_if(|at| *at <= now).is_some() {
            self.send_again(out);
        }
        for at in 0..self.dialogs.len() {
            self.bye(at, now, out);
        }
    }
}
