//! Path (RFC 3327): our entry in a REGISTER, and where a request goes that has the entry as a Route to the telephone.

use sip::{Flow, Message, Name, Reject, Target};

use super::settings::InsertPath;
use crate::connections::keep_alive;
use crate::counters::Counter;
use crate::shared::Shared;
use crate::signed::flow_token::{self, FlowToken, Reach};
use crate::signed::tag::{PARAMETER as TAG, PeerConnection};
use crate::way::plan::flow_or_nothing;
use crate::way::request::Request;
use crate::way::route_set::{Along, RouteSet};
use crate::way::view::View;

/// Appends our Path entry for the telephone that `flow` leads to, if the telephone gets one. `entry`: our Record-Route
/// text for the listener that the registrar knows us by.
pub(crate) fn write(shared: &Shared, message: &Message<'_>, flow: Flow, entry: &[u8], text: &mut Vec<u8>) {
    let wanted = is_wanted(shared.settings.register.path, message);
    // The Record-Route entry up to its tag is our URI.
    let uri = entry.strip_suffix(b"=").and_then(|uri| uri.strip_suffix(TAG));
    let Some(uri) = uri.filter(|_| wanted) else { return };
    text.extend_from_slice(b"Path: ");
    text.extend_from_slice(uri);
    text.extend_from_slice(flow_token::PARAMETER);
    text.push(b'=');
    FlowToken::of(flow, shared.run).write(&shared.keys, text);
    // RFC 5626 §5.1: the first hop says that it keeps the flow of a telephone that asks for it.
    if asks_first_hop(message) {
        text.extend_from_slice(b";ob");
    }
    text.extend_from_slice(b">\r\n");
}

impl View {
    /// A request with a Path entry in front. From a server: it goes to the telephone, along the flow or not at all (RFC 5626
    /// §5.3.1). False: it is from the telephone itself, which took our entry for an outbound proxy, and goes to the farm.
    pub(crate) fn is_along_flow(&self, set: &RouteSet<'_>, flow: Flow) -> Result<bool, Reject> {
        let Along::Flow(token) = set.along else {
            self.count(Counter::ForgedFlow);
            return Err(Reject::forbidden("Bad Flow Token"));
        };
        if token == FlowToken::of(flow, self.shared.run) {
            return Ok(false);
        }
        // As for a tag: a stranger who learns a token must not have us send to somebody else's telephone.
        if !self.sends_to_clients(flow) {
            self.count(Counter::NotAServer);
            return Err(Reject::forbidden("Not A Server Of This Farm"));
        }
        Ok(true)
    }

    /// Listener and target along the flow of a Path entry.
    pub(crate) fn along(&self, request: &Request<'_>, token: &FlowToken) -> Result<(u8, Target), Reject> {
        match token.reach {
            Reach::Datagram(to) => Ok((token.listener, Target::Datagram { listener: token.listener, to })),
            Reach::Connection { run, id } if run == self.shared.run => {
                let written = PeerConnection { listener: token.listener, id };
                let PeerConnection { listener, id } = self.connection_along(request, written);
                Ok((listener, flow_or_nothing(listener, id)))
            }
            Reach::Connection { .. } => {
                self.count(Counter::FlowFailed);
                Err(Reject::flow_failed())
            }
        }
    }
}

/// Whether this REGISTER gets a Path entry of ours.
pub(crate) fn is_wanted(when: InsertPath, message: &Message<'_>) -> bool {
    match when {
        InsertPath::Never => false,
        InsertPath::Always => true,
        // RFC 3327 §5.1: a registrar may refuse a Path of a telephone that does not support Path. A telephone with `outbound`
        // supports it (RFC 5626 §4.2.1), and its first hop must add a Path (§5.1).
        InsertPath::Supported => supports(message, b"path") || asks_first_hop(message),
    }
}

/// A telephone with `outbound`, and no proxy between.
fn asks_first_hop(message: &Message<'_>) -> bool {
    keep_alive::has_vias(message, 1) && supports(message, b"outbound")
}

/// An option tag in Supported or Require.
fn supports(message: &Message<'_>, option: &[u8]) -> bool {
    keep_alive::names(message, &[Name::Supported, Name::Require], option)
}
