//! Where a request goes (RFC 3261 §16.3 to §16.6, §16.11; SPEC A1, A5, A6, A9, C2): its validation, its direction, the
//! server of its call, and its way out.

use std::net::SocketAddr;
use std::ops::Range;

use base::Time;
use heartbeat::notice::What;
use sip::{Flow, Message, Method, Reject, Target, Transport};
use turn::Outgoing;

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::memory::expiring::Remembered;
use crate::memory::large_invites::WentBy;
use crate::memory::mark::Mark;
use crate::outbox::Outbox;
use crate::selection::known::known;
use crate::settings::Affinity;
use crate::signed::branch::BranchKey;
use crate::signed::hop::{Asked, Hop};
use crate::signed::stamp::Stamp;
use crate::signed::tag::{Direction, Tag};
use crate::way::forward::{self, Outfit, Passage};
use crate::way::held::Repeat;
use crate::way::plan::{DATAGRAM_MAX, Holding, Way};
use crate::way::request::Request;
use crate::way::route_set::{Along, RouteSet};
use crate::way::router::Core;
use crate::why::Kind;

impl Core {
    pub(crate) fn request(&mut self, now: Time, message: &Message<'_>, flow: Flow, out: &mut Outbox) {
        if let Err(reject) = self.try_request(now, message, flow, out) {
            self.answer(message, &reject, flow, out);
        }
    }

    fn try_request(
        &mut self,
        now: Time,
        message: &Message<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let good = sip::validate::request(message);
        let request = self.read(now, message, good.as_ref().map_err(|reject| *reject)?);
        let mut set = RouteSet::default();
        set.take(&request, &self.shared.own, &self.shared.keys)?;
        self.add_echoed_tag(&request, &mut set);
        if set.forged {
            self.count(Counter::ForgedTag);
        }
        if flow.connection.is_some() {
            self.note_alias(&request, flow, out);
        }
        let branch = request.branch(&self.shared.keys);
        let copy_at = match self.copy(now, &request, branch, flow, out) {
            Repeat::Done => return Ok(()),
            Repeat::At(server) => Some(server),
            Repeat::No if self.acknowledges_us(&request, branch) => {
                self.count(Counter::OwnAck);
                return Ok(());
            }
            Repeat::No => None,
        };
        let direction = match set.along {
            Along::Nothing => self.direction(&request, &set, flow),
            _ if self.is_along_flow(&set, flow)? => Direction::ToClient,
            _ => self.direction(&request, &set, flow),
        };
        if direction == Direction::ToServer {
            self.note_proof(now, &request, &set, branch, flow);
        }
        let way = match direction {
            Direction::ToServer if request.method == Method::Register => {
                return self.register(now, &request, &set, branch, flow, out);
            }
            Direction::ToServer => {
                let (server, of_call) = match copy_at {
                    Some(server) => (server, self.is_of_call(now, &request, set.tag.as_ref())),
                    None => match self.server_named(now, &request, &set, out) {
                        Some(server) => server?,
                        None => self.server_for(now, &request, set.tag.as_ref(), flow, out)?,
                    },
                };
                if self.shared.calls.counts_transactions()
                    && let Some(to) = self.snapshot.by_id(server)
                {
                    self.shared.calls.transaction_begun(now, branch, to, request.method);
                }
                Way { of_call, ..self.way_to_server(server, &request, flow)? }
            }
            Direction::ToClient => self.way_to_client(now, &request, &set, flow, out)?,
        };
        self.send(now, &request, &set, branch, &way, Holding::AsSet, flow, out)
    }

    /// A tag says it. Without one, a request is for the farm, unless a server sends it to somebody else.
    fn direction(&self, request: &Request<'_>, set: &RouteSet<'_>, flow: Flow) -> Direction {
        if let Some(tag) = &set.tag {
            let direction = tag.direction(&self.shared.keys, request.from_tag);
            if direction == Direction::ToServer {
                return direction;
            }
            // A tag lets its bearer reach the server of its own call. To reach a client through us one must be a server:
            // or whoever holds a call could have us send to any address. Anyone else's request goes to the tag's server: if
            // that is a proxy without Record-Route, the callee knows only our entry, and the proxy forwards its BYE.
            if self.sends_to_clients(flow) {
                return direction;
            }
            self.count(Counter::NotAServer);
            return Direction::ToServer;
        }
        if set.request_uri_ours || !self.snapshot.is_server_ip(flow.remote.ip()) {
            return Direction::ToServer;
        }
        let from_server = self.server_that_sent(request, flow).is_some();
        if from_server { Direction::ToClient } else { Direction::ToServer }
    }

