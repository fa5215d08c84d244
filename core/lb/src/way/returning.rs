//! What a client proves about its connection, and which connection a request to the client takes (see
//! [`crate::connections::flows`]).

use std::io::Write;

use base::Time;
use sip::headers::address;
use sip::{Host, Message, Method, Name, Transport, Uri};

use crate::connections::flows::{Proof, Registration};
use crate::connections::own::{address_of, transport_of};
use crate::counters::Counter;
use crate::signed::branch::{BranchKey, branch_key};
use crate::signed::tag::{Direction, PeerConnection, Tag};
use crate::way::draft::Draft;
use crate::way::own_via::Response;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;

/// Contacts in a registrar's answer among which the registered contact is looked for: more than any user has telephones. Each
/// is hashed with the address of record; a stranger may make both as long as a message.
const CONTACTS_MAX: usize = 64;

impl View {
    /// Notes a client's request over a stream, if it is a REGISTER or its dialog's tag names another connection.
    pub(crate) fn note_proof(&self, turn: &Turn<'_>, draft: &Draft<'_, '_>) {
        let Some(id) = turn.flow.connection else { return };
        let (request, now) = (draft.request, turn.now);
        let here = PeerConnection { listener: turn.flow.listener, id };
        let flows = &self.shared.flows;
        let noted = match &draft.set.tag {
            Some(tag) => match tag.peer.filter(|_| tag.private) {
                Some(peer) => {
                    let proof = self.of_dialog(request, tag, peer);
                    // On the connection that the tag names, this is news only for a client that had left it.
                    peer == here && flows.find(proof).is_none() || flows.learn(now, proof, here)
                }
                None => true,
            },
            None if request.method == Method::Register => match self.of_registration(draft, here) {
                Some((asked, registration)) => flows.asked(now, asked, registration, here),
                None => true,
            },
            None => true,
        };
        if !noted {
            self.count(Counter::FlowsFull);
        }
    }

    /// The final answer of a server to a REGISTER.
    pub(crate) fn note_registered(&self, now: Time, message: &Message<'_>, response: &Response<'_>) {
        let &Response { hop, branch, status } = response;
        let (Some(branch), Some(of_record)) = (branch_key(branch), address_of_record(message)) else {
            return;
        };
        // A held REGISTER has another branch at each server.
        let branch = if hop.held { branch.at(hop.server) } else { branch };
        if status < 200 {
            return;
        }
        let flows = &self.shared.flows;
        let asked = flows.answered(now, self.asked(branch, &of_record));
        let Some((registration, flow)) = asked.filter(|_| status < 300) else { return };
        let Registration { contact, telephone, here } = registration;
        let gruu = self.gruu_proof(message, &of_record, contact);
        let known = flows.learn(now, contact, flow)
            && gruu.is_none_or(|gruu| flows.learn(now, gruu, flow))
            && flows.learn(now, telephone, flow)
            && flows.link(now, here, telephone);
        if !known {
            self.count(Counter::FlowsFull);
        }
    }

    /// The client's name in dialogs if the registrar has given it a public GRUU (RFC 5627 §4.2), which the client then uses
    /// instead of its contact. The answer lists all contacts of the user; the one that was registered counts. A temporary
    /// GRUU changes with each registration, and is not remembered.
    fn gruu_proof(&self, response: &Message<'_>, of_record: &[u8], registered: Proof) -> Option<Proof> {
        let fields = response.all(Name::Contact).map(|header| response.value(header));
        let contacts = fields.flat_map(|field| address::values(field).map_while(Result::ok));
        let contact = contacts.take(CONTACTS_MAX).find(|contact| {
            Uri::parse(contact.uri).is_ok_and(|uri| self.proof_of(of_record, &uri) == registered)
        })?;
        let gruu = contact.parameter(b"pub-gruu")?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(self.proof_of(of_record, &Uri::parse(gruu).ok()?))
    }

    /// The key of the REGISTER of this address of record with this branch. The branch alone will not do, as the client
    /// chooses it: with one branch for two REGISTERs, the success of its own would prove another's.
    fn asked(&self, branch: BranchKey, of_record: &[u8]) -> u64 {
        self.shared.keys.branch(&[b"registering", &branch.0.to_be_bytes(), of_record]).0
    }

