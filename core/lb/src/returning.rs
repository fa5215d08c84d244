//! What a client proves on the connection that it comes by, and which connection a request to it takes
//! (see [`crate::flows`]).

use std::io::Write;

use base::Time;
use sip::headers::address;
use sip::{Flow, Host, Message, Method, Name, Uri};

use crate::affinity::tag::{Direction, PeerConnection, Tag};
use crate::calls::branch_key;
use crate::counters::Counter;
use crate::flows::{Proof, Proven};
use crate::hop::Hop;
use crate::keyring::BranchKey;
use crate::register::at_server;
use crate::request::Request;
use crate::route_set::RouteSet;
use crate::router::Core;

impl Core {
    /// A request of a client that came by a stream: of a dialog whose tag names another connection, or a REGISTER.
    pub(crate) fn note_proof(
        &self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        branch: BranchKey,
        flow: Flow,
    ) {
        let Some(id) = flow.connection else { return };
        let here = PeerConnection { listener: flow.listener, id };
        let flows = &self.shared.flows;
        let noted = match &set.tag {
            Some(tag) => match tag.peer.filter(|peer| *peer != here) {
                Some(peer) => {
                    let proof = self.of_dialog(request, tag, peer);
                    flows.learn(now, Proven { proof, flow: here, reg_id: 0 })
                }
                None => true,
            },
            None if request.method == Method::Register => match self.of_registration(request, branch, here) {
                Some((asked, proven)) => flows.asked(now, asked, proven),
                None => true,
            },
            None => true,
        };
        if !noted {
            self.count(Counter::FlowsFull);
        }
    }

    /// The final answer of a server to a REGISTER.
    pub(crate) fn note_registered(
        &self,
        now: Time,
        response: &Message<'_>,
        hop: &Hop,
        branch: &[u8],
        status: u16,
    ) {
        let (Some(branch), Some(of_record)) = (branch_key(branch), address_of_record(response)) else {
            return;
        };
        // A held one bears another branch at each server.
        let branch = if hop.held { at_server(branch, hop.server) } else { branch };
        if status < 200 {
            return;
        }
        let flows = &self.shared.flows;
        let asked = flows.answered(now, self.asked(branch, &of_record));
        let Some(proven) = asked.filter(|_| status < 300) else { return };
        let gruu = self.gruu_proof(response, &of_record, proven.proof);
        let by_gruu = |proof| flows.learn(now, Proven { proof, ..proven });
        if !(flows.learn(now, proven) && gruu.is_none_or(by_gruu)) {
            self.count(Counter::FlowsFull);
        }
    }

    /// What the client is called in dialogs when the registrar has given it a public GRUU (RFC 5627 §4.2), which it then
    /// uses instead of its contact. The answer lists all contacts of the user; the one that was registered counts. A
    /// temporary GRUU is another at each registration, and not remembered.
    fn gruu_proof(&self, response: &Message<'_>, of_record: &[u8], registered: Proof) -> Option<Proof> {
        let fields = response.all(Name::Contact).map(|header| response.value(header));
        let mut contacts = fields.flat_map(|field| address::values(field).map_while(Result::ok));
        let contact = contacts.find(|contact| {
            Uri::parse(contact.uri).is_ok_and(|uri| self.proof_of(of_record, &uri) == registered)
        })?;
        let gruu = contact.parameter(b"pub-gruu")?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        Some(self.proof_of(of_record, &Uri::parse(gruu).ok()?))
    }

    /// The REGISTER of this address of record that bears this branch. The branch alone is the client's to choose: with
    /// one for two, the success of its own registration would prove another's.
    fn asked(&self, branch: BranchKey, of_record: &[u8]) -> u64 {
        self.shared.keys.branch(&[b"registering", &branch.0.to_be_bytes(), of_record]).0
    }

    /// The connection for a request to a client: the one of its dialog, unless the client has registered on another in
    /// place of that; when it is gone, the one that the client has proven itself on since. `stream`: the request is to go
    /// by one, so that without a tag a registered client is looked for.
    pub(crate) fn connection_to(
        &self,
        request: &Request<'_>,
        tag: Option<&Tag>,
        target: &Uri<'_>,
        stream: bool,
    ) -> Option<PeerConnection> {
        let peer = tag.and_then(|tag| tag.peer);
        let flows = &self.shared.flows;
        if peer.is_none() && !stream {
            return None;
        }
        let registered = || Some(self.proof_of(&address_of_record(request.message)?, target));
        let moved = match (tag, peer) {
            (_, Some(peer)) if flows.is_open(peer.id) => {
                registered().and_then(|proof| flows.instead_of(peer, proof))
            }
            (Some(tag), Some(peer)) => flows
                .find(self.of_dialog(request, tag, peer))
                .or_else(|| registered().and_then(|proof| flows.find(proof))),
            _ => registered().and_then(|proof| flows.find(proof)),
        };
        if moved.is_some() && peer.is_some() {
            self.count(Counter::Rebound);
        }
        moved.or(peer)
    }

    /// Each side of a dialog has a tag of its own, and each of its connections may be followed by another.
    fn of_dialog(&self, request: &Request<'_>, tag: &Tag, peer: PeerConnection) -> Proof {
        let mut place = [0u8; 8];
        place[0] = peer.listener;
        place[1] = peer.id.worker;
        place[2..4].copy_from_slice(&peer.id.slot.to_be_bytes());
        place[4..].copy_from_slice(&peer.id.generation.to_be_bytes());
        let first = [u8::from(tag.first() == Direction::ToClient)];
        self.shared.keys.branch(&[b"flow of a dialog", request.call_id, &first, &place]).0
    }

    /// What a REGISTER is known by until it is answered, and what it then proves.
    fn of_registration(
        &self,
        request: &Request<'_>,
        branch: BranchKey,
        flow: PeerConnection,
    ) -> Option<(u64, Proven)> {
        let of_record = address_of_record(request.message)?;
        let contact = address::first(request.message.first_value(Name::Contact)?).ok()?;
        let proof = self.proof_of(&of_record, &Uri::parse(contact.uri).ok()?);
        let reg_id =
            contact.parameter(b"reg-id").and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        Some((self.asked(branch, &of_record), Proven { proof, flow, reg_id: reg_id.unwrap_or(0) }))
    }

    fn proof_of(&self, of_record: &[u8], contact: &Uri<'_>) -> Proof {
        self.shared.keys.branch(&[b"flow of a client", of_record, &place(contact)]).0
    }
}

/// The address of record in To: that of the client in a REGISTER, and in a request of a server to the client.
fn address_of_record(message: &Message<'_>) -> Option<Vec<u8>> {
    let to = address::first(message.first_value(Name::To)?).ok()?;
    let uri = Uri::parse(to.uri).ok()?;
    let mut text = place(&Uri { port: None, ..uri });
    text.push(if uri.secure { b's' } else { b' ' });
    Some(text)
}

/// User, host and port, as far as two ways to write one URI agree in them (RFC 3261 §19.1.4), and which of the user's
/// telephones a GRUU means (RFC 5627 §3.1).
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
