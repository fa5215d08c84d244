//! What was decided about a request before it is written.

use base::Time;
use sip::Target;

use crate::farm::server::ServerId;
use crate::signed::tag::Direction;

/// Largest datagram that UDP over IPv4 carries.
pub(crate) const DATAGRAM_MAX: usize = 65_507;

/// What was decided about a request.
pub(crate) struct Way {
    pub target: Target,
    /// The listener it leaves by.
    pub leaves_by: u8,
    /// The server it goes to or comes from.
    pub server: ServerId,
    pub direction: Direction,
    /// Its tags are those of the call that has its Call-ID, as far as that is known: what is answered may end what is kept of
    /// the call.
    pub of_call: bool,
    /// It goes along a flow that the client opened, and no other way, however large it is.
    pub keeps_flow: bool,
}

/// Whether a request is held on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holding {
    /// It has just come: it is held if that is wanted.
    AsSet,
    /// It is held, and sent again; when it was sent first, so that it is the same bytes and its answer is timed from then.
    Held { since: Time },
}
