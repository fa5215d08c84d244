//! How any request leaves: with its tag and its hop, held or not, in a datagram or, if it is too large for one, by a stream
//! (RFC 3261 §16.6 steps 8 to 10, §18.1.1).

use std::net::SocketAddr;

use sip::{Method, Reject, Target, Transport};
use turn::Outgoing;

use crate::counters::Counter;
use crate::memory::large_invites::WentBy;
use crate::signed::hop::{Asked, Hop};
use crate::signed::stamp::Stamp;
use crate::signed::tag::Direction;
use crate::way::core::Core;
use crate::way::draft::Draft;
use crate::way::forward::{self, Outfit};
use crate::way::held::class;
use crate::way::plan::{DATAGRAM_MAX, Holding, Way};
use crate::way::turn::Turn;

impl Core {
    /// Every forwarded request leaves through here. A request that is sent again has the same bytes.
    pub(crate) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        draft: &mut Draft<'_, '_>,
        way: &Way,
        holding: Holding,
    ) -> Result<(), Reject> {
        let request = draft.request;
        let tag = forward::may_begin_dialog(request).then(|| self.view.tag_for(draft, way, turn.flow));
        let (held, since) = match holding {
            Holding::AsSet => {
                let since = self.hold(turn, draft, way);
                (since.is_some(), since.unwrap_or(turn.now))
            }
            Holding::Held { since } => (true, since),
            Holding::Never => (false, turn.now),
        };
        if held {
            self.unsent.held_is_sent();
        }
        let hop = Hop {
            listener: turn.flow.listener,
            to: self.view.way_back(Some(request.via), turn.flow),
            connection: turn.flow.connection,
            server: way.server,
            call: request.call,
            asked: match request.method {
                // The sender is a stranger who knows the Call-ID: the answer that it gets says nothing of the call.
                Method::Invite | Method::Bye if !way.of_call => Asked::Other,
                Method::Invite => Asked::Invite,
                // A tag says who began the call; most calls without one are begun by clients.
                Method::Bye if draft.set.tag.is_some_and(|tag| tag.first() == Direction::ToClient) => {
                    Asked::ByeOfServersCall
                }
                Method::Bye => Asked::Bye,
                Method::Register => Asked::Register,
                _ => Asked::Other,
            },
            first: request.first,
            held,
            to_client: way.direction == Direction::ToClient,
            probe: false,
            sent: Stamp::new(since, self.view.shared.clock_began_us),
        };
        let outfit = Outfit { branch: draft.branch, hop, tag };
        let left = self.leave(turn, draft, &outfit, way);
        if left.is_err() && held && holding == Holding::AsSet {
            // The sender is told, and nothing more is to be done.
            self.view.shared.held.let_go(draft.branch.0, class(request.method));
        }
        left
    }

    /// Sends the request in a datagram or on a stream.
    fn leave(
        &self,
        turn: &mut Turn<'_>,
        draft: &mut Draft<'_, '_>,
        outfit: &Outfit,
        way: &Way,
    ) -> Result<(), Reject> {
        let (request, call) = (draft.request, draft.request.call.0);
        let bytes = draft.write(&self.view, outfit, way.leaves_by, turn)?;
        let length = bytes.len();
        let mut send = Outgoing { bytes, to: way.target, fallback: None, call };
        if let Target::Datagram { to, .. } = way.target {
            match self.stream_for(turn, draft, way, to, length) {
                // The bytes written for UDP are the fallback if there is no stream.
                Some(listener) => {
                    let fallback = (length <= DATAGRAM_MAX).then_some((send.bytes, send.to));
                    let bytes = draft.write(&self.view, outfit, listener, turn)?;
                    send = Outgoing { bytes, to: Target::Stream { listener, to }, fallback, call };
                }
                None if length > DATAGRAM_MAX => {
                    turn.out.bytes.truncate(send.bytes.start as usize);
                    return Err(Reject::message_too_large());
                }
                None => {}
            }
        }
        turn.out.sends.push(send);
        if matches!(way.target, Target::Connection { .. }) && way.direction == Direction::ToClient {
            self.view.or_flow_failed(turn, request);
        }
        self.view.count(match way.direction {
            Direction::ToServer => Counter::RequestToServer,
            Direction::ToClient => Counter::RequestToClient,
        });
        Ok(())
    }

    /// The listener of the stream that a request for UDP leaves by, because the request is too large for a datagram or
    /// follows an INVITE that was.
    fn stream_for(
        &self,
        turn: &Turn<'_>,
        draft: &Draft<'_, '_>,
        way: &Way,
        to: SocketAddr,
        length: usize,
    ) -> Option<u8> {
        let shared = &*self.view.shared;
        let is_large = length > shared.settings.datagram_bytes_max.min(DATAGRAM_MAX);
        let large_invites = shared.calls.large_invites();
        let follows = || large_invites.follows_a_stream(turn.now, draft.request.method, draft.branch, to);
        let may_leave = !way.keeps_flow && (is_large || follows());
        if !may_leave || !self.goes_by_stream(turn, draft, to, is_large) {
            return None;
        }
        let listener = shared.own.outgoing(turn.flow.listener, Transport::Tcp, to.ip())?;
        if draft.request.method == Method::Invite {
            large_invites.note(turn.now, draft.branch, to, WentBy::Stream);
        }
        Some(listener)
    }

    /// A copy of an INVITE, its CANCEL and its ACK go by the same transport as the first.
    #[cold]
    fn goes_by_stream(&self, turn: &Turn<'_>, draft: &Draft<'_, '_>, to: SocketAddr, is_large: bool) -> bool {
        let large_invites = self.view.shared.calls.large_invites();
        let is_invite = draft.request.method == Method::Invite;
        let by_stream = match large_invites.went_by(turn.now, draft.branch, to) {
            Some(WentBy::Datagram) => false,
            Some(WentBy::Stream) if !is_invite => true,
            _ => is_large && !self.unsent.refuses_streams(turn.now, to),
        };
        if !by_stream && is_invite {
            large_invites.note(turn.now, draft.branch, to, WentBy::Datagram);
        }
        by_stream
    }
}
