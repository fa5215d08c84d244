//! Messages that could not be sent: which server that counts against, which held requests are sent again, and which peers are
//! not asked over a stream for a while.

use base::Time;
use sip::Target;

use crate::connections::refusing::Refusing;
use crate::counters::Counter;
use crate::farm::server::ServerId;
use crate::hold::Alarms;
use crate::way::returned;
use crate::way::view::View;

/// What one worker keeps of messages that could not be sent.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    refusing: Refusing,
    /// The time and the server of the last search for held requests: one search finds all that were sent before it.
    looked: Option<(Time, ServerId)>,
}

impl Unsent {
    /// A held request is sent, perhaps after a search at this very moment.
    pub(crate) fn held_is_sent(&mut self) {
        self.looked = None;
    }

    pub(crate) fn send_failed(&mut self, now: Time, to: Target, view: &View, alarms: &mut Alarms) {
        view.count(Counter::SendFailed);
        if let Target::Connection { to, or_connect: false, .. } = to
            && to.ip().is_unspecified()
        {
            return view.count(Counter::FlowFailed);
        }
        let (address, stream) = match to {
            Target::Datagram { to, .. } => (to, false),
            Target::Connection { to, .. } | Target::Stream { to, .. } => (to, true),
        };
        if let Some(server) = view.snapshot.by_address(address) {
            if stream == server.transport.is_reliable() {
                let (evidence, slot) = (&view.shared.tables.evidence, server.seat.slot);
                if stream {
                    evidence.unreachable(view.worker, slot);
                    self.send_again_later(now, server.id, view, alarms);
                } else {
                    evidence.returned(view.worker, slot);
                }
            } else if stream {
                // A UDP server that takes no streams is not ill.
                self.refusing.note(now, address);
            }
        } else if stream {
            view.shared.names.refused(now, address);
            self.refusing.note(now, address);
        }
    }

    /// A datagram came back. It counts against a server only if it quotes a request of ours.
    pub(crate) fn returned(
        &mut self,
        now: Time,
        to: Target,
        quoted: &[u8],
        view: &View,
        alarms: &mut Alarms,
    ) {
        let Target::Datagram { to: address, .. } = to else { return };
        let hop = returned::hop_of_request(quoted, &view.shared.own, &view.shared.keys);
        let to_client = hop.as_ref().is_some_and(|hop| hop.to_client);
        let asked = hop.filter(|hop| !hop.to_client).map(|hop| hop.server);
        match view.snapshot.by_address(address) {
            Some(server) if asked != Some(server.id) => view.count(Counter::ReturnedUnproven),
            Some(_) => self.send_failed(now, to, view, alarms),
            None => {
                if to_client {
                    view.shared.names.refused(now, address);
                }
                self.send_failed(now, to, view, alarms);
            }
        }
    }

    /// Requests held for the server are sent again after a pause, as after a refused connection. The server itself is not
    /// suspected.
    pub(crate) fn no_room(&mut self, now: Time, to: Target, view: &View, alarms: &mut Alarms) {
        view.count(Counter::NoRoom);
        if let Target::Connection { to, .. } | Target::Stream { to, .. } = to
            && let Some(server) = view.snapshot.by_address(to).filter(|server| server.transport.is_reliable())
        {
            self.send_again_later(now, server.id, view, alarms);
        }
    }

    fn send_again_later(&mut self, now: Time, server: ServerId, view: &View, alarms: &mut Alarms) {
        let look = Some((now, server));
        if !view.shared.held.is_empty() && self.looked != look {
            self.looked = look;
            view.shared.held.unsent(now, alarms, server);
        }
    }

    pub(crate) fn refuses_streams(&self, now: Time, to: std::net::SocketAddr) -> bool {
        self.refusing.contains(now, to)
    }
}
