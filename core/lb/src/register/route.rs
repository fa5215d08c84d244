//! The way of a REGISTER: which servers get it, and at how many of them it is in progress.

use base::Time;
use sip::headers::address;
use sip::{Flow, Message, Name, Parser, Reject, Target, Uri};
use turn::Outgoing;

use super::challenge::{Given, Round, Share, credentials, share};
use super::fanout::{Branch, Fanout, Order, State};
use super::passage::Register;
use super::settings::{RegisterTo, Registrar};
use super::{RegisterRepeat, ToDo, What};
use crate::counters::Counter;
use crate::farm::consistent::mix;
use crate::farm::delays::Delay;
use crate::farm::server::{Server, ServerId};
use crate::memory::calls::Ended;
use crate::outbox::Outbox;
use crate::selection::known::known;
use crate::settings::HashKind;
use crate::signed::branch::{BranchKey, branch_key};
use crate::signed::hop::Hop;
use crate::signed::keyring::{CallKey, KeyRing};
use crate::way::request::Request;
use crate::way::route_set::RouteSet;
use crate::way::router::{ACTIONS_MAX, Core};

impl Core {
    /// A REGISTER towards the farm: by its address of record, whatever the affinity and selection of calls.
    pub(crate) fn register(
        &mut self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        branch: BranchKey,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let shared = self.shared.clone();
        match shared.registrations.copy(branch.0) {
            RegisterRepeat::No => {}
            RegisterRepeat::InProgress => {
                self.count(Counter::RegisterCopy);
                return Ok(());
            }
            RegisterRepeat::Answered { answer, flow, back } => {
                self.count(Counter::RegisterCopy);
                send_back(&answer, flow, back, out);
                return Ok(());
            }
        }
        self.count(Counter::Register);
        let (order, mut to) = match &shared.settings.register.to {
            RegisterTo::Hash => {
                // Calls for that user name the same server.
                let named = self.named(request, set).cloned();
                (Order::InTurn, vec![named.map_or_else(|| self.by_address_of_record(request), Ok)?])
            }
            RegisterTo::Registrar(registrars) => (Order::InTurn, self.registrars(registrars)),
            RegisterTo::All => {
                let reachable = self.snapshot.servers().iter().filter(|server| server.is_reachable());
                (Order::Together, reachable.cloned().collect())
            }
        };
        to.retain(|to| shared.own.outgoing(flow.listener, to.transport, to.address.ip()).is_some());
        let first = to.first().ok_or_else(|| self.no_registrar())?;
        // One server, and the sender or the transport repeats what is lost: nothing need be kept.
        let alone = to.len() == 1 && (!flow.transport.is_reliable() || first.transport.is_reliable());
        if alone || !self.register_at(now, request, branch, order, &to, flow, out) {
            if order == Order::Together && !alone {
                self.count(Counter::RegisterFull);
                return Err(self.no_registrar());
            }
            let register = Register { branch, since: now, held: false, without: &[] };
            self.send_register(now, request, first, &register, flow, out)?;
        }
        Ok(())
    }

    /// Keeps it and asks the first, or all. False: there was no room.
    #[allow(clippy::too_many_arguments)]
    fn register_at(
        &mut self,
        now: Time,
        request: &Request<'_>,
        branch: BranchKey,
        order: Order,
        to: &[Server],
        flow: Flow,
        out: &mut Outbox,
    ) -> bool {
        let shared = self.shared.clone();
        let message = request.message;
        let (round, branches) = self.shares(now, message, request, order, to);
        let wait = shared.settings.register.wait;
        let back = self.way_back(Some(request.via), flow);
        let received = (&message.bytes()[..message.end() as usize], flow, back);
        let mut fanout = Fanout::new(now, received, order, branches, round, wait);
        let asked = fanout.begin(now, shared.registrations.timers());
        let asked: Vec<_> = asked
            .into_iter()
            .map(|at| (fanout.branches[at].server, fanout.branches[at].without.clone()))
            .collect();
        if !shared.registrations.keep(now, &mut self.alarms_of_registrations, branch.0, fanout) {
            return false;
        }
        for (server, without) in asked {
            let Some(to) = to.iter().find(|to| to.id == server) else { continue };
            let register =
                Register { branch: at_server(branch, server), since: now, held: true, without: &without };
            // What cannot be sent now is sent again, or waited for in vain.
            let _ = self.send_register(now, request, to, &register, flow, out);
        }
        true
    }

