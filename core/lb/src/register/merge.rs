//! One answer to a REGISTER, built of the answers of several servers.

use std::net::SocketAddr;

use sip::equivalence::Comparable;
use sip::headers::{address, auth, via};
use sip::{Edits, Flow, Header, Message, Name, Uri, work};

use super::challenge::{Credentials, challenges, credentials, is_challenge, knows_realm, realm};
use super::verdict::{Said, Verdict, number};
use crate::connections::keep_alive;

/// The most bindings in one answer, and the most that are looked at of one server; more than any user has telephones. Each is
/// compared with all others, and a stranger may register as many as a message holds.
const CONTACTS_MAX: usize = 64;

/// Appends the answer to `request`, which came by `flow`: the answer of one server, with additions from the others.
///
/// Any of these answers may belong to the attempt before. So the fields that make it an answer to this attempt are taken from
/// the request (RFC 3261 §8.2.6.2); the To tag is the server's.
pub(super) fn write(
    request: &Message<'_>,
    flow: Flow,
    said: &[Said<'_>],
    verdict: &Verdict,
    out: &mut Vec<u8>,
) {
    let mut edits = Edits::new();
    let base = match verdict {
        Verdict::Accepted => said.iter().position(Said::accepts).unwrap_or(0),
        Verdict::Challenged(open) => *open.first().unwrap_or(&0),
        Verdict::Refused(at) => *at,
    };
    let message = &said[base].message;
    delete(message, &mut edits, |header| {
        matches!(Name::of(message.name(header)), Name::Via | Name::From | Name::CallId | Name::CSeq)
    });
    edits.insert(message.headers_start(), |text| write_identity(request, flow.remote, text));
    match verdict {
        Verdict::Accepted => {
            bindings(message, said, &mut edits);
            let first_hop = keep_alive::has_vias(request, 1);
            keep_alive::add_flow_timer(message, first_hop, flow.transport, &mut edits);
        }
        Verdict::Challenged(open) => ask_all(message, said, open, &credentials(request), &mut edits),
        Verdict::Refused(_) => {}
    }
    edits.write_into(message.bytes(), message.end(), out);
}

fn write_identity(request: &Message<'_>, remote: SocketAddr, text: &mut Vec<u8>) {
    for (at, header) in request.all(Name::Via).enumerate() {
        let field = request.value(header);
        text.extend_from_slice(b"Via: ");
        match via::first(field).ok().filter(|_| at == 0) {
            Some(top) => top.write_marked(field, remote, text),
            None => text.extend_from_slice(field),
        }
        text.extend_from_slice(b"\r\n");
    }
    for name in [Name::From, Name::CallId, Name::CSeq] {
        if let Some(header) = request.first(name) {
            text.extend_from_slice(&request.bytes()[header.start as usize..header.end as usize]);
        }
    }
}

/// Writes one answer unchanged, without our Via, for the telephone that `flow` leads to.
pub(super) fn write_alone(message: &Message<'_>, flow: Flow, out: &mut Vec<u8>) {
    let mut edits = Edits::new();
    if let Some(cut) = via::top(message).and_then(Result::ok).and_then(|top| via::pop(message, &top)) {
        edits.delete(cut);
    }
    keep_alive::add_flow_timer(message, keep_alive::has_vias(message, 2), flow.transport, &mut edits);
    edits.write_into(message.bytes(), message.end(), out);
}

/// A binding, as the first server that has it writes it.
struct Binding<'m> {
    contact: address::Address<'m>,
    /// A telephone with several flows has a binding for each (RFC 5626 §6).
    flow: Option<&'m [u8]>,
    /// `None`: the contact is no SIP URI, and is compared as text.
    uri: Option<Comparable<'m>>,
    /// The smallest time of all servers, so that the telephone is back before the first server forgets it.
    expires: Option<u32>,
}

