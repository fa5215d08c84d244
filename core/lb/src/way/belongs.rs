//! Requests that begin a call of their own and yet belong to what some server has already: to another call, which they replace or join
//! (RFC 3891, RFC 3911), or to a presentity, whose state and watchers must be at one server (RFC 3856, RFC 3903). That server gets them
//! whatever the selection would say, as if the request had named it.

use base::Time;
use sip::{Method, Name, Reject};

use crate::farm::server::{Server, ServerId};
use crate::selection::known::known;
use crate::settings::{Affinity, HashKind};
use crate::way::draft::Draft;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;

impl View {
    /// The server that a request towards the farm belongs to. `None`: to none that is known and can be reached.
    pub(crate) fn server_it_belongs_to(
        &self,
        turn: &mut Turn<'_>,
        draft: &Draft<'_, '_>,
    ) -> Option<Result<(ServerId, bool), Reject>> {
        let (request, settings) = (draft.request, &self.shared.settings);
        if !request.first {
            return None;
        }
        let server = match request.method {
            Method::Invite if settings.by_replaces => self.server_of_other_call(turn.now, request),
            Method::Subscribe | Method::Publish if settings.by_presentity => {
                let mut presentity = Vec::with_capacity(64);
                draft.set.uri(request).write_address_of_record(&mut presentity);
                // As REGISTERs of that user.
                known(&self.snapshot, HashKind::Consistent, self.shared.keys.call(&presentity).0)
            }
            _ => None,
        }?;
        Some(self.begin_at(turn, request, server))
    }

    /// The server of the call that this one replaces or joins, as far as memory or hash tell it.
    fn server_of_other_call(&self, now: Time, request: &Request<'_>) -> Option<&Server> {
        let message = request.message;
        let value = message.first_value(Name::Replaces).or_else(|| message.first_value(Name::Join))?;
        let call_id = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let (calls, call) = (&self.shared.calls, self.shared.keys.call(call_id));
        let counted = || {
            let seat = calls.seat_of(now, call)?;
            self.snapshot.servers().iter().find(|server| server.seat == seat)
        };
        let remembered = calls.server_of(now, call).and_then(|id| self.snapshot.by_id(id)).or_else(counted);
        let hashed = || match self.shared.settings.affinity {
            Affinity::Hash => known(&self.snapshot, self.shared.settings.hash, call.0),
            Affinity::Session | Affinity::Tag => None,
        };
        remembered.or_else(hashed).filter(|server| server.is_reachable())
    }
}
