//! The way of a REGISTER: its address of record, its server, and on.

use base::Time;
use sip::headers::address;
use sip::{Flow, Name, Reject, Uri};

use crate::affinity::hash::known;
use crate::counters::Counter;
use crate::keyring::{BranchKey, CallKey, KeyRing};
use crate::outbox::Outbox;
use crate::request::Request;
use crate::route::Holding;
use crate::route_set::RouteSet;
use crate::router::Core;
use crate::settings::HashKind;
use crate::snapshot::Server;

use super::settings::{RegisterTo, Registrar};

impl Core {
    /// A REGISTER towards the farm: by its address of record, whatever the affinity and selection of calls.
    pub(crate) fn register(
        &mut self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        branch: BranchKey,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        self.count(Counter::Register);
        let shared = self.shared.clone();
        let to = match &shared.settings.register.to {
            RegisterTo::Hash => self.by_address_of_record(request)?,
            RegisterTo::Registrar(registrars) => self.registrar(registrars)?,
        };
        if shared.calls.counts_transactions() {
            shared.calls.transaction_begun(now, branch, &to, request.method);
        }
        self.note_sent(&to, request.method);
        let way = self.way_to(&to, flow.listener)?;
        self.send(now, request, set, branch, &way, Holding::AsSet, flow, out)
    }

    /// A server that drains or is full keeps its users: a refresh cannot be told from a new registration, and a user whose
    /// bindings lie in two places is found in neither. They move when it is stopped or removed.
    fn by_address_of_record(&self, request: &Request<'_>) -> Result<Server, Reject> {
        let key = address_of_record(request, &self.shared.keys);
        // Whichever hash calls use: the others would move most users when one server dies.
        known(&self.snapshot, HashKind::Consistent, key.0).cloned().ok_or_else(|| self.no_registrar())
    }

    /// The first that is not known to have failed. One that is no server of the farm is never known to.
    fn registrar(&self, registrars: &[Registrar]) -> Result<Server, Reject> {
        let mut all = registrars.iter().map(|registrar| self.row_of(registrar));
        all.find(Server::is_reachable).ok_or_else(|| self.no_registrar())
    }

    fn row_of(&self, registrar: &Registrar) -> Server {
        let known = self.snapshot.by_address(registrar.address);
        known.cloned().unwrap_or_else(|| Server::at(registrar.address, registrar.transport))
    }

    fn no_registrar(&self) -> Reject {
        self.count(Counter::NoServer);
        Reject::no_server(self.shared.settings.retry_after)
    }
}

/// The hash of the address of record under the farm's key, so that nobody can choose users that all fall on one server.
/// Of a To that is no SIP URI, that of its text.
pub(crate) fn address_of_record(request: &Request<'_>, keys: &KeyRing) -> CallKey {
    let field = request.message.first_value(Name::To).unwrap_or_default();
    let uri = address::parse(field).map_or(field, |to| to.uri);
    match Uri::parse(uri) {
        Ok(uri) => {
            let mut record = Vec::with_capacity(64);
            uri.write_address_of_record(&mut record);
            keys.call(&record)
        }
        Err(_) => keys.call(uri),
    }
}