impl<'m> Binding<'m> {
    /// `others`: the expiry for contacts that give none.
    fn new(contact: address::Address<'m>, others: Option<u32>) -> Binding<'m> {
        Binding {
            flow: contact.parameter(b"reg-id"),
            uri: Uri::parse(contact.uri).ok().as_ref().map(Comparable::new),
            expires: contact.parameter(b"expires").and_then(number).or(others),
            contact,
        }
    }

    fn is(&self, other: &Binding<'_>) -> bool {
        work::step();
        if self.flow != other.flow {
            return false;
        }
        match (&self.uri, &other.uri) {
            (Some(one), Some(other)) => one.is_equivalent(other),
            _ => self.contact.uri == other.contact.uri,
        }
    }

    fn write(&self, text: &mut Vec<u8>) {
        let contact = &self.contact;
        text.extend_from_slice(b"Contact: ");
        if !contact.display_name.is_empty() {
            text.extend_from_slice(contact.display_name);
            text.push(b' ');
        }
        text.push(b'<');
        text.extend_from_slice(contact.uri);
        text.push(b'>');
        for parameter in sip::headers::parameters::all(contact.parameters) {
            if parameter.name.eq_ignore_ascii_case(b"expires") {
                continue;
            }
            text.push(b';');
            text.extend_from_slice(parameter.name);
            if !parameter.value.is_empty() {
                text.push(b'=');
                text.extend_from_slice(parameter.value);
            }
        }
        if let Some(seconds) = self.expires {
            text.extend_from_slice(b";expires=");
            sip::text::write_decimal(u64::from(seconds), text);
        }
        text.extend_from_slice(b"\r\n");
    }
}

/// The Contact fields become those of all servers, Expires the smallest. All else stays as in the first answer.
fn bindings(message: &Message<'_>, said: &[Said<'_>], edits: &mut Edits) {
    let mut all: Vec<Binding<'_>> = Vec::new();
    let mut least: Option<u32> = None;
    for one in said.iter().filter(|one| one.accepts()) {
        let others = one.message.first_value(Name::Expires).and_then(number);
        least = least.into_iter().chain(others).min();
        for contact in contacts(&one.message).take(CONTACTS_MAX) {
            let binding = Binding::new(contact, others);
            if let Some(known) = all.iter_mut().find(|known| known.is(&binding)) {
                known.expires = known.expires.into_iter().chain(binding.expires).min();
            } else if all.len() < CONTACTS_MAX {
                all.push(binding);
            }
        }
    }
    delete(message, edits, |header| Name::of(message.name(header)) == Name::Contact);
    edits.insert(message.headers_start(), |text| all.iter().for_each(|binding| binding.write(text)));
    if let (Some(header), Some(least)) = (message.first(Name::Expires), least) {
        edits.replace(header.value_start..header.value_end, |text| {
            sip::text::write_decimal(u64::from(least), text);
        });
    }
}

fn contacts<'m>(message: &Message<'m>) -> impl Iterator<Item = address::Address<'m>> + use<'m> {
    let message = *message;
    message
        .all(Name::Contact)
        .flat_map(move |header| address::values(message.value(header)))
        .filter_map(Result::ok)
}

/// Writes the challenges of all `open` servers. If the telephone has answered another nonce of that realm, its credentials
/// are not wrong; only this server did not know the nonce. `stale` says that (RFC 7616 §3.3), and the telephone tries again
/// without asking its user.
fn ask_all(
    message: &Message<'_>,
    said: &[Said<'_>],
    open: &[usize],
    given: &[Credentials],
    edits: &mut Edits,
) {
    delete(message, edits, |header| is_challenge(message.name(header)));
    edits.insert(message.headers_start(), |text| {
        for (name, challenge) in open.iter().flat_map(|at| challenges(&said[*at].message)) {
            write_challenge(name, &challenge, knows_realm(given, realm(&challenge)), text);
        }
    });
}

fn write_challenge(name: &[u8], challenge: &auth::Auth<'_>, stale: bool, text: &mut Vec<u8>) {
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    if stale {
        challenge.write_stale(text);
    } else {
        text.extend_from_slice(challenge.scheme);
        text.extend_from_slice(challenge.parameters);
    }
    text.extend_from_slice(b"\r\n");
}

fn delete(message: &Message<'_>, edits: &mut Edits, is_meant: impl Fn(&Header) -> bool) {
    for header in message.headers().iter().filter(|header| is_meant(header)) {
        edits.delete(header.start..header.end);
    }
}