    /// The connection for a request to a client: the last one that the client has proven itself on, else the one of its
    /// dialog; if that is gone, the one that its contact is registered on. Without a tag, registrations are searched only if
    /// the request is to go by a stream, or if the contact is a name, which says no place.
    pub(crate) fn connection_to(&self, draft: &Draft<'_, '_>, target: &Uri<'_>) -> Option<PeerConnection> {
        let (request, tag) = (draft.request, draft.set.tag.as_ref());
        let peer = tag.and_then(|tag| tag.peer);
        if peer.is_none() && transport_of(target) == Some(Transport::Udp) && address_of(target).is_some() {
            return None;
        }
        let flows = &self.shared.flows;
        let of_record = address_of_record(request.message);
        let by_dialog = match (tag, peer) {
            (Some(tag), Some(peer)) => flows.find(self.of_dialog(request, tag, peer)),
            _ => None,
        };
        let by_telephone = match (&of_record, peer) {
            (Some(of_record), Some(peer)) => flows.follow(self.registered_on(of_record, peer)),
            _ => None,
        };
        let last = by_dialog.into_iter().chain(by_telephone).max_by_key(|known| known.since);
        let known = last.map(|known| known.flow).or_else(|| match (peer, &of_record) {
            (Some(peer), _) if flows.is_open(peer.id) => Some(peer),
            (_, Some(of_record)) => flows.find(self.proof_of(of_record, target)).map(|known| known.flow),
            (_, None) => None,
        });
        if peer.is_some() && known.is_some_and(|known| Some(known) != peer) {
            self.count(Counter::Rebound);
        }
        known.or(peer)
    }

    /// For a request along a Path entry: its connection; if that is gone, the one on which the same telephone has registered
    /// since.
    pub(crate) fn connection_along(&self, request: &Request<'_>, peer: PeerConnection) -> PeerConnection {
        let flows = &self.shared.flows;
        if flows.is_open(peer.id) {
            return peer;
        }
        let of_record = address_of_record(request.message);
        match of_record.and_then(|of_record| flows.follow(self.registered_on(&of_record, peer))) {
            Some(known) => {
                self.count(Counter::Rebound);
                known.flow
            }
            None => peer,
        }
    }

    /// Each side of a dialog has a tag of its own, and each of its connections may be replaced by another.
    fn of_dialog(&self, request: &Request<'_>, tag: &Tag, peer: PeerConnection) -> Proof {
        let first = [u8::from(tag.first() == Direction::ToClient)];
        self.shared.keys.branch(&[b"flow of a dialog", request.call_id, &first, &number(peer)]).0
    }

    fn registered_on(&self, of_record: &[u8], peer: PeerConnection) -> Proof {
        self.shared.keys.branch(&[b"registered on", of_record, &number(peer)]).0
    }

    /// The key of a REGISTER until it is answered, and what the answer then proves.
    fn of_registration(&self, draft: &Draft<'_, '_>, here: PeerConnection) -> Option<(u64, Registration)> {
        let request = draft.request;
        let of_record = address_of_record(request.message)?;
        let written = address::first(request.message.first_value(Name::Contact)?).ok()?;
        let contact = self.proof_of(&of_record, &Uri::parse(written.uri).ok()?);
        // A client that names no instance is the telephone with that contact, as it is for the registrar (RFC 5626 §6).
        let instance = written.parameter(b"+sip.instance").filter(|instance| !instance.is_empty());
        let by_contact = contact.to_be_bytes();
        let reg_id = written.parameter(b"reg-id").unwrap_or_default();
        let parts = [b"telephone", &of_record[..], instance.unwrap_or(&by_contact), b";", reg_id];
        let telephone = self.shared.keys.branch(&parts).0;
        let here = self.registered_on(&of_record, here);
        Some((self.asked(draft.branch, &of_record), Registration { contact, telephone, here }))
    }

    fn proof_of(&self, of_record: &[u8], contact: &Uri<'_>) -> Proof {
        self.shared.keys.branch(&[b"flow of a client", of_record, &place(contact)]).0
    }
}

/// A number that no other connection has, ever.
fn number(peer: PeerConnection) -> [u8; 8] {
    let mut number = [0; 8];
    number[0] = peer.listener;
    number[1] = peer.id.worker;
    number[2..4].copy_from_slice(&peer.id.slot.to_be_bytes());
    number[4..].copy_from_slice(&peer.id.generation.to_be_bytes());
    number
}

/// The address of record in To: the client's, both in a REGISTER and in a request of a server to the client.
fn address_of_record(message: &Message<'_>) -> Option<Vec<u8>> {
    let to = address::first(message.first_value(Name::To)?).ok()?;
    let uri = Uri::parse(to.uri).ok()?;
    let mut text = place(&Uri { port: None, ..uri });
    text.push(if uri.secure { b's' } else { b' ' });
    Some(text)
}

/// User, host and port, as far as two spellings of one URI agree in them (RFC 3261 §19.1.4), and the parameter by which a
/// GRUU names one of the user's telephones (RFC 5627 §3.1).
fn place(uri: &Uri<'_>) -> Vec<u8> {
    let mut text = uri.user.unwrap_or_default().to_vec();
    text.push(b'@');
    match uri.host {
        Host::Ip(ip) => write!(text, "{ip}").expect("a Vec takes all"),
        Host::Name(name) => text.extend(name.iter().map(u8::to_ascii_lowercase)),
    }
    write!(text, ":{}", uri.port.unwrap_or(0)).expect("a Vec takes all");
    if let Some(telephone) = uri.parameter(b"gr") {
        text.push(b';');
        text.extend_from_slice(telephone);
    }
    text
}