    /// What each server gets of the credentials, and what stands from the last attempt.
    fn shares(
        &self,
        now: Time,
        message: &Message<'_>,
        request: &Request<'_>,
        order: Order,
        to: &[Server],
    ) -> (u64, Vec<Branch>) {
        let given = credentials(message);
        let key = attempt(request, &self.shared.keys);
        // Who sends no credentials begins anew.
        let round: Option<Round> = (order == Order::Together && !given.is_empty())
            .then(|| self.shared.registrations.take_round(now, key))
            .flatten();
        let mut parser = Parser::new();
        let branch = |to: &Server| {
            let known = round.iter().flat_map(|round| &round.known).find(|known| known.server == to.id);
            let (state, given, without) = match (share(&given, known, &mut parser), known) {
                (Share::Stands, Some(known)) => {
                    let (status, response) = (known.status, known.response.clone());
                    (State::Heard { status, response }, Given::None, Box::default())
                }
                (Share::Ask { given, without }, _) => (State::Queued, given, without),
                (Share::Stands, None) => (State::Queued, Given::None, Box::default()),
            };
            let tried = known.is_some_and(|known| known.tried);
            Branch { server: to.id, reliable: to.transport.is_reliable(), given, without, tried, state }
        };
        (key, to.iter().map(branch).collect())
    }

    /// A server that drains or is full keeps its users: a refresh cannot be told from a new registration, and a user whose
    /// bindings lie in two places is found in neither. They move when it is stopped or removed.
    fn by_address_of_record(&self, request: &Request<'_>) -> Result<Server, Reject> {
        let key = address_of_record(request, &self.shared.keys);
        // Whichever hash calls use: the others would move most users when one server dies.
        known(&self.snapshot, HashKind::Consistent, key.0).cloned().ok_or_else(|| self.no_registrar())
    }

    /// In their order, those that are known to have failed left out. One that is no server of the farm is never known to.
    fn registrars(&self, registrars: &[Registrar]) -> Vec<Server> {
        registrars.iter().map(|registrar| self.row_of(registrar)).filter(Server::is_reachable).collect()
    }

    fn row_of(&self, registrar: &Registrar) -> Server {
        let known = self.snapshot.by_address(registrar.address);
        known.cloned().unwrap_or_else(|| Server::at(registrar.address, registrar.transport))
    }

    /// The server or registrar with this id.
    fn row(&self, id: ServerId) -> Option<Server> {
        if let Some(server) = self.snapshot.by_id(id) {
            return Some(server.clone());
        }
        match &self.shared.settings.register.to {
            RegisterTo::Registrar(all) => {
                all.iter().find(|one| ServerId::of(one.address) == id).map(|one| self.row_of(one))
            }
            RegisterTo::Hash | RegisterTo::All => None,
        }
    }

    fn no_registrar(&self) -> Reject {
        self.count(Counter::NoServer);
        Reject::no_server(self.shared.settings.retry_after)
    }

    /// A response to a REGISTER that is kept: it goes no further, an answer is built when enough have come.
    pub(crate) fn register_response(
        &mut self,
        now: Time,
        message: &Message<'_>,
        hop: &Hop,
        branch: &[u8],
        status: u16,
    ) {
        self.answered(hop.server);
        let Some(key) = branch_key(branch) else { return };
        let shared = self.shared.clone();
        if status >= 200 {
            shared.calls.transaction_ended(now, branch, Ended::Nothing);
        }
        if (200..300).contains(&status) {
            self.took(now, hop, Delay::Registration);
        }
        let key = at_server(key, hop.server).0;
        let bytes = &message.bytes()[..message.end() as usize];
        let alarms = &mut self.alarms_of_registrations;
        if !shared.registrations.response(now, alarms, key, (hop.server, status), bytes) {
            self.count(Counter::LateResponse);
        }
    }

