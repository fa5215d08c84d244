//! Requests of ours: the callee's INVITE made from the caller's, its CANCEL and ACK, and what passes within a dialog.

use sip::headers::{cseq, via};
use sip::write::With;
use sip::{Message, Name, Start, Target, Writer};

use super::own::{MAX_FORWARDS, one_less, write_own_via};
use super::passing::{pass, route, tagged};
use super::{ALLOW, Text, contact};
use crate::names::{Branch, Incoming};
use crate::record::{Leg, Mode};
use crate::settings::Hop;

/// A request as it leaves.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) target: Target,
    pub(crate) branch: Branch,
    pub(crate) reliable: bool,
}

/// The fields of a request that follow from its leg.
struct Head<'h> {
    method: &'h str,
    branch: Branch,
    max_forwards: u8,
    sequence: u32,
    to_tag: &'h [u8],
}

impl Text<'_> {
    /// The number in the CSeq of the INVITE that a leg got.
    pub(crate) fn invite_sequence(&self, leg: &Leg, invite: &Message<'_>) -> Option<u32> {
        leg.offset.out(sequence(invite)?)
    }

    /// The branch of the INVITE that a leg got, of its CANCEL, and of the ACK to its failure.
    pub(crate) fn invite_branch(&self, leg: &Leg, invite: &Message<'_>) -> Option<Branch> {
        let sequence = self.invite_sequence(leg, invite)?;
        let via = via::top(invite).and_then(Result::ok);
        let via = via.map(|via| (via.sent_by, via.branch.unwrap_or_default()));
        Some(self.branch(leg, &Incoming { sequence, method: b"INVITE", via, remote_tag: None }))
    }

    /// The callee's INVITE (RFC 3261 §13.2.1).
    pub(crate) fn invite(&self, leg: &Leg, invite: &Message<'_>) -> Option<Written> {
        if self.record.mode == Mode::Proxy {
            return self.forwarded(leg, invite);
        }
        let (hop, branch) = (self.hop(leg)?, self.invite_branch(leg, invite)?);
        let head = Head {
            method: "INVITE",
            branch,
            max_forwards: one_less(invite),
            sequence: self.invite_sequence(leg, invite)?,
            to_tag: b"",
        };
        self.write(leg, hop, &head, |writer| {
            let writer = self.contact(writer, hop).field("Allow", ALLOW);
            pass(writer, invite).finish_copied(invite.body())
        })
    }

    /// The CANCEL of a leg's INVITE (RFC 3261 §9.1).
    pub(crate) fn cancel(&self, leg: &Leg, invite: &Message<'_>, reason: &[u8]) -> Option<Written> {
        let head = Head {
            method: "CANCEL",
            branch: self.invite_branch(leg, invite)?,
            max_forwards: MAX_FORWARDS,
            sequence: self.invite_sequence(leg, invite)?,
            to_tag: b"",
        };
        self.write(leg, self.hop(leg)?, &head, |writer| match reason {
            [] => writer.finish(),
            reason => writer.field("Reason", reason).finish(),
        })
    }

    /// The ACK to the failure of a leg's INVITE (RFC 3261 §17.1.1.3).
    pub(crate) fn ack_to_failure(&self, leg: &Leg, invite: &Message<'_>, tag: &[u8]) -> Option<Written> {
        let branch = self.invite_branch(leg, invite)?;
        self.late_ack(leg, branch, self.invite_sequence(leg, invite)?, tag)
    }

    /// The same where the INVITE is not known any longer: branch and number are those of the failure.
    pub(crate) fn late_ack(&self, leg: &Leg, branch: Branch, sequence: u32, tag: &[u8]) -> Option<Written> {
        let head = Head { method: "ACK", branch, max_forwards: MAX_FORWARDS, sequence, to_tag: tag };
        self.write(leg, self.hop(leg)?, &head, |writer| writer.finish())
    }

    /// A request of our own within the dialog of a leg (RFC 3261 §12.2.1.1): ACK and BYE of one that nobody wants, OPTIONS.
    pub(crate) fn own(&self, leg: &Leg, method: &'static str, sequence: u32) -> Option<Written> {
        let incoming =
            Incoming { sequence, method: method.as_bytes(), via: None, remote_tag: Some(&leg.remote_tag) };
        let head = Head {
            method,
            branch: self.branch(leg, &incoming),
            max_forwards: MAX_FORWARDS,
            sequence,
            to_tag: &leg.remote_tag,
        };
        self.write(leg, self.hop(leg)?, &head, |writer| match method {
            "OPTIONS" => writer.field("Accept", "application/sdp").finish(),
            _ => writer.finish(),
        })
    }

    /// The branch that a request within a dialog gets when it passes to the other leg.
    pub(crate) fn relay_branch(&self, to: &Leg, request: &Message<'_>) -> Option<Branch> {
        let Start::Request { token, .. } = request.start() else { return None };
        let via = via::top(request)?.ok()?;
        let incoming = Incoming {
            sequence: to.offset.out(sequence(request)?)?,
            method: token,
            via: Some((via.sent_by, via.branch.unwrap_or_default())),
            remote_tag: Some(&to.remote_tag),
        };
        Some(self.branch(to, &incoming))
    }

    /// A request within a dialog, passed on from the other leg. `to`: its leg of the dialog.
    pub(crate) fn relay(&self, to: &Leg, request: &Message<'_>) -> Option<Written> {
        let Start::Request { token, .. } = request.start() else { return None };
        let hop = self.hop(to)?;
        let head = Head {
            method: std::str::from_utf8(token).ok()?,
            branch: self.relay_branch(to, request)?,
            max_forwards: one_less(request),
            sequence: to.offset.out(sequence(request)?)?,
            to_tag: &to.remote_tag,
        };
        self.write(to, hop, &head, |writer| {
            let writer = match request.first(Name::Contact) {
                Some(_) => self.contact(writer, hop),
                None => writer,
            };
            pass(writer, request).finish_copied(request.body())
        })
    }

    fn contact<'w>(&self, writer: Writer<'w>, hop: Hop) -> Writer<'w> {
        match self.settings.address(hop.listener) {
            Some(own) => writer.contact(With(|out: &mut Vec<u8>| contact(own, out))),
            None => writer,
        }
    }

    fn write(
        &self,
        leg: &Leg,
        hop: Hop,
        head: &Head<'_>,
        rest: impl FnOnce(Writer<'_>) -> bool,
    ) -> Option<Written> {
        let mut bytes = Vec::with_capacity(1024);
        let writer = Writer::request(&mut bytes, head.method, &leg.target[..])
            .via(With(|out: &mut Vec<u8>| write_own_via(self.settings, head.branch, hop, out)));
        let own = self.tag(leg);
        // A proxy has no tag: From is the caller's.
        let tag = if self.record.mode == Mode::Proxy { &b""[..] } else { &own };
        let writer = route(writer, &leg.routes)
            .max_forwards(head.max_forwards)
            .from(tagged(&leg.local, tag))
            .to(tagged(&leg.remote, head.to_tag))
            .call_id(&leg.call_id[..])
            .cseq(head.sequence);
        let whole = rest(writer);
        let reliable = hop.transport.is_reliable();
        whole.then_some(Written { bytes, target: hop.target(), branch: head.branch, reliable })
    }
}

/// The number in CSeq.
pub(crate) fn sequence(message: &Message<'_>) -> Option<u32> {
    Some(cseq::parse(message.first_value(Name::CSeq)?)?.number)
}
