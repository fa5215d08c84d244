//! The server as a member of a group that shifts workload (SPEC D1 to D3). `shift::Group` sees new calls and the datagrams of
//! the group's listener; the server turns its decisions into answers.
//!
//! The member that the client asked keeps the INVITE's transaction, even if another member answers first: CANCEL and ACK follow
//! the request to it (RFC 3261 §9.1, §17.1.1.3), and it repeats the 302 until the ACK comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use base::{Duration, Time};
use shift::{Call, Counter, Decision, Group, Identity, Ignored};
use sip::headers::{max_forwards, via};
use sip::{Flow, Message, Name, Parser, Start, Target, Transport, Uri};
use transaction::InviteServerEvent;
use turn::Outbox;

use super::Answerer;
use super::call::Phase;
use super::meters::Meters;
use super::text::{Fields, answer};

/// The end of an answer without body; the answer in an offer is cut before it.
const END: &[u8] = b"Content-Length: 0\r\n\r\n";

/// Max-Forwards of a request that has none (RFC 3261 §16.6).
const MAX_FORWARDS: u8 = 70;

/// The parameter of our Contact that carries the ticket of a promised call.
const TICKET: &[u8] = b"shift";

/// The server's part in the group.
pub struct Shifting {
    pub(super) group: Group,
    /// The listener of the group's datagrams.
    pub(super) listener: u8,
    pub(super) identity: Identity,
    pub(super) meters: Meters,
    /// CPU use of the host, permille; measured by another thread.
    pub(super) cpu_permille: Arc<AtomicU32>,
    out: shift::Outbox,
    /// Time of the next look at the desk; `None` before the group is joined.
    look_at: Option<Time>,
    desk: Arc<Desk>,
}

/// Through the desk, the server's operator asks it to leave the group and reads the group's counts.
#[derive(Debug, Default)]
pub struct Desk {
    leaving: AtomicBool,
    left: AtomicBool,
    counts: Vec<AtomicU64>,
}

impl Desk {
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// Text and value of each count.
    pub fn read(&self) -> Vec<(String, u64)> {
        let names = Counter::ALL.iter().map(|counter| counter.name().to_owned());
        let ignored = Ignored::ALL.iter().map(|reason| format!("datagrams ignored: {reason}"));
        let values = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        names.chain(ignored).map(|name| format!("shift: {name}")).zip(values).collect()
    }
}

/// The server sees a wish to leave within this time.
const LOOK: Duration = Duration::from_millis(100);

impl Shifting {
    pub fn new(group: Group, listener: u8, identity: Identity, cpu_permille: Arc<AtomicU32>) -> Shifting {
        Shifting {
            group,
            listener,
            identity,
            meters: Meters::default(),
            cpu_permille,
            out: shift::Outbox::default(),
            look_at: None,
            desk: Arc::new(Desk {
                counts: (0..Counter::ALL.len() + Ignored::ALL.len()).map(|_| AtomicU64::new(0)).collect(),
                ..Desk::default()
            }),
        }
    }

    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let look = self.look_at.unwrap_or(Time::ZERO);
        Some(self.group.next_deadline().map_or(look, |at| at.min(look)))
    }

    fn publish(&self) {
        let counters = self.group.counters();
        let counts = Counter::ALL.iter().map(|counter| counters.get(*counter));
        let ignored = Ignored::ALL.iter().map(|reason| counters.ignored(*reason));
        for (place, count) in self.desk.counts.iter().zip(counts.chain(ignored)) {
            place.store(count, Ordering::Relaxed);
        }
    }
}

impl Answerer {
    pub(super) fn is_to_group(&self, to: Target) -> bool {
        let group = self.shifting.as_ref().map(|shifting| shifting.listener);
        matches!(to, Target::Datagram { listener, .. } if group == Some(listener))
    }

    pub(super) fn is_of_group(&self, flow: Flow) -> bool {
        self.shifting.as_ref().is_some_and(|shifting| shifting.listener == flow.listener)
    }