    /// Sends what is due again, answers what is ready.
    pub(crate) fn registrations_due(
        &mut self,
        now: Time,
        parser: &mut Parser,
        bytes: &mut Vec<u8>,
        out: &mut Outbox,
    ) {
        let shared = self.shared.clone();
        for _ in 0..ACTIONS_MAX {
            let alarms = &mut self.alarms_of_registrations;
            let Some(due) = shared.registrations.next_due(now, alarms, bytes) else { return };
            self.register_due(now, due, bytes, parser, out);
        }
    }

    /// Something is due at a REGISTER in progress. `bytes`: the request as received, or the answer.
    fn register_due(&mut self, now: Time, due: ToDo, bytes: &[u8], parser: &mut Parser, out: &mut Outbox) {
        match due.what {
            What::Send { server, without } => {
                let shared = self.shared.clone();
                let Ok(message) = parser.parse(bytes) else { return };
                let Ok(good) = sip::validate::request(&message) else { return };
                let request = Request::new(&message, &good, &shared.keys);
                let Some(to) = self.row(server) else { return };
                let branch = at_server(BranchKey(due.key), server);
                self.count(Counter::Repeated);
                let register = Register { branch, since: due.since, held: true, without: &without };
                let _ = self.send_register(now, &request, &to, &register, due.flow, out);
            }
            What::Answer { back, accepted, partial, round } => {
                if !accepted && round.is_none() {
                    self.count(Counter::RegisterFailed);
                }
                if let Some((key, round)) = round {
                    self.count(Counter::RegisterChallenged);
                    let alarms = &mut self.alarms_of_registrations;
                    if !self.shared.registrations.put_round(now, alarms, key, round) {
                        self.count(Counter::RegisterFull);
                    }
                }
                if accepted {
                    self.count(Counter::RegisterAccepted);
                }
                if partial {
                    self.count(Counter::RegisterPartial);
                }
                self.count(Counter::Response);
                send_back(bytes, due.flow, back, out);
            }
            What::Unanswered { early } => {
                self.count(Counter::RegisterUnanswered);
                // A telephone that has given up is told nothing, as RFC 4320 §4.2 asks.
                if early && let Ok(message) = parser.parse(bytes) {
                    let reject = Reject::no_server(self.shared.settings.retry_after);
                    self.answer(&message, &reject, due.flow, out);
                }
            }
        }
    }
}

/// The branch at one server: each of a fork has its own (RFC 3261 §16.6 step 8), and the hop that comes back names the
/// server, so the first is found again by the same step.
pub(crate) fn at_server(branch: BranchKey, server: ServerId) -> BranchKey {
    BranchKey(branch.0 ^ mix(u64::from(server.0)))
}

fn send_back(answer: &[u8], flow: Flow, back: std::net::SocketAddr, out: &mut Outbox) {
    let to = match flow.connection {
        Some(id) => Target::Connection { listener: flow.listener, id, to: back, or_connect: true },
        None => Target::Datagram { listener: flow.listener, to: back },
    };
    let from = out.bytes.len() as u32;
    out.bytes.extend_from_slice(answer);
    out.sends.push(Outgoing { bytes: from..out.bytes.len() as u32, to, fallback: None, call: 0 });
}

/// The hash of the address of record under the farm's key, so that nobody can choose users that all fall on one server.
/// Of a To that is no SIP URI, that of its text.
fn address_of_record(request: &Request<'_>, keys: &KeyRing) -> CallKey {
    keys.call(&record_of(request.message))
}

fn record_of(message: &Message<'_>) -> Vec<u8> {
    let field = message.first_value(Name::To).unwrap_or_default();
    let uri = address::parse(field).map_or(field, |to| to.uri);
    let mut record = Vec::with_capacity(64);
    match Uri::parse(uri) {
        Ok(uri) => uri.write_address_of_record(&mut record),
        Err(_) => record.extend_from_slice(uri),
    }
    record
}

/// What the attempts of one telephone to register the same thing have in common: user, Call-ID, bindings and times. What a
/// server accepted stands for the next attempt only where that asks for the same.
fn attempt(request: &Request<'_>, keys: &KeyRing) -> u64 {
    let message = request.message;
    let mut parts = record_of(message);
    parts.push(0);
    parts.extend_from_slice(request.call_id);
    for header in message.all(Name::Contact).chain(message.all(Name::Expires)) {
        parts.push(0);
        parts.extend_from_slice(message.value(header));
    }
    keys.branch(&[b"attempt", &parts]).0
}
