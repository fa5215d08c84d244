//! Where a REGISTER goes: which servers get it, and at how many of them it is in progress.

use base::Time;
use sip::headers::address;
use sip::{Edits, Flow, Message, Name, Parser, Reject, Target, Uri};

use super::challenge::{Given, Round, Share, credentials, share};
use super::fanout::{Branch, Fanout, Order, State};
use super::settings::{RegisterTo, Registrar};
use super::{RegisterRepeat, ToDo, What};
use crate::counters::Counter;
use crate::farm::delays::Delay;
use crate::farm::server::{Server, ServerId};
use crate::memory::calls::ended::Ended;
use crate::outbox::Outbox;
use crate::selection::known::known;
use crate::settings::HashKind;
use crate::signed::branch::{BranchKey, branch_key};
use crate::signed::keyring::{CallKey, KeyRing};
use crate::way::core::{ACTIONS_MAX, Core};
use crate::way::draft::Draft;
use crate::way::own_via::Response;
use crate::way::plan::Holding;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;

impl Core {
    /// Routes a REGISTER towards the farm: by its address of record, whatever the affinity and selection of calls.
    pub(crate) fn register(&mut self, turn: &mut Turn<'_>, draft: &mut Draft<'_, '_>) -> Result<(), Reject> {
        let view = &self.view;
        match view.shared.registrations.copy(draft.branch.0) {
            RegisterRepeat::No => {}
            RegisterRepeat::InProgress => {
                view.count(Counter::RegisterCopy);
                return Ok(());
            }
            RegisterRepeat::Answered { answer, flow, back } => {
                view.count(Counter::RegisterCopy);
                send_back(&answer, flow, back, turn.out);
                return Ok(());
            }
        }
        view.count(Counter::Register);
        let (order, mut to) = match &view.shared.settings.register.to {
            RegisterTo::Hash => {
                // Calls for that user name the same server.
                let named = view.named(draft).cloned();
                (Order::InTurn, vec![named.map_or_else(|| view.by_address_of_record(draft.request), Ok)?])
            }
            RegisterTo::Registrar(registrars) => (Order::InTurn, view.registrars(registrars)),
            RegisterTo::All => {
                let reachable = view.snapshot.servers().iter().filter(|server| server.is_reachable());
                (Order::Together, reachable.cloned().collect())
            }
        };
        let flow = turn.flow;
        to.retain(|to| view.shared.own.outgoing(flow.listener, to.transport, to.address.ip()).is_some());
        let first = to.first().ok_or_else(|| view.no_registrar())?;
        // There is one server, and the sender or the transport repeats what is lost: nothing need be kept.
        let alone = to.len() == 1 && (!flow.transport.is_reliable() || first.transport.is_reliable());
        if alone || !self.register_at(turn, draft, order, &to) {
            if order == Order::Together && !alone {
                self.view.count(Counter::RegisterFull);
                return Err(self.view.no_registrar());
            }
            self.ask(turn, draft, first, Holding::Never)?;
        }
        Ok(())
    }

    /// Keeps the REGISTER and asks the first server, or all. False: there was no room.
    fn register_at(
        &mut self,
        turn: &mut Turn<'_>,
        draft: &mut Draft<'_, '_>,
        order: Order,
        to: &[Server],
    ) -> bool {
        let (now, received) = (turn.now, draft.branch);
        let (view, message) = (&self.view, draft.request.message);
        let registrations = &view.shared.registrations;
        let (round, branches) = view.shares(now, draft.request, order, to);
        let wait = view.shared.settings.register.wait;
        let back = view.way_back(Some(draft.request.via), turn.flow);
        let bytes = (&message.bytes()[..message.end() as usize], turn.flow, back);
        let mut fanout = Fanout::new(now, bytes, order, branches, round, wait);
        let asked = fanout.begin(now, registrations.timers());
        let asked: Vec<_> = asked
            .into_iter()
            .map(|at| (fanout.branches[at].server, fanout.branches[at].without.clone()))
            .collect();
        if !registrations.keep(now, &mut self.alarms_of_registrations, received.0, fanout) {
            return false;
        }
        for (server, without) in asked {
            let Some(to) = to.iter().find(|to| to.id == server) else { continue };
            (draft.branch, draft.without) = (received.at(server), without);
            // A request that cannot be sent now is sent again later, or its answer never comes.
            let _ = self.ask(turn, draft, to, Holding::Held { since: now });
        }
        true
    }

    /// Sends the REGISTER to one server.
    fn ask(
        &mut self,
        turn: &mut Turn<'_>,
        draft: &mut Draft<'_, '_>,
        to: &Server,
        holding: Holding,
    ) -> Result<(), Reject> {
        self.view.note_begun(turn.now, draft, to);
        self.view.note_without_path(draft, turn.flow);
        let way = self.view.way_to(to, turn.flow.listener)?;
        self.send(turn, draft, &way, holding)
    }