    /// The server that a request comes from: by the address it was sent from, or, on a connection that the server
    /// opened, by the address in its Via.
    pub(crate) fn server_that_sent(&self, request: &Request<'_>, flow: Flow) -> Option<&Server> {
        let by_source = self.snapshot.by_address(flow.remote);
        by_source.or_else(|| {
            let port = request.via.port.unwrap_or(if flow.transport == Transport::Tls { 5061 } else { 5060 });
            let named = match request.via.host {
                sip::Host::Ip(ip) => SocketAddr::new(ip, port),
                sip::Host::Name(_) => return None,
            };
            self.snapshot.by_address(named).filter(|server| server.address.ip() == flow.remote.ip())
        })
    }

    /// The server of the request's call; chosen if the call is new. And whether it is of that call by its tags, too.
    fn server_for(
        &mut self,
        now: Time,
        request: &Request<'_>,
        tag: Option<&Tag>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(ServerId, bool), Reject> {
        let shared = &*self.shared;
        let tagged = tag.map(|tag| tag.server);
        // Only a request that may be the first of its call is remembered. ACK and CANCEL follow one.
        let may_be_new = request.first && !matches!(request.method, Method::Ack | Method::Cancel);
        if shared.settings.affinity == Affinity::Tag
            && let Some(server) = tagged
        {
            let of_call = self.is_of_call(now, request, tag);
            return Ok((self.present(now, server, request, flow, out)?, of_call));
        }
        if !may_be_new {
            let known = shared.calls.of_dialog(now, request.call);
            let mark = known.and_then(|entry| Mark::in_flags(entry.flags));
            let of_call = fits(mark, request, tag);
            let server = match (known, shared.settings.affinity) {
                (Some(entry), _) => {
                    return Ok((self.present_or_tried(now, entry, request, flow, out)?, of_call));
                }
                (None, Affinity::Session | Affinity::Tag) => match tagged {
                    Some(server) => {
                        shared.calls.adopt(now, request.call, server);
                        server
                    }
                    None => self.by_hash_of_unknown(request)?,
                },
                (None, Affinity::Hash) => match tag.filter(|tag| tag.placed) {
                    Some(tag) => tag.server,
                    None => self.by_hash_of_unknown(request)?,
                },
            };
            return Ok((self.present(now, server, request, flow, out)?, of_call));
        }
        let (emergency, call) = (request.uri.is_emergency(), request.call.0);
        let remembered = shared.calls.server_or(now, request.call, request.from_tag, || {
            let mut candidates = shared.selector.candidates(&self.snapshot, call, &mut self.chance);
            let chosen = if shared.closing && !emergency { None } else { candidates.next() };
            // Full or draining is no reason to turn a call for help away (RFC 5031): whoever lives gets it.
            let anyone = || known(&self.snapshot, shared.settings.hash_kind(), call).filter(|_| emergency);
            chosen.or_else(anyone).map(|server| (server.id, server.awaits_answer()))
        });
        let (server, kind) = match remembered {
            Remembered::New { entry, .. } => {
                self.count(Counter::NewCall);
                (ServerId(entry.server), Kind::Selected)
            }
            Remembered::Known(entry) => {
                self.count(Counter::Remembered);
                let of_call = fits(Mark::in_flags(entry.flags), request, tag);
                let server = self.present_or_tried(now, entry, request, flow, out)?;
                return Ok((server, of_call));
            }
            Remembered::Full | Remembered::Declined if shared.closing && !emergency => {
                self.count(Counter::Closing);
                return Err(Reject::no_server(shared.settings.retry_after));
            }
            Remembered::Full => {
                self.count(Counter::MemoryFull);
                (self.by_hash_of_new(request)?, Kind::Hashed)
            }
            Remembered::Declined => {
                self.count(Counter::NoServer);
                self.note_choice(now, request, Kind::Refused, None, None);
                return Err(Reject::no_server(shared.settings.retry_after));
            }
        };
        self.note_choice(now, request, kind, Some(server), None);
        self.tell(request.call, server, What::Begun, out);
        if let Some(chosen) = self.snapshot.by_id(server) {
            self.shared.selector.admit(chosen);
            if request.method == Method::Invite {
                self.shared.calls.begun(now, request.call, chosen);
            }
        }
        Ok((server, true))
    }

    /// Whether a request is of the call that has its Call-ID, by its tags. Looked up only where something is kept of answered calls.
    pub(crate) fn is_of_call(&self, now: Time, request: &Request<'_>, tag: Option<&Tag>) -> bool {
        // No other request within a dialog ends anything.
        let may_end = request.method == Method::Bye || request.method == Method::Invite && request.first;
        if !may_end || !self.shared.calls.keeps_anything() {
            return true;
        }
        fits(self.shared.calls.mark(now, request.call), request, tag)
    }

    fn way_to_server(&self, id: ServerId, request: &Request<'_>, flow: Flow) -> Result<Way, Reject> {
        let Some(server) = self.snapshot.by_id(id) else {
            return Err(Reject::no_server(self.shared.settings.retry_after));
        };
        self.note_sent(server, request.method);
        self.way_to(server, flow.listener)
    }

    pub(crate) fn way_to(&self, server: &Server, came_by: u8) -> Result<Way, Reject> {
        let (leaves_by, target) = self.out_to(came_by, server.transport, server.address)?;
        let direction = Direction::ToServer;
        Ok(Way { target, leaves_by, server: server.id, direction, of_call: true, keeps_flow: false })
    }

    /// An ACK asks for no answer, so its silence says nothing.
    pub(crate) fn note_sent(&self, server: &Server, method: Method) {
        if method != Method::Ack {
            self.shared.tables.evidence.sent(self.worker, server.seat.slot);
        }
    }

    pub(crate) fn out_to(
        &self,
        came_by: u8,
        transport: Transport,
        to: SocketAddr,
    ) -> Result<(u8, Target), Reject> {
        let Some(listener) = self.shared.own.outgoing(came_by, transport, to.ip()) else {
            self.count(Counter::NoListener);
            return Err(Reject::server_error("No Listener For That Transport And Address Family"));
        };
        Ok(match transport {
            Transport::Udp => (listener, Target::Datagram { listener, to }),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                self.stream_to(listener, transport, to)
            }
        })
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn send(
        &mut self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        branch: BranchKey,
        way: &Way,
        holding: Holding,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let tag = forward::may_begin_dialog(request).then(|| self.tag_for(request, set, way, flow));
        let (is_held, since) = match holding {
            Holding::AsSet => (false, now),
            Holding::Held { since } => (true, since),
        };
        let held = is_held || self.hold(now, request, branch, way, flow);
        let hop = Hop {
            listener: flow.listener,
            to: self.way_back(Some(request.via), flow),
            connection: flow.connection,
            server: way.server,
            call: request.call,
            asked: match request.method {
                // A stranger who knows the Call-ID: what it gets for an answer says nothing of the call.
                Method::Invite | Method::Bye if !way.of_call => Asked::Other,
                Method::Invite => Asked::Invite,
                // A tag says who began the call; without one most are begun by clients.
                Method::Bye if set.tag.is_some_and(|tag| tag.first() == Direction::ToClient) => {
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
            sent: Stamp::new(since, self.shared.clock_began_us),
        };
        let outfit = Outfit { branch, hop, tag };
        let bytes = self.write(request, set, &outfit, way.leaves_by, flow, out)?;
        let length = (bytes.end - bytes.start) as usize;
        let send = Outgoing { bytes, to: way.target, fallback: None, call: request.call.0 };
        match way.target {
            Target::Datagram { .. } if length > DATAGRAM_MAX && way.keeps_flow => {
                out.bytes.truncate(send.bytes.start as usize);
                return Err(Reject::message_too_large());
            }
            Target::Datagram { to, .. }
                if !way.keeps_flow
                    && (length > self.shared.settings.datagram_bytes_max.min(DATAGRAM_MAX)
                        || self.follows_a_stream(now, request.method, branch, to)) =>
            {
                self.send_large(now, request, set, &outfit, to, send, flow, out)?;
            }
            Target::Connection { .. } if way.direction == Direction::ToClient => {
                out.sends.push(send);
                self.or_flow_failed(request, flow, out);
            }
            _ => out.sends.push(send),
        }
        self.count(match way.direction {
            Direction::ToServer => Counter::RequestToServer,
            Direction::ToClient => Counter::RequestToClient,
        });
        Ok(())
    }

    /// Writes the request with the changes of its route set and those that every forwarded request gets; where it lies.
    fn write(
        &mut self,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        outfit: &Outfit,
        leaves_by: u8,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<Range<u32>, Reject> {
        self.edit_routes(request, set, &outfit.hop);
        let shared = &*self.shared;
        let (Some(came_by), Some(leaves_by)) = (shared.own.get(flow.listener), shared.own.get(leaves_by))
        else {
            self.count(Counter::NoListener);
            return Err(Reject::server_error("No Listener"));
        };
        let tag_header = shared.settings.tag_header;
        let secure = set.is_secure(request);
        let passage = Passage { keys: &shared.keys, outfit, tag_header, secure, came_by, leaves_by };
        forward::edit(request, flow, &passage, &mut self.edits);
        let message = request.message;
        let from = out.bytes.len() as u32;
        self.edits.write_into(message.bytes(), message.end(), &mut out.bytes);
        Ok(from..out.bytes.len() as u32)
    }

    /// RFC 3261 §18.1.1: a request too large for a datagram leaves by a stream, and by UDP all the same if that cannot be
    /// had. What was written for UDP is the fallback. A copy of an INVITE, its CANCEL and its ACK go by what the first went by.
    #[allow(clippy::too_many_arguments)]
    #[cold]
    fn send_large(
        &mut self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        outfit: &Outfit,
        to: SocketAddr,
        send: Outgoing,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let length = (send.bytes.end - send.bytes.start) as usize;
        let bound = self.shared.settings.datagram_bytes_max;
        let shared = self.shared.clone();
        let large = shared.calls.large_invites();
        let is_invite = request.method == Method::Invite;
        let by_datagram = match large.went_by(now, outfit.branch, to) {
            Some(WentBy::Datagram) => true,
            Some(WentBy::Stream) if !is_invite => false,
            _ => length <= bound || self.refuses_streams(now, to),
        };
        if by_datagram {
            if length > DATAGRAM_MAX {
                out.bytes.truncate(send.bytes.start as usize);
                return Err(Reject::message_too_large());
            }
            if is_invite {
                large.note(now, outfit.branch, to, WentBy::Datagram);
            }
            out.sends.push(send);
            return Ok(());
        }
        let Some(listener) = self.shared.own.outgoing(flow.listener, Transport::Tcp, to.ip()) else {
            out.sends.push(send);
            return Ok(());
        };
        let bytes = self.write(request, set, outfit, listener, flow, out)?;
        let fallback = (length <= DATAGRAM_MAX).then_some((send.bytes, send.to));
        if is_invite {
            large.note(now, outfit.branch, to, WentBy::Stream);
        }
        out.sends.push(Outgoing {
            bytes,
            to: Target::Stream { listener, to },
            fallback,
            call: request.call.0,
        });
        Ok(())
    }
}

/// By who began the call, where that is remembered; else a request within a dialog needs a tag of ours, which is bound to the call.
pub(crate) fn fits(mark: Option<Mark>, request: &Request<'_>, tag: Option<&Tag>) -> bool {
    match mark {
        Some(mark) => mark.fits(request.from_tag, request.to_tag),
        None => request.first || tag.is_some(),
    }
}
