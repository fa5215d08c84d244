//! The decision about a request before it is written: where it goes, and by which of our listeners.

use std::net::SocketAddr;

use base::Time;
use sip::{ConnectionId, Reject, Target, Transport};

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::signed::tag::Direction;
use crate::way::view::View;

/// Largest datagram that UDP over IPv4 carries.
pub(crate) const DATAGRAM_MAX: usize = 65_507;

/// The decision about a request.
pub(crate) struct Way {
    pub target: Target,
    /// The listener that the request leaves by.
    pub leaves_by: u8,
    /// The server that the request goes to or comes from.
    pub server: ServerId,
    pub direction: Direction,
    /// The request has the tags of the call that has its Call-ID, as far as these are known: its answer may end what is
    /// remembered of the call.
    pub of_call: bool,
    /// The request goes along a flow that the client opened, and no other way, however large it is.
    pub keeps_flow: bool,
}

/// Whether a request is held on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It has just come: it is held if it needs holding.
    AsSet,
    /// It is held, and so is its response. `since`: when it was first sent, so that the bytes stay the same and the answer is
    /// timed from then.
    Held { since: Time },
    /// It is not to be held.
    Never,
}

impl View {
    pub(crate) fn way_to(&self, server: &Server, came_by: u8) -> Result<Way, Reject> {
        let (leaves_by, target) = self.out_to(came_by, server.transport, server.address)?;
        let direction = Direction::ToServer;
        Ok(Way { target, leaves_by, server: server.id, direction, of_call: true, keeps_flow: false })
    }

    /// The listener that reaches an address by a transport, and the target.
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
                self.shared.aliases.stream_to(listener, transport, to)
            }
        })
    }
}

/// A target on this connection only; if it is gone, 430 goes back ([`View::or_flow_failed`]).
pub(crate) fn flow_or_nothing(listener: u8, id: ConnectionId) -> Target {
    Target::Connection { listener, id, to: SocketAddr::from(([0, 0, 0, 0], 0)), or_connect: false }
}
