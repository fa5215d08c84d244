//! Answers that no server gives: what we refuse or end ourselves, and the ACK to it.

use sip::{Flow, Message, Method, Name, Reject, Target};
use turn::Outgoing;

use crate::counters::Counter;
use crate::outbox::Outbox;
use crate::signed::branch::BranchKey;
use crate::way::request::Request;
use crate::way::router::Core;

impl Core {
    /// A datagram that is STUN.
    #[cold]
    pub(crate) fn keep_alive(&mut self, datagram: &[u8], flow: Flow, out: &mut Outbox) {
        let from = out.bytes.len() as u32;
        if !sip::stun::answer(datagram, flow.remote, &mut out.bytes) {
            return self.count(Counter::Malformed);
        }
        let to = Target::Datagram { listener: flow.listener, to: flow.remote };
        out.sends.push(Outgoing { bytes: from..out.bytes.len() as u32, to, fallback: None, call: 0 });
        self.count(Counter::StunAnswer);
    }

    /// Our own answer to a request. An ACK is never answered (RFC 3261 §17).
    pub(crate) fn answer(&mut self, message: &Message<'_>, reject: &Reject, flow: Flow, out: &mut Outbox) {
        if matches!(message.start(), sip::Start::Request { method: Method::Ack, .. }) {
            self.count(Counter::BadAck);
            return self.say_dropped(Some(message), reject.reason(), flow, out);
        }
        self.say_refused(message, reject, flow, out);
        if reject.status() != 503 {
            self.count(Counter::Rejected);
        }
        self.write_answer(message, reject, flow, out);
    }

    /// The same, not counted.
    pub(crate) fn write_answer(&self, message: &Message<'_>, reject: &Reject, flow: Flow, out: &mut Outbox) {
        let via = message.first(Name::Via).map(|header| message.value(header));
        let via = via.and_then(|field| sip::headers::via::values(field).next()).and_then(Result::ok);
        let to = self.way_back(via.as_ref(), flow);
        let target = match flow.connection {
            Some(id) => Target::Connection { listener: flow.listener, id, to, or_connect: false },
            None => Target::Datagram { listener: flow.listener, to },
        };
        let keys = &self.shared.keys;
        let to_tag = match sip::validate::request(message) {
            Ok(good) => self.own_to_tag(Request::new(message, &good, keys).branch(keys)),
            Err(_) => keys.branch(&[message.bytes()]).0,
        };
        let from = out.bytes.len() as u32;
        sip::answer::write(message, reject, flow.remote, to_tag, &mut out.bytes);
        out.sends.push(Outgoing { bytes: from..out.bytes.len() as u32, to: target, fallback: None, call: 0 });
    }

    /// The To tag of a stateless answer of ours: a function of the request (RFC 3261 §8.2.7), and of that part of it which
    /// the ACK repeats.
    fn own_to_tag(&self, branch: BranchKey) -> u64 {
        self.shared.keys.branch(&[b"our own answer", &branch.0.to_be_bytes()]).0
    }

    /// The ACK to an INVITE that we refused ourselves: it ends here, no server knows of it.
    pub(crate) fn acknowledges_us(&self, request: &Request<'_>, branch: BranchKey) -> bool {
        // Ours has 16 digits; most others are told apart by that.
        if request.method != Method::Ack || request.to_tag.is_none_or(|tag| tag.len() != 16) {
            return false;
        }
        let mut ours = Vec::with_capacity(16);
        sip::text::write_hex(self.own_to_tag(branch), &mut ours);
        request.to_tag == Some(&ours)
    }
}
