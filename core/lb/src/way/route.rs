//! Where a request goes (RFC 3261 §16.3 to §16.6, §16.11; SPEC A1, A5, A6, A9, C2): its validation, its direction, the server
//! of its call, and its target.

use std::net::SocketAddr;

use sip::headers::address;
use sip::{Edits, Flow, Host, Message, Method, Name, Reject, SIP_PORT, SIPS_PORT, Transport, Uri};

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::signed::tag::Direction;
use crate::way::alias;
use crate::way::core::Core;
use crate::way::draft::Draft;
use crate::way::held::Repeat;
use crate::way::own_answer;
use crate::way::plan::{Holding, Way};
use crate::way::request::Request;
use crate::way::route_set::{Along, RouteSet};
use crate::way::route_to_client::ToClient;
use crate::way::turn::Turn;
use crate::way::view::View;

impl Core {
    pub(crate) fn request(&mut self, turn: &mut Turn<'_>, message: &Message<'_>, edits: &mut Edits) {
        if let Err(reject) = self.try_request(turn, message, edits) {
            self.answer(turn, message, &reject);
        }
    }

    fn try_request(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        edits: &mut Edits,
    ) -> Result<(), Reject> {
        let good = sip::validate::request_with(message, &self.view.shared.settings.proxy_require);
        let request = self.view.read(turn.now, message, good.as_ref().map_err(|reject| *reject)?);
        let mut draft = Draft::new(&request, request.branch(&self.view.shared.keys), edits);
        draft.read_routes(&self.view)?;
        if draft.set.forged {
            self.view.count(Counter::ForgedTag);
        }
        if turn.flow.connection.is_some() {
            alias::note(&self.view, turn, &request);
        }
        let copy_at = match self.copy(turn, &draft) {
            Repeat::Done => return Ok(()),
            Repeat::At(server) => Some(server),
            Repeat::No if own_answer::is_acknowledged(&request, draft.branch, &self.view.shared.keys) => {
                self.view.count(Counter::OwnAck);
                return Ok(());
            }
            Repeat::No => None,
        };
        if self.view.is_asked_itself(&draft) {
            self.view.answer_for_itself(turn, message);
            return Ok(());
        }
        let way = match self.view.direction(&draft, turn.flow)? {
            Direction::ToServer => {
                self.view.note_proof(turn, &draft);
                if request.method == Method::Register {
                    return self.register(turn, &mut draft);
                }
                let tag = draft.set.tag.as_ref();
                let (server, of_call) = match copy_at {
                    Some(server) => (server, self.view.is_of_call(turn.now, &request, tag)),
                    None => {
                        let named = self.view.server_named(turn, &draft);
                        match named.or_else(|| self.view.server_it_belongs_to(turn, &draft)) {
                            Some(server) => server?,
                            None => self.view.server_for(turn, &request, tag, &mut self.chance)?,
                        }
                    }
                };
                Way { of_call, ..self.view.way_to_server(server, turn, &draft)? }
            }
            Direction::ToClient => match self.view.way_to_client(turn, &draft)? {
                ToClient::Way(way) => way,
                ToClient::Waits(target) => return self.wait_for_name(turn, &draft, target),
            },
        };
        self.send(turn, &mut draft, &way, Holding::AsSet)
    }
}

impl View {
    /// Whether a request is for the farm or for a client that a server of the farm calls.
    fn direction(&self, draft: &Draft<'_, '_>, flow: Flow) -> Result<Direction, Reject> {
        match draft.set.along {
            Along::Nothing => {}
            _ if self.is_along_flow(&draft.set, flow)? => return Ok(Direction::ToClient),
            _ => {}
        }
        Ok(self.direction_by_tag(draft.request, &draft.set, flow))
    }

    /// The tag says the direction. A request without a tag is for the farm, unless a server sends it to somebody else.
    fn direction_by_tag(&self, request: &Request<'_>, set: &RouteSet<'_>, flow: Flow) -> Direction {
        if let Some(tag) = &set.tag {
            let direction = tag.direction(&self.shared.keys, request.from_tag);
            if direction == Direction::ToServer {
                return direction;
            }
            // The sender of a tag reaches the server of its own call. Only a server may reach a client through us: otherwise
            // anyone with a call could have us send to any address. Anyone else's request goes to the tag's server: if that
            // is a proxy without Record-Route, the callee knows only our entry, and the proxy forwards its BYE.
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

    /// The server that a request comes from: by the source address; or, on a connection that the server opened, by the
    /// address in its Via or in its Contact. In the Contact, pjsip gives the address where it listens; in the Via, the port
    /// of that connection.
    pub(crate) fn server_that_sent(&self, request: &Request<'_>, flow: Flow) -> Option<&Server> {
        let named = |host, port: Option<u16>| match host {
            Host::Ip(ip) if ip == flow.remote.ip() => {
                let port =
                    port.unwrap_or(if flow.transport == Transport::Tls { SIPS_PORT } else { SIP_PORT });
                self.snapshot.by_address(SocketAddr::new(ip, port))
            }
            Host::Ip(_) | Host::Name(_) => None,
        };
        let by_contact = || {
            flow.connection?;
            let contact = address::parse(request.message.first_value(Name::Contact)?).ok()?;
            let uri = Uri::parse(contact.uri).ok()?;
            named(uri.host, uri.port)
        };
        let by_source = self.snapshot.by_address(flow.remote);
        by_source.or_else(|| named(request.via.host, request.via.port)).or_else(by_contact)
    }

    fn way_to_server(&self, id: ServerId, turn: &Turn<'_>, draft: &Draft<'_, '_>) -> Result<Way, Reject> {
        let Some(server) = self.snapshot.by_id(id) else {
            return Err(Reject::no_server(self.shared.settings.retry_after));
        };
        self.note_begun(turn.now, draft, server);
        self.way_to(server, turn.flow.listener)
    }

    /// A request is about to go to this server.
    pub(crate) fn note_begun(&self, now: base::Time, draft: &Draft<'_, '_>, to: &Server) {
        let method = draft.request.method;
        if self.shared.calls.counts_transactions() {
            self.shared.calls.transaction_begun(now, draft.branch, to, method);
        }
        self.note_sent(to, method);
    }
}
