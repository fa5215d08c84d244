//! A caller that came back: a copy of its INVITE comes over another way than the record names, because the connection of the
//! first is gone, or the load manager that had it. From then on responses, and requests to the caller, go the way of the newest
//! copy. That is written, so that an engine that takes the call over goes that way, too.
//!
//! Only the caller can send such a copy: the key finds the call by Call-ID, From tag, and host and branch of the topmost Via
//! (RFC 3261 §17.2.3), none of which the callee knows (RFC 7092). What the callee gets stays the same, byte for byte: of the copy
//! come its Vias and Record-Routes alone.

use std::net::SocketAddr;

use sip::headers::via;
use sip::message::MESSAGE_BYTES_MAX;
use sip::{Edits, Flow, Message, Name, Reject};

use super::{Change, Effect, Look, Step, answer_effect, with_stored};
use crate::record::{Leg, LegState, Mode, Record};
use crate::text;

/// What the copy changes. `None`: nothing; it came the same way, or is of another transaction.
pub(super) fn returned(look: &Look<'_>, record: &Record, copy: &Message<'_>, flow: Flow) -> Option<Step> {
    let caller = record.legs.first()?;
    // A proxy's responses carry the Vias that the callee got.
    if record.mode == Mode::Proxy || matches!(caller.state, LegState::Ending | LegState::Closed) {
        return None;
    }
    let mut next = look.next(record);
    next.invite = with_stored(&record.invite, |invite| {
        let is_moved = text::sequence(invite) == text::sequence(copy)
            && is_another_way((invite, caller.flow?), (copy, flow));
        is_moved.then(|| with_way_of(copy, invite, None))?
    })?
    .into();
    let own = next.legs.first_mut()?;
    own.flow = Some(flow);
    own.routes = text::routes_of_dialog(look.settings, copy, false);
    let mut then = Vec::new();
    match caller.state {
        LegState::Failed => {
            let answer = with_stored(&record.answer, |answer| with_way_of(copy, answer, Some(flow.remote)))?;
            let target = sip::answer::target(copy, flow);
            next.answer = answer[..].into();
            then.push(Effect::Fail { bytes: answer, target });
        }
        // Of a call that is up no INVITE leaves: the callee repeats its 2xx until the ACK, and each copy passes.
        _ => {
            then.push(answer_effect(copy, flow, &Reject::trying(), b""));
            then.extend(ringing_again(look, record));
        }
    }
    Some(Step::write(Change::Put { record: next, wake: None }, then))
}

/// The INVITEs of legs that may ring leave once more: each callee answers with its last response (RFC 3261 §17.2.1).
fn ringing_again(look: &Look<'_>, record: &Record) -> Vec<Effect> {
    let text = look.text(record);
    let invites = |leg: &Leg| {
        let written = with_stored(&record.invite, |invite| text.invite(leg, invite))?;
        Some(Effect::Send { bytes: written.bytes, target: written.target })
    };
    let rings = |leg: &&Leg| leg.number != 0 && matches!(leg.state, LegState::Calling | LegState::Early);
    record.legs.iter().filter(rings).filter_map(invites).collect()
}

/// Whether responses to the copy go elsewhere than those to the INVITE. What a load manager writes into its own Via may differ
/// from copy to copy; only for a client on a stream does it name the connection.
fn is_another_way((invite, flow): (&Message<'_>, Flow), (copy, copied_flow): (&Message<'_>, Flow)) -> bool {
    if flow != copied_flow {
        return true;
    }
    let (mut vias, mut copied) =
        (via::all(invite).map_while(Result::ok), via::all(copy).map_while(Result::ok));
    let is_other_top = vias.next().map(|via| via.bytes) != copied.next().map(|via| via.bytes);
    let is_by_stream = via::all(invite)
        .nth(1)
        .and_then(Result::ok)
        .is_some_and(|via| !via.transport.eq_ignore_ascii_case(b"UDP"));
    is_other_top && is_by_stream || !vias.map(|via| via.bytes).eq(copied.map(|via| via.bytes))
}

/// A stored message with the Vias of the copy, and if it is the INVITE, with its Record-Routes. `marked`: the topmost Via says
/// where the copy came from, as in a response.
fn with_way_of(copy: &Message<'_>, message: &Message<'_>, marked: Option<SocketAddr>) -> Option<Vec<u8>> {
    let is_invite = message.method().is_some();
    let is_of_way = |name: Name| name == Name::Via || name == Name::RecordRoute && is_invite;
    let mut edits = Edits::new();
    edits.insert(message.headers_start(), |out| {
        for (at, header) in copy.headers().iter().filter(|header| is_of_way(header.name)).enumerate() {
            let line = &copy.bytes()[header.start as usize..header.end as usize];
            let (value, first) = (copy.value(header), marked.filter(|_| at == 0));
            match first.zip(via::first(value).ok()) {
                Some((remote, top)) => {
                    out.extend_from_slice(b"Via: ");
                    top.write_marked(value, remote, out);
                    out.extend_from_slice(b"\r\n");
                }
                None => out.extend_from_slice(line),
            }
        }
    });
    for header in message.headers().iter().filter(|header| is_of_way(header.name)) {
        edits.delete(header.start..header.end);
    }
    let mut bytes = Vec::with_capacity(message.end() as usize + 128);
    edits.write_into(message.bytes(), message.end(), &mut bytes);
    (bytes.len() <= MESSAGE_BYTES_MAX).then_some(bytes)
}
