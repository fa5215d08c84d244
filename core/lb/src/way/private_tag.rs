//! Two copies of a tag that names a client's connection: one for the client, one for everybody else.
//!
//! All parties of a call see all Record-Route entries in the end, so each client learns the other's tag. The client's own
//! copy differs by a mark under the authenticator. The mark is added to responses or taken out of them as they pass (a proxy
//! may change its own entry there, RFC 3261 §16.7 step 8). So the sender of a marked tag is that client, over whichever
//! connection it comes, and nobody else can take its calls over.

use sip::headers::address;
use sip::{Edits, Message, Name, Uri};

use crate::signed::hop::Hop;
use crate::signed::keyring::KeyRing;
use crate::signed::tag::{PARAMETER, PeerConnection, Tag};
use crate::signed::token::CHARACTERS_MAX;

/// Entries that are looked at: far more than there are proxies in a call.
const ENTRIES_MAX: usize = 32;

/// Leaves in `edits` the changes that give the receiver of a response its copy of our tags.
pub(crate) fn write_copies(message: &Message<'_>, hop: &Hop, keys: &KeyRing, edits: &mut Edits) {
    let client = match (hop.to_client, hop.connection) {
        (true, _) => None,
        (false, Some(id)) => Some(PeerConnection { listener: hop.listener, id }),
        // Towards a client on UDP: the client's tag names no connection.
        (false, None) => return,
    };
    let Some(call_id) = message.first_value(Name::CallId) else { return };
    let fields = message.all(Name::RecordRoute).map(|header| message.value(header));
    let entries = fields.flat_map(|field| address::values(field).map_while(Result::ok));
    for entry in entries.take(ENTRIES_MAX) {
        let parameter = Uri::parse(entry.uri).ok().and_then(|uri| uri.parameter(PARAMETER));
        let Some(parameter) = parameter else { continue };
        let Some(tag) = Tag::read(keys, parameter, hop.call, call_id) else { continue };
        // The marked copy goes to the client whose connection the tag names, and to nobody else.
        let private = client.is_some() && tag.peer == client;
        if private != tag.private {
            let mut text = [0; CHARACTERS_MAX];
            let length = tag.copy_for(private).encode(keys, hop.call, call_id, &mut text);
            edits.replace(message.range_of(parameter), |to| to.extend_from_slice(&text[..length]));
        }
    }
}
