//! Carries out what [`crate::hold::Held`] says is due: a held request is sent again, answered, or given to another server.

use base::{Chance, Time};
use heartbeat::notice::What as Told;
use sip::{Edits, Flow, Message, Reject, Target};

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::hold::{Action, Class, Tried, What, Why};
use crate::outbox::Event;
use crate::selection::known::known;
use crate::signed::branch::BranchKey;
use crate::way::core::Core;
use crate::way::draft::Draft;
use crate::way::plan::{Holding, Way};
use crate::way::request::Request;
use crate::way::route_to_client::ToClient;
use crate::way::turn::Turn;
use crate::way::view::View;
use crate::why::Kind;

impl Core {
    /// An action for a held request is due; `message` is the request as received.
    pub(crate) fn act(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        action: &Action,
        edits: &mut Edits,
    ) {
        if action.what == What::Passed {
            let Flow { listener, remote: to, .. } = action.flow;
            return turn.out.post(message.bytes(), Target::Datagram { listener, to });
        }
        let now = turn.now;
        let passing = &self.view.shared.settings.proxy_require;
        let Ok(good) = sip::validate::request_with(message, passing) else { return };
        let request = self.view.read(now, message, &good);
        let mut draft = Draft::new(&request, BranchKey(action.key), edits);
        match action.what {
            What::Send { server } => {
                self.view.count(Counter::Repeated);
                self.send_held(turn, &mut draft, server, action);
            }
            What::Passed => {}
            What::Answer { status } => self.answer(turn, message, &self.view.final_answer(status)),
            What::Reroute { tried, why } => {
                let held = &self.view.shared.held;
                if self.view.was_heard(now, &request, action, &tried, why) {
                    return held.let_go(action.key, action.class);
                }
                let Some(to) = self.view.another(now, &request, action, (&tried, why), &mut self.chance)
                else {
                    return held.no_server(now, &mut self.alarms, action.key, action.class);
                };
                let reliable = to.transport.is_reliable();
                if !held.moved(now, &mut self.alarms, action.key, action.class, to.id, reliable) {
                    return;
                }
                self.view.note_moved(turn, &request, action.class, tried.last(), to, why);
                let to = to.id;
                self.send_held(turn, &mut draft, to, action);
            }
        }
    }

    /// Sends the same bytes as before: routing makes them of the same message again. A request that cannot be sent any more
    /// is answered and let go: its timers would lead to the same answer again and again.
    fn send_held(
        &mut self,
        turn: &mut Turn<'_>,
        draft: &mut Draft<'_, '_>,
        server: ServerId,
        action: &Action,
    ) {
        if !action.to_client && self.view.snapshot.by_id(server).is_none() {
            return;
        }
        if let Err(reject) = self.try_send_held(turn, draft, server, action) {
            self.view.shared.held.let_go(action.key, action.class);
            // A held CANCEL is answered already.
            if action.class != Class::Cancel {
                self.answer(turn, draft.request.message, &reject);
            }
        }
    }

    fn try_send_held(
        &mut self,
        turn: &mut Turn<'_>,
        draft: &mut Draft<'_, '_>,
        server: ServerId,
        action: &Action,
    ) -> Result<(), Reject> {
        let view = &self.view;
        draft.read_routes(view)?;
        let way = match view.snapshot.by_id(server).filter(|_| !action.to_client) {
            Some(server) => {
                view.note_sent(server, draft.request.method);
                let of_call = view.is_of_call(turn.now, draft.request, draft.set.tag.as_ref());
                Way { of_call, ..view.way_to(server, turn.flow.listener)? }
            }
            None => match view.way_to_client(turn, draft)? {
                ToClient::Way(way) => way,
                // Its timers send it again.
                ToClient::Waits(_) => return Ok(()),
            },
        };
        self.send(turn, draft, &way, Holding::Held { since: action.since })
    }
}

impl View {
    /// The server answered an earlier copy, which passed unheld because there was no room or no reason to hold it: only the
    /// memory of calls knows of that answer. After a move, the memory says nothing of the new server.
    fn was_heard(&self, now: Time, request: &Request<'_>, action: &Action, tried: &Tried, why: Why) -> bool {
        action.class == Class::Invite
            && request.first
            && tried.iter().count() == 1
            && self.shared.calls.was_heard(now, request.call, why == Why::Silent)
    }

    /// A server that was not tried yet. For a request in a dialog: the server that takes the dialog over, since later
    /// requests will go there too. Within a state tier: the server that goes on with the calls of the one that failed, also if
    /// it failed earlier and is back.
    fn another(
        &self,
        now: Time,
        request: &Request<'_>,
        action: &Action,
        (tried, why): (&Tried, Why),
        chance: &mut Chance,
    ) -> Option<&Server> {
        let (shared, snapshot, call) = (&*self.shared, &*self.snapshot, request.call.0);
        let is_reached =
            |to: &Server| shared.own.outgoing(action.flow.listener, to.transport, to.address.ip()).is_some();
        let may_be = |to: &&Server| !tried.contains(to.id) && is_reached(to);
        let goes_on = |to: &Server| is_reached(to) && (why == Why::FailedInTier || !tried.contains(to.id));
        if matches!(why, Why::Failed | Why::FailedInTier | Why::Silent)
            && let Some(taker) =
                tried.last().and_then(|failed| self.taker_in_tier(failed, request.call, goes_on))
        {
            return Some(taker);
        }
        let of_dialog = || known(snapshot, shared.settings.hash_kind(), call).filter(may_be);
        let found = (!request.first).then(of_dialog).flatten();
        found.or_else(|| shared.selector.candidates(now, snapshot, call, chance).find(may_be))
    }

    /// Notes that a request which was at `from` is given to another server.
    fn note_moved(
        &self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        class: Class,
        from: Option<ServerId>,
        to: &Server,
        why: Why,
    ) {
        self.count(Counter::SetupMoved);
        let kind = match why {
            Why::Failed | Why::FailedInTier => Kind::MovedFailed,
            Why::Silent => Kind::MovedSilent,
            Why::Full => Kind::MovedFull,
            Why::Refused => Kind::MovedRefused,
        };
        self.note_choice(turn.now, request, kind, Some(to.id), from);
        if let (Some(from), Why::Silent) = (from, why) {
            self.note_failed(from);
            self.note_silence(request, from);
        }
        self.shared.calls.moved(turn.now, request.call, to);
        self.tell(request.call, to.id, Told::Moved, turn.out);
        self.shared.selector.admit(turn.now, to);
        if matches!(why, Why::Full | Why::Refused) {
            // Nobody failed, so there is no fault record; `strowger why` shows the move.
            return;
        }
        turn.out.events.push(Event::TakenOver {
            call_id: request.call_id.into(),
            method: request.token.into(),
            client: turn.flow.remote,
            from: from.and_then(|server| self.snapshot.by_id(server)).map(|server| server.address),
            to: to.address,
            why: match (why, class) {
                (Why::Failed | Why::FailedInTier | Why::Full | Why::Refused, Class::Invite) => {
                    "server failed during call set-up"
                }
                (Why::Silent, Class::Invite) => "server silent during call set-up",
                (Why::Failed | Why::FailedInTier | Why::Full | Why::Refused, _) => {
                    "server failed before it answered"
                }
                (Why::Silent, _) => "server silent",
            },
        });
    }
}
