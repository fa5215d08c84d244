//! Answers that come from us and not from a server: requests that we refuse or end ourselves, and the ACK to such an
//! answer.

use sip::{Message, Method, Name, Reject, Target};
use turn::Outgoing;

use crate::counters::Counter;
use crate::signed::branch::BranchKey;
use crate::signed::keyring::KeyRing;
use crate::way::core::Core;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;

impl Core {
    /// Our own answer to a request. An ACK is never answered (RFC 3261 §17).
    pub(crate) fn answer(&mut self, turn: &mut Turn<'_>, message: &Message<'_>, reject: &Reject) {
        if matches!(message.start(), sip::Start::Request { method: Method::Ack, .. }) {
            self.view.count(Counter::BadAck);
            return self.refusals.dropped(turn, Some(message), reject.reason());
        }
        self.refusals.refused(turn, message, reject, self.view.counted(Counter::NoServer));
        if reject.status() != 503 {
            self.view.count(Counter::Rejected);
        }
        self.view.write_answer(turn, message, reject);
    }
}

impl View {
    /// Answers a datagram that is STUN.
    #[cold]
    pub(crate) fn keep_alive(&self, turn: &mut Turn<'_>, datagram: &[u8]) {
        let Turn { flow, out, .. } = turn;
        let from = out.bytes.len() as u32;
        if !sip::stun::answer(datagram, flow.remote, &mut out.bytes) {
            return self.count(Counter::Malformed);
        }
        let to = Target::Datagram { listener: flow.listener, to: flow.remote };
        out.sends.push(Outgoing { bytes: from..out.bytes.len() as u32, to, fallback: None, call: 0 });
        self.count(Counter::StunAnswer);
    }

    /// Writes an answer without counting it.
    pub(crate) fn write_answer(&self, turn: &mut Turn<'_>, message: &Message<'_>, reject: &Reject) {
        let Turn { flow, out, .. } = turn;
        let via = message.first(Name::Via).map(|header| message.value(header));
        let via = via.and_then(|field| sip::headers::via::values(field).next()).and_then(Result::ok);
        let to = self.way_back(via.as_ref(), *flow);
        let target = match flow.connection {
            Some(id) => Target::Connection { listener: flow.listener, id, to, or_connect: false },
            None => Target::Datagram { listener: flow.listener, to },
        };
        let keys = &self.shared.keys;
        let passing = &self.shared.settings.proxy_require;
        let to_tag = match sip::validate::request_with(message, passing) {
            Ok(good) => own_to_tag(Request::new(message, &good, keys).branch(keys), keys),
            Err(_) => keys.branch(&[message.bytes()]).0,
        };
        let from = out.bytes.len() as u32;
        sip::answer::write_with(message, reject, flow.remote, to_tag, passing, &mut out.bytes);
        out.sends.push(Outgoing { bytes: from..out.bytes.len() as u32, to: target, fallback: None, call: 0 });
    }

    /// The last request of the outbox is answered with 430 if its connection turns out to be gone.
    pub(crate) fn or_flow_failed(&self, turn: &mut Turn<'_>, request: &Request<'_>) {
        // An ACK is never answered (RFC 3261 §17).
        if request.method == Method::Ack {
            return;
        }
        let asked = turn.out.sends.len();
        self.write_answer(turn, request.message, &Reject::flow_failed());
        if turn.out.sends.len() > asked
            && let Some(answer) = turn.out.sends.pop()
            && let Some(send) = turn.out.sends.last_mut()
        {
            send.fallback = Some((answer.bytes, answer.to));
        }
    }
}

/// The To tag of a stateless answer of ours: a function of the request (RFC 3261 §8.2.7), made only of parts that the ACK
/// repeats.
fn own_to_tag(branch: BranchKey, keys: &KeyRing) -> u64 {
    keys.branch(&[b"our own answer", &branch.0.to_be_bytes()]).0
}

/// The ACK to an INVITE that we refused ourselves: it ends here, no server knows of the INVITE.
pub(crate) fn is_acknowledged(request: &Request<'_>, branch: BranchKey, keys: &KeyRing) -> bool {
    // Our To tags have 16 digits; that tells most other ACKs apart.
    if request.method != Method::Ack || request.to_tag.is_none_or(|tag| tag.len() != 16) {
        return false;
    }
    let mut ours = Vec::with_capacity(16);
    sip::text::write_hex(own_to_tag(branch, keys), &mut ours);
    request.to_tag == Some(&ours)
}
