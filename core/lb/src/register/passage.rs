//! How a REGISTER is written on its way to one server.

use base::Time;
use sip::{Flow, Reject, Target, Transport};
use std::ops::Range;
use turn::Outgoing;

use crate::counters::Counter;
use crate::farm::server::Server;
use crate::outbox::Outbox;
use crate::signed::branch::BranchKey;
use crate::signed::hop::{Asked, Hop};
use crate::signed::stamp::Stamp;
use crate::signed::tag::Direction;
use crate::way::forward::{self, Outfit, Passage};
use crate::way::plan::{DATAGRAM_MAX, Way};
use crate::way::request::Request;
use crate::way::route_set::RouteSet;
use crate::way::router::Core;

/// What is said of a REGISTER besides its server.
pub(super) struct Register<'a> {
    pub(super) branch: BranchKey,
    /// When it came: what is sent again is the same, and its answer is timed from then.
    pub(super) since: Time,
    /// It is kept, and its response with it.
    pub(super) held: bool,
    /// Fields that this server does not get.
    pub(super) without: &'a [Range<u32>],
}

impl Core {
    /// The same bytes each time. One too large for a datagram leaves by a stream, or by UDP all the same if that cannot be had
    /// (RFC 3261 §18.1.1).
    pub(super) fn send_register(
        &mut self,
        now: Time,
        request: &Request<'_>,
        to: &Server,
        register: &Register<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let shared = self.shared.clone();
        if shared.calls.counts_transactions() {
            shared.calls.transaction_begun(now, register.branch, to, request.method);
        }
        self.note_sent(to, request.method);
        let way = self.way_to(to, flow.listener)?;
        let from = self.write_register(request, &way, register, flow, out)?;
        let bytes = from..out.bytes.len() as u32;
        let mut send = Outgoing { bytes, to: way.target, fallback: None, call: 0 };
        let length = send.bytes.len();
        if let Target::Datagram { to: address, .. } = way.target {
            let by_stream = shared
                .own
                .outgoing(flow.listener, Transport::Tcp, address.ip())
                .filter(|_| length > shared.settings.datagram_bytes_max)
                .filter(|_| !self.refuses_streams(now, address));
            match by_stream {
                Some(listener) => {
                    let target = Target::Stream { listener, to: address };
                    let way = Way { target, leaves_by: listener, ..way };
                    let from = self.write_register(request, &way, register, flow, out)?;
                    let fallback = (length <= DATAGRAM_MAX).then_some((send.bytes, send.to));
                    send = Outgoing { bytes: from..out.bytes.len() as u32, to: target, fallback, call: 0 };
                }
                None if length > DATAGRAM_MAX => {
                    out.bytes.truncate(send.bytes.start as usize);
                    return Err(Reject::message_too_large());
                }
                None => {}
            }
        }
        out.sends.push(send);
        self.count(Counter::RequestToServer);
        Ok(())
    }

    /// Appends it to the outbox; where it begins.
    fn write_register(
        &mut self,
        request: &Request<'_>,
        way: &Way,
        register: &Register<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<u32, Reject> {
        let shared = self.shared.clone();
        let (Some(came_by), Some(leaves_by)) = (shared.own.get(flow.listener), shared.own.get(way.leaves_by))
        else {
            self.count(Counter::NoListener);
            return Err(Reject::server_error("No Listener"));
        };
        let hop = Hop {
            listener: flow.listener,
            to: self.way_back(Some(request.via), flow),
            connection: flow.connection,
            server: way.server,
            call: request.call,
            asked: Asked::Register,
            first: request.first,
            held: register.held,
            to_client: way.direction == Direction::ToClient,
            probe: false,
            sent: Stamp::new(register.since, shared.clock_began_us),
        };
        let outfit = Outfit { branch: register.branch, hop, tag: None };
        let mut set = RouteSet::default();
        set.take(request, &shared.own, &shared.keys)?;
        let secure = set.is_secure(request);
        let (keys, tag_header) = (&shared.keys, false);
        let passage = Passage { keys, outfit: &outfit, tag_header, secure, came_by, leaves_by };
        self.edits.clear();
        set.write(request, &mut self.edits);
        forward::edit(request, flow, &passage, &mut self.edits);
        let message = request.message;
        let mut path = Vec::new();
        self.write_path(message, flow, leaves_by.entry(secure), &mut path);
        self.edits.insert(message.headers_start(), |text| text.extend_from_slice(&path));
        for field in register.without {
            self.edits.delete(field.clone());
        }
        let from = out.bytes.len() as u32;
        self.edits.write_into(request.message.bytes(), request.message.end(), &mut out.bytes);
        Ok(from)
    }
}
