//! Looks for messages which show that calls go past the load manager ([`crate::past_us`]). Nothing is refused for it, and nothing is
//! said on suspicion.

use std::net::SocketAddr;

use sip::text::holds;
use sip::{Flow, Host, Transport};

use crate::farm::server::{Server, ServerId};
use crate::outbox::Event;
use crate::past_us::Cause;
use crate::register::path;
use crate::register::settings::InsertPath;
use crate::settings::Affinity;
use crate::signed::branch::branch_key;
use crate::signed::hop::Asked;
use crate::signed::tag;
use crate::way::draft::Draft;
use crate::way::own_via::Response;
use crate::way::tagging::{contact, is_first_hop};
use crate::way::turn::Turn;
use crate::way::view::View;

impl View {
    /// A REGISTER goes on; perhaps without a Path entry of ours.
    pub(crate) fn note_without_path(&self, draft: &Draft<'_, '_>, flow: Flow) {
        let (past_us, request, when) =
            (&self.shared.past_us, draft.request, self.shared.settings.register.path);
        // With `never`, somebody has decided that there is no Path.
        if past_us.is_said(Cause::NoPath)
            || when != InsertPath::Supported
            || path::is_wanted(when, request.message)
            || flow.transport != Transport::Udp
            || self.sends_to_clients(flow)
        {
            return;
        }
        let is_hidden =
            |host| matches!(host, Host::Ip(ip) if ip.to_canonical() != flow.remote.ip().to_canonical());
        if is_first_hop(request) && contact(request).is_some_and(|contact| is_hidden(contact.host)) {
            past_us.asked(draft.branch);
        }
    }

    /// A response of a server to a client: `bytes` is all of it.
    pub(crate) fn look_past(&self, turn: &mut Turn<'_>, response: &Response<'_>, bytes: &[u8]) {
        let (hop, past_us) = (response.hop, &self.shared.past_us);
        if !(200..300).contains(&response.status) || hop.to_client {
            return;
        }
        let cause = match hop.asked {
            // With `session`, servers may lose our entry.
            Asked::Invite
                if hop.first
                    && self.shared.settings.affinity != Affinity::Session
                    && !past_us.is_said(Cause::NoRecordRoute)
                    && !holds(bytes, tag::PARAMETER) =>
            {
                Cause::NoRecordRoute
            }
            Asked::Register
                if !past_us.is_said(Cause::NoPath)
                    && branch_key(response.branch).is_some_and(|branch| past_us.was_asked(branch)) =>
            {
                Cause::NoPath
            }
            _ => return,
        };
        self.say(turn, cause, hop.to, hop.server);
    }

    /// A client's request within a dialog that is not known here names this server, and has no tag of ours.
    pub(crate) fn note_unknown_dialog(&self, turn: &mut Turn<'_>, draft: &Draft<'_, '_>, server: &Server) {
        if !draft.set.forged && !self.sends_to_clients(turn.flow) {
            self.say(turn, Cause::NoRoute, turn.flow.remote, server.id);
        }
    }

    fn say(&self, turn: &mut Turn<'_>, cause: Cause, client: SocketAddr, server: ServerId) {
        if self.shared.past_us.may_say(cause) {
            let server = self.snapshot.by_id(server).map(|server| server.address);
            turn.out.events.push(Event::PastUs { cause, client, server });
        }
    }
}