    /// A datagram of the group's listener.
    pub(super) fn group_datagram(&mut self, now: Time, bytes: &[u8], out: &mut Outbox) {
        self.measure(now);
        let Some(shifting) = &mut self.shifting else { return };
        shifting.group.handle(now, bytes, &mut shifting.out);
        self.run_decisions(now, out);
    }

    pub(super) fn group_timeout(&mut self, now: Time, out: &mut Outbox) {
        self.measure(now);
        let Some(shifting) = &mut self.shifting else { return };
        if shifting.look_at.is_none() {
            shifting.group.join(now, &mut shifting.out);
        }
        if shifting.desk.leaving.load(Ordering::Relaxed) && !shifting.desk.has_left() {
            shifting.group.leave(now, &mut shifting.out);
            shifting.desk.left.store(true, Ordering::Relaxed);
        }
        if shifting.look_at.is_none_or(|at| at <= now) {
            shifting.look_at = Some(now + LOOK);
        }
        shifting.group.handle_timeout(now, &mut shifting.out);
        self.run_decisions(now, out);
    }

    fn measure(&mut self, now: Time) {
        let calls = u32::try_from(self.book.live()).unwrap_or(u32::MAX);
        if let Some(shifting) = &mut self.shifting {
            let cpu_permille = shifting.cpu_permille.load(Ordering::Relaxed);
            shifting.group.set_measures(shifting.meters.read(now, calls, cpu_permille));
        }
    }

    /// Whether a new call is taken here: `Ok`. Otherwise `Err` with the number of a search; the group decides later.
    pub(super) fn ask_group(&mut self, now: Time, request: &Message<'_>, flow: Flow) -> Result<(), u64> {
        self.measure(now);
        let tag = self.tag(request);
        let Some(shifting) = &mut self.shifting else { return Ok(()) };
        let Start::Request { uri, .. } = request.start() else { return Ok(()) };
        let Ok(uri) = Uri::parse(uri) else { return Ok(()) };
        if uri.parameter(TICKET).is_some_and(|ticket| shifting.group.redeem(now, ticket)) {
            shifting.meters.call(now);
            return Ok(());
        }
        let Some(call) = offered_call(request, flow, &uri, shifting.identity, tag) else { return Ok(()) };
        match shifting.group.offer(now, call, &mut shifting.out) {
            None => {
                shifting.meters.call(now);
                Ok(())
            }
            Some(number) => Err(number),
        }
    }

    /// Sends the group's datagrams, and answers the calls that the group decided on.
    pub(super) fn run_decisions(&mut self, now: Time, out: &mut Outbox) {
        // Taking a call asks the group nothing, so one pass is enough.
        let Some(shifting) = &mut self.shifting else { return };
        let listener = shifting.listener;
        shifting.publish();
        for (to, bytes) in shifting.out.datagrams.drain(..) {
            out.post(&bytes, Target::Datagram { listener, to });
        }
        for decision in std::mem::take(&mut shifting.out.decisions) {
            match decision {
                Decision::Take { number } => self.take_after_all(now, number, out),
                Decision::Redirect { number, contact, told } => {
                    let field = ("Contact", [&b"<"[..], &contact, b">"].concat());
                    self.answer_search(now, number, (302, field, told), out);
                }
                Decision::Refuse { number, retry_after_seconds } => {
                    let field = ("Retry-After", retry_after_seconds.to_string().into_bytes());
                    self.answer_search(now, number, (503, field, false), out);
                }
                Decision::Tell { client, answer, contact, .. } => self.tell(client, &answer, &contact, out),
            }
        }
    }

    /// Ends the search of a call that has ended otherwise.
    pub(super) fn abandon_search(&mut self, slot: u64) {
        let Some(Phase::Sought { search, .. }) = self.book.get(slot).map(|call| &call.phase) else { return };
        let search = *search;
        self.book.find_search(search);
        if let Some(shifting) = &mut self.shifting {
            shifting.group.abandon(search);
        }
    }

