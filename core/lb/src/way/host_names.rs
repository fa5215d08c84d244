//! Requests of servers to a host name (RFC 3263): the name is looked up, and meanwhile the request waits here, bounded; no worker waits.
//! A request, its copies, its CANCEL and its ACK take the same place among those that the name stands for (RFC 3263 §4.4): the chance
//! that chooses is that of its branch.

use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use dns::locate::{Located, Target, Why, locate};
use dns::name::Name;
use dns::order::in_order;
use sip::{Edits, Host, Parser, Reject, Transport, Uri};

use crate::connections::own::{host_to_ask, transport_of};
use crate::counters::Counter;
use crate::outbox::{Ask, Outbox};
use crate::signed::branch::BranchKey;
use crate::way::core::Core;
use crate::way::draft::Draft;
use crate::way::turn::Turn;
use crate::way::view::View;
use crate::way::waiting::Waits;

/// A request that has waited this long is answered: longer than name servers usually take, and shorter than its sender waits.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often it is looked whether answers have come, while requests wait.
const LOOK: Duration = Duration::from_millis(5);
/// Names that nobody can look up (RFC 6761 §6.4): contacts of browsers have them.
const INVALID: &str = ".invalid";

/// What a name comes to now.
pub(crate) enum Named {
    At(Transport, SocketAddr),
    /// The request waits for answers about this.
    Waits(Target),
}

impl Core {
    /// Keeps the request until there are answers, or [`PATIENCE`] is over. A copy of a waiting request is dropped.
    pub(crate) fn wait_for_name(
        &mut self,
        turn: &Turn<'_>,
        draft: &Draft<'_, '_>,
        target: Target,
    ) -> Result<(), Reject> {
        let (waiting, request) = (&mut self.waiting, draft.request);
        if waiting.has(draft.branch, request.method) {
            return Ok(());
        }
        let message = &request.message.bytes()[..request.message.end() as usize];
        if !waiting.has_room(message.len()) {
            self.view.count(Counter::NamesFull);
            return Err(Reject::with_status(480));
        }
        if waiting.is_empty() {
            waiting.look = turn.now + LOOK;
        }
        waiting.push(Waits {
            message: message.into(),
            flow: turn.flow,
            branch: draft.branch,
            method: request.method,
            target,
            until: turn.now + PATIENCE,
        });
        self.view.count(Counter::NamesWaited);
        Ok(())
    }

    /// Sends the requests whose answers have come, in the order in which they came.
    pub(crate) fn names_due(&mut self, now: Time, parser: &mut Parser, edits: &mut Edits, out: &mut Outbox) {
        let waiting = &mut self.waiting;
        if waiting.is_empty() || now < waiting.look {
            return;
        }
        waiting.look = now + LOOK;
        let answers = self.view.shared.names.answers();
        let is_same = std::mem::replace(&mut waiting.answers, answers) == answers;
        if is_same && waiting.first_until().is_some_and(|until| now < until) {
            return;
        }
        for waits in waiting.take() {
            let is_over = now >= waits.until;
            let is_open = matches!(self.view.located(now, &waits.target, out), Located::Waiting);
            if is_open && !is_over {
                self.waiting.push(waits);
                continue;
            }
            let turn = &mut Turn { now, flow: waits.flow, out };
            let Ok(message) = parser.parse(&waits.message) else { continue };
            if is_open {
                self.view.count(Counter::Unresolved);
                self.answer(turn, &message, &Reject::with_status(480));
                continue;
            }
            self.request(turn, &message, edits);
        }
    }
}

impl View {
    /// Where a host name leads. What is not known is asked.
    pub(crate) fn look_up(
        &self,
        turn: &mut Turn<'_>,
        branch: BranchKey,
        uri: &Uri<'_>,
    ) -> Result<Named, Reject> {
        let Some(Host::Name(host)) = host_to_ask(uri) else { return Err(Reject::bad_request("Bad maddr")) };
        let name = std::str::from_utf8(host).ok().and_then(Name::new);
        let Some(name) = name.filter(|name| !name.as_str().ends_with(INVALID) && !name.is_service()) else {
            return Err(Reject::not_found());
        };
        let transport = match uri.parameter(b"transport") {
            None | Some(b"") => None,
            Some(_) => Some(transport_of(uri).ok_or(Reject::server_error("Unknown Transport"))?),
        };
        let target = Target { name, port: uri.port, transport, secure: uri.secure, searched: false };
        match self.located(turn.now, &target, turn.out) {
            Located::Waiting => Ok(Named::Waits(target)),
            Located::Found(choices) => {
                let order = in_order(&choices, &mut Chance::seeded(branch.0));
                // The next place gets it if one refused lately (RFC 3263 §4.3): when it is repeated, by its sender or by us.
                let refuses = |address| self.shared.names.refuses(turn.now, address);
                let chosen = order.iter().find(|(_, address)| !refuses(*address)).or(order.first());
                chosen.map(|(transport, address)| Named::At(*transport, *address)).ok_or(Reject::not_found())
            }
            Located::Nowhere(why) => Err(match why {
                Why::NoRecord | Why::NotOffered => Reject::not_found(),
                Why::NoTransport => Reject::server_error("No Listener For That Transport And Address Family"),
                // Not 503: to its receiver that would mean that we are overloaded (RFC 3261 §21.5.4).
                Why::Failed(_) => Reject::with_status(480),
            }),
        }
    }

    fn located(&self, now: Time, target: &Target, out: &mut Outbox) -> Located {
        let mut cache = self.shared.names.cache();
        let located = locate(target, &self.shared.reach, &mut |question| cache.see(now, question));
        out.asks.extend(cache.take_wanted().into_iter().map(Ask::LookUp));
        located
    }
}
