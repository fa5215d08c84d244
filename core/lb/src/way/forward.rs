//! How a request is rewritten: our Via and Record-Route are added, our Routes are taken out, the hop counters go down.

use std::io::Write;

use sip::headers::max_forwards as hops;
use sip::text::decimal;
use sip::{Edits, Flow, Message, Method, Name, Transport};

use crate::connections::own::OwnAddress;
use crate::signed::branch::{BRANCH_LENGTH, BranchKey, branch_text};
use crate::signed::hop::{BEHIND_BRANCH, Hop};
use crate::signed::keyring::KeyRing;
use crate::signed::tag::Tag;
use crate::signed::token::CHARACTERS_MAX;
use crate::way::request::Request;

/// RFC 5393 §5.3.3: the value that a proxy adds, and the highest that it leaves.
const MAX_BREADTH: u32 = 60;
/// Every request that a proxy forwards carries one.
const MAX_BREADTH_LINE: &[u8] = b"Max-Breadth: 60\r\n";

/// What is added to this request alone.
pub(crate) struct Outfit {
    pub branch: BranchKey,
    pub hop: Hop,
    /// The tag of the Record-Route entry, if the request may begin a dialog.
    pub tag: Option<Tag>,
}

/// All that a request is given when it is forwarded.
pub(crate) struct Passage<'a> {
    pub keys: &'a KeyRing,
    pub outfit: &'a Outfit,
    /// Put the tag in the extension header field too.
    pub tag_header: bool,
    /// Our URIs are `sips:`, as the Request-URI or the next Route is (RFC 3261 §16.6 step 4).
    pub secure: bool,
    /// The listener that the request came in by, and the listener that it leaves by.
    pub came_by: &'a OwnAddress,
    pub leaves_by: &'a OwnAddress,
}

/// Whether the request, or an answer to it, may carry our Record-Route into a dialog (RFC 3261 §16.6 step 4). A NOTIFY makes
/// the dialog of a subscription at its receiver although it has both tags, so each NOTIFY gets our entry (RFC 6665 §4.3).
pub(crate) fn may_begin_dialog(request: &Request<'_>) -> bool {
    match request.method {
        Method::Notify => true,
        Method::Invite | Method::Subscribe | Method::Refer | Method::Other => request.first,
        Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Prack
        | Method::Publish
        | Method::Info
        | Method::Message
        | Method::Update => false,
    }
}

/// Adds the edits that every forwarded request gets. The edits of its route set are in `edits` already.
pub(crate) fn edit(request: &Request<'_>, flow: Flow, passage: &Passage<'_>, edits: &mut Edits) {
    let message = request.message;
    edits.insert(message.headers_start(), |text| {
        write_via(passage, text);
        if let Some(tag) = &passage.outfit.tag {
            write_record_route(request, tag, passage, text);
        }
        if message.first(Name::MaxBreadth).is_none() {
            text.extend_from_slice(MAX_BREADTH_LINE);
        }
    });
    request.via.mark(message, flow.remote, edits);
    max_forwards(message, edits);
    max_breadth(message, edits);
    if passage.leaves_by.transport.is_reliable() {
        add_length(message, edits);
    }
}

/// A message on a stream has a Content-Length (RFC 3261 §18.3), even if it was received without one.
pub(crate) fn add_length(message: &Message<'_>, edits: &mut Edits) {
    if message.first(Name::ContentLength).is_none() {
        let length = message.body().len();
        edits.insert(message.headers_start(), |text| {
            write!(text, "Content-Length: {length}\r\n").expect("a Vec takes all");
        });
    }
}

fn write_via(passage: &Passage<'_>, text: &mut Vec<u8>) {
    const HOP: usize = BRANCH_LENGTH + BEHIND_BRANCH.len();
    // The text after `branch=`, put together in one buffer.
    let mut rest = [0; HOP + CHARACTERS_MAX + 2];
    let branch = branch_text(passage.outfit.branch.0);
    rest[..BRANCH_LENGTH].copy_from_slice(&branch);
    rest[BRANCH_LENGTH..HOP].copy_from_slice(BEHIND_BRANCH);
    let hop = rest[HOP..].first_chunk_mut().expect("room for the longest");
    let end = HOP + passage.outfit.hop.encode(passage.keys, &branch, hop);
    rest[end..end + 2].copy_from_slice(b"\r\n");
    text.extend_from_slice(&passage.leaves_by.via);
    // A server may send its own requests back over the connection that we open to it (RFC 5923 §8.1).
    if passage.leaves_by.transport == Transport::Tls && !passage.outfit.hop.to_client {
        text.extend_from_slice(&rest[..end]);
        return text.extend_from_slice(b";alias\r\n");
    }
    text.extend_from_slice(&rest[..end + 2]);
}

/// One entry; two when the request changes transport, address family or address on its way through us, so that each side
/// finds us where it can reach us (RFC 5658 §5.1).
fn write_record_route(request: &Request<'_>, tag: &Tag, passage: &Passage<'_>, text: &mut Vec<u8>) {
    let mut written = [0; CHARACTERS_MAX];
    let length = tag.encode(passage.keys, request.call, request.call_id, &mut written);
    let mut entry = |place: &OwnAddress| {
        text.extend_from_slice(b"Record-Route: ");
        text.extend_from_slice(place.entry(passage.secure));
        text.extend_from_slice(&written[..length]);
        text.extend_from_slice(b">\r\n");
    };
    entry(passage.leaves_by);
    if !std::ptr::eq(passage.leaves_by, passage.came_by) {
        entry(passage.came_by);
    }
    if passage.tag_header {
        // The tag that is echoed is for servers.
        let length = match tag.private {
            true => tag.copy_for(false).encode(passage.keys, request.call, request.call_id, &mut written),
            false => length,
        };
        let written = &written[..length];
        text.extend_from_slice(b"Strowger-Tag: ");
        text.extend_from_slice(written);
        text.extend_from_slice(b"\r\n");
    }
}

fn max_forwards(message: &Message<'_>, edits: &mut Edits) {
    match message.first(Name::MaxForwards) {
        None => edits.insert(message.headers_start(), |text| {
            write!(text, "Max-Forwards: {}\r\n", hops::DEFAULT).expect("a Vec takes all");
        }),
        Some(header) => {
            let left = hops::parse(message.value(header)).unwrap_or(hops::DEFAULT).saturating_sub(1);
            edits.replace(header.value_start..header.value_end, |text| write_number(u32::from(left), text));
        }
    }
}

/// A Max-Breadth that is present is lowered to what a proxy allows (RFC 5393 §5.3.3).
fn max_breadth(message: &Message<'_>, edits: &mut Edits) {
    let Some(header) = message.first(Name::MaxBreadth) else { return };
    if decimal(message.value(header)).is_none_or(|breadth| breadth > MAX_BREADTH) {
        edits.replace(header.value_start..header.value_end, |text| write_number(MAX_BREADTH, text));
    }
}

fn write_number(number: u32, text: &mut Vec<u8>) {
    if number < 100 {
        if number >= 10 {
            text.push(b'0' + (number / 10) as u8);
        }
        text.push(b'0' + (number % 10) as u8);
    } else {
        write!(text, "{number}").expect("a Vec takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        for value in [0, 9, 10, 69, 99, 100, 255] {
            let mut text = Vec::new();
            write_number(value, &mut text);
            assert_eq!(text, value.to_string().into_bytes());
        }
    }
}