    fn take_after_all(&mut self, now: Time, number: u64, out: &mut Outbox) {
        let Some(slot) = self.book.find_search(number) else { return };
        if let Some(shifting) = &mut self.shifting {
            shifting.meters.call(now);
        }
        let next = now + self.behaviour.ring_after;
        self.book.update(now, slot, |call| call.phase = Phase::Ringing { rung: false, next, status: 200 });
        self.advance(now, slot, out);
    }

    /// Sends the final answer of a call that another server takes, or that no server takes.
    fn answer_search(
        &mut self,
        now: Time,
        number: u64,
        (status, field, told): (u16, (&'static str, Vec<u8>), bool),
        out: &mut Outbox,
    ) {
        let Some(slot) = self.book.find_search(number) else { return };
        let Some(call) = self.book.get(slot) else { return };
        let (invite, remote, target) = (call.invite.clone(), call.remote, call.target);
        let mut parser = Parser::new();
        let Ok(request) = parser.parse(&invite) else { return self.book.remove(slot) };
        let bytes = answer(&request, remote, (status, self.tag(&request)), &vec![field], "");
        // If another member has sent the answer, it is not sent here at once; the transaction repeats it if no ACK comes.
        if !told {
            out.post(&bytes, target);
        }
        let timers = &self.timers;
        self.book.update(now, slot, |call| {
            call.last = bytes.into();
            let acknowledged = matches!(call.phase, Phase::Sought { acknowledged: true, .. });
            call.phase = Phase::Refused;
            call.invite = Box::default();
            call.transaction.handle(now, InviteServerEvent::Failure, timers);
            if told && acknowledged {
                call.transaction.handle(now, InviteServerEvent::Ack, timers);
            }
        });
        self.forget_if_done(now, slot);
    }

    /// Sends the first 302 to a client of another member: once, and no larger than the offer that asked for it.
    fn tell(&self, client: SocketAddr, answer: &[u8], contact: &[u8], out: &mut Outbox) {
        let from = self
            .addresses
            .iter()
            .position(|own| own.transport == Transport::Udp && own.address.is_ipv4() == client.is_ipv4());
        let bytes = [answer, b"Contact: <", contact, b">\r\n", END].concat();
        let is_redirect = matches!(
            Parser::new().parse(&bytes).map(|message| message.start()),
            Ok(Start::Response { status: 302, .. })
        );
        match from.and_then(|listener| u8::try_from(listener).ok()) {
            Some(listener) if is_redirect => out.post(&bytes, Target::Datagram { listener, to: client }),
            _ => self.counters.unsent.add(1),
        }
    }
}

/// The request in the group's form. `None`: the call cannot be shifted.
fn offered_call(
    request: &Message<'_>,
    flow: Flow,
    uri: &Uri<'_>,
    identity: Identity,
    tag: u64,
) -> Option<Call> {
    let hops = request.first_value(Name::MaxForwards).map_or(Some(MAX_FORWARDS), max_forwards::parse)?;
    let (client, transport) = match sip::answer::target(request, flow) {
        Target::Datagram { to, .. } => (to, heartbeat::Transport::Udp),
        Target::Connection { to, .. } | Target::Stream { to, .. } => (to, heartbeat::Transport::Tcp),
    };
    Some(Call {
        client,
        transport,
        user: uri.user.unwrap_or_default().to_vec(),
        answer: match identity {
            Identity::Straight if may_be_told_straight(request, transport) => {
                let mut bytes = answer(request, flow.remote, (302, tag), &Fields::new(), "");
                bytes.truncate(bytes.len() - END.len());
                bytes
            }
            Identity::Straight | Identity::Chain => Vec::new(),
        },
        max_forwards: hops,
    })
}

/// Whether another member may send the client its 302. Over a stream the answer must take the request's connection (RFC 3261
/// §18.2.2), and a client that asks for `rport` must be answered from the address to which it sent (RFC 3581 §4). All other
/// clients match an answer by its branch, whatever its source (RFC 3261 §17.1.3).
fn may_be_told_straight(request: &Message<'_>, transport: heartbeat::Transport) -> bool {
    transport == heartbeat::Transport::Udp
        && matches!(via::top(request), Some(Ok(top)) if top.rport.is_none())
}
