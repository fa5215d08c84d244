//! What an engine remembers of a call besides its record: transactions in progress. If the engine dies, a repetition is lost and
//! no call.

use base::Time;
use sip::{Flow, Target};
use transaction::{InviteClient, InviteServer, NonInviteClient};

use crate::names::{Branch, Leg};

/// See the head of this module.
#[derive(Debug, Default)]
pub(crate) struct Soft {
    pub(crate) clients: Vec<Client>,
    /// The failure that the caller has not acknowledged.
    pub(crate) failure: Option<InviteServer>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) byes: Vec<Own>,
    /// What asks the sides of a call whether they still have it.
    pub(crate) options: Vec<Own>,
    /// When the call has rung too long.
    pub(crate) rings_until: Option<Time>,
    /// When the first callee rang, in microseconds of the state tier; for the call's story.
    pub(crate) rang_at: Option<u64>,
}

/// The INVITE of a leg.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) leg: Leg,
    pub(crate) invite: InviteClient,
    pub(crate) heard: bool,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) target: Target,
}

/// The CANCEL of a leg: it is sent again until it is answered; when its time is over, so is the leg's.
#[derive(Clone, Debug)]
pub(crate) struct Cancel {
    pub(crate) machine: NonInviteClient,
    pub(crate) bytes: Vec<u8>,
    pub(crate) target: Target,
    pub(crate) ends_at: Time,
}

/// A request that passes from one leg to another, and waits for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    pub(crate) id: u64,
    /// Of the request as it left.
    pub(crate) branch: Branch,
    pub(crate) asked: Asked,
    /// The request as it left, for repetitions.
    pub(crate) bytes: Vec<u8>,
    pub(crate) target: Target,
    pub(crate) machine: NonInviteClient,
}

/// The request of a relay as it came, as far as its answer needs it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Box<[u8]>,
    pub(crate) request: Vec<u8>,
    pub(crate) flow: Flow,
}

/// A request of ours within the dialog of a leg.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) leg: Leg,
    pub(crate) branch: Branch,
    pub(crate) bytes: Vec<u8>,
    pub(crate) target: Target,
    pub(crate) machine: NonInviteClient,
}

impl Soft {
    /// Forgets all but the requests that pass between the two sides.
    pub(crate) fn forget(&mut self) {
        *self = Soft { relays: std::mem::take(&mut self.relays), ..Soft::default() };
    }

    pub(crate) fn client(&self, leg: Leg) -> Option<&Client> {
        self.clients.iter().find(|client| client.leg == leg)
    }

    pub(crate) fn client_mut(&mut self, leg: Leg) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.leg == leg)
    }

    pub(crate) fn relay(&self, branch: &Branch, method: &[u8]) -> Option<&Relay> {
        self.relays.iter().find(|relay| relay.branch == *branch && *relay.asked.method == *method)
    }

    fn own(&self) -> impl Iterator<Item = &Own> {
        self.byes.iter().chain(&self.options)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
            && self.failure.is_none()
            && self.relays.is_empty()
            && self.own().next().is_none()
    }

    /// When something must be done next.
    pub(crate) fn deadline(&self) -> Time {
        let clients = self.clients.iter().flat_map(|client| {
            let cancel = client.cancel.as_ref().map(Cancel::deadline);
            [client.invite.next_deadline(), cancel].into_iter().flatten()
        });
        let relays = self.relays.iter().filter_map(|relay| relay.machine.next_deadline());
        let own = self.own().filter_map(|own| own.machine.next_deadline());
        let failure = self.failure.and_then(|failure| failure.next_deadline());
        let all = clients.chain(relays).chain(own).chain(failure).chain(self.rings_until);
        all.min().unwrap_or(Time::NEVER)
    }
}

impl Cancel {
    fn deadline(&self) -> Time {
        self.machine.next_deadline().unwrap_or(Time::NEVER).min(self.ends_at)
    }
}