    /// A response to a REGISTER that is kept: the response goes no further; an answer is built when enough have come.
    pub(crate) fn register_response(&mut self, now: Time, message: &Message<'_>, response: &Response<'_>) {
        let &Response { hop, branch, status } = response;
        let view = &self.view;
        view.note_answered(hop.server);
        let Some(key) = branch_key(branch) else { return };
        if status >= 200 {
            view.shared.calls.transaction_ended(now, branch, Ended::Nothing);
        }
        if (200..300).contains(&status) {
            view.took(now, hop, Delay::Registration);
        }
        let key = key.at(hop.server).0;
        let bytes = &message.bytes()[..message.end() as usize];
        let alarms = &mut self.alarms_of_registrations;
        if !view.shared.registrations.response(now, alarms, key, (hop.server, status), bytes) {
            view.count(Counter::LateResponse);
        }
    }

    /// Sends requests that are due again, and answers that are ready. `kept`: a buffer for one request or answer.
    pub(crate) fn registrations_due(
        &mut self,
        now: Time,
        parser: &mut Parser,
        edits: &mut Edits,
        kept: &mut Vec<u8>,
        out: &mut Outbox,
    ) {
        for _ in 0..ACTIONS_MAX {
            let alarms = &mut self.alarms_of_registrations;
            let Some(due) = self.view.shared.registrations.next_due(now, alarms, kept) else { return };
            let turn = &mut Turn { now, flow: due.flow, out };
            self.register_due(turn, due, kept, parser, edits);
        }
    }

    /// An action for a REGISTER in progress is due. `bytes`: the request as received, or the answer.
    fn register_due(
        &mut self,
        turn: &mut Turn<'_>,
        due: ToDo,
        bytes: &[u8],
        parser: &mut Parser,
        edits: &mut Edits,
    ) {
        let view = &self.view;
        match due.what {
            What::Send { server, without } => {
                let Ok(message) = parser.parse(bytes) else { return };
                let passing = &view.shared.settings.proxy_require;
                let Ok(good) = sip::validate::request_with(&message, passing) else { return };
                let request = Request::new(&message, &good, &view.shared.keys);
                let mut draft = Draft::new(&request, BranchKey(due.key).at(server), edits);
                draft.without = without;
                let Some(to) = view.row(server) else { return };
                view.count(Counter::Repeated);
                if draft.read_routes(view).is_ok() {
                    let _ = self.ask(turn, &mut draft, &to, Holding::Held { since: due.since });
                }
            }
            What::Answer { back, accepted, partial, round } => {
                if !accepted && round.is_none() {
                    view.count(Counter::RegisterFailed);
                }
                if let Some((key, round)) = round {
                    view.count(Counter::RegisterChallenged);
                    let alarms = &mut self.alarms_of_registrations;
                    if !view.shared.registrations.put_round(turn.now, alarms, key, round) {
                        view.count(Counter::RegisterFull);
                    }
                }
                if accepted {
                    view.count(Counter::RegisterAccepted);
                }
                if partial {
                    view.count(Counter::RegisterPartial);
                }
                view.count(Counter::Response);
                send_back(bytes, due.flow, back, turn.out);
            }
            What::Unanswered { early } => {
                view.count(Counter::RegisterUnanswered);
                // A telephone that has given up is told nothing, as RFC 4320 §4.2 asks.
                if early && let Ok(message) = parser.parse(bytes) {
                    let reject = Reject::no_server(view.shared.settings.retry_after);
                    self.answer(turn, &message, &reject);
                }
            }
        }
    }
}

impl View {
    /// Which credentials each server gets, and which answers stand from the last attempt.
    fn shares(&self, now: Time, request: &Request<'_>, order: Order, to: &[Server]) -> (u64, Vec<Branch>) {
        let given = credentials(request.message);
        let key = attempt(request, &self.shared.keys);
        // A telephone that sends no credentials begins anew.
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

    /// A server that drains or is full keeps its users: a refresh cannot be told from a new registration, and a user with
    /// bindings in two places is found in neither. The users move when the server is stopped or removed.
    fn by_address_of_record(&self, request: &Request<'_>) -> Result<Server, Reject> {
        let key = address_of_record(request, &self.shared.keys);
        // Always this hash, whichever hash calls use: the others would move most users when one server dies.
        known(&self.snapshot, HashKind::Consistent, key.0).cloned().ok_or_else(|| self.no_registrar())
    }

    /// The registrars in their order, without those that are known to have failed. A registrar that is no server of the farm
    /// is never known to have failed.
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
}

fn send_back(answer: &[u8], flow: Flow, back: std::net::SocketAddr, out: &mut Outbox) {
    let to = match flow.connection {
        Some(id) => Target::Connection { listener: flow.listener, id, to: back, or_connect: true },
        None => Target::Datagram { listener: flow.listener, to: back },
    };
    out.post(answer, to);
}

/// The hash of the address of record under the farm's key, so that nobody can choose users that all fall on one server. If To
/// is no SIP URI, the hash of its text.
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

/// The key that all attempts of one telephone to register the same thing share: user, Call-ID, bindings and times. A server's
/// acceptance stands for the next attempt only if that asks for the same.
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
