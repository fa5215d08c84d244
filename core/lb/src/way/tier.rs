//! Servers of one state tier. The tier keeps their calls, so each goes on with the calls of the others: a message for a server
//! that failed goes to any that lives, and any may answer what another was asked. Without a state tier in the farm, each rule
//! here costs one look at a flag.

use sip::headers::address;
use sip::headers::via::{self, Via};
use sip::{Edits, Flow, Message, Name};

use crate::farm::server::{Server, ServerId};
use crate::hold::{Asker, Class};
use crate::selection::known::takes_over;
use crate::signed::branch::branch_key;
use crate::signed::hop::{Asked, Hop};
use crate::signed::keyring::CallKey;
use crate::way::own_via::Response;
use crate::way::view::View;

/// Characters of a tag that names a record of the state tier.
const TAG_LENGTH: usize = 35;

/// Whether a To tag names a record of the state tier, by its form: `s`, and letters of base32. The tag of an answer that leaves
/// no record has another form. Nobody but an engine writes the To tag of its response, so the form is enough.
pub fn names_record(tag: &[u8]) -> bool {
    let is_base32 = |letter: &u8| matches!(letter, b'a'..=b'z' | b'A'..=b'Z' | b'2'..=b'7');
    match tag {
        [b's' | b'S', letters @ ..] => tag.len() == TAG_LENGTH && letters.iter().all(is_base32),
        _ => false,
    }
}

impl View {
    /// The server that a message came from, if it is of the same state tier as the server that the message names; else the
    /// latter.
    #[inline]
    pub(crate) fn speaker(&self, named: ServerId, flow: Flow) -> ServerId {
        if !self.snapshot.has_tiers() {
            return named;
        }
        let sender = self.snapshot.by_address(flow.remote).map(|server| server.id);
        sender.filter(|sender| self.snapshot.are_of_one_tier(*sender, named)).unwrap_or(named)
    }

    /// Names in the hop of a response the server that sent it. The Via of an earlier copy may name another of its state tier.
    /// A REGISTER is at each of its servers by itself.
    #[inline]
    pub(crate) fn name_speaker(&self, hop: &mut Hop, flow: Flow) {
        if !hop.to_client && hop.asked != Asked::Register {
            hop.server = self.speaker(hop.server, flow);
        }
    }

    /// The living server that goes on with a call of this one, which failed: by the hash of the call, so that every load
    /// manager and every message finds the same. `None`: it has no state tier, or no other server of that tier lives.
    pub(crate) fn taker_in_tier(
        &self,
        failed: ServerId,
        call: CallKey,
        may_be: impl Fn(&Server) -> bool,
    ) -> Option<&Server> {
        let tier = self.snapshot.tier_of(failed)?;
        takes_over(&self.snapshot, self.shared.settings.hash_kind(), call.0, |server| {
            server.state_tier == Some(tier) && server.id != failed && may_be(server)
        })
    }

    /// Whether the failure may be had otherwise at another server. Within a state tier that is only a 503 without a record: any
    /// other failure is that of the call, whichever server says it.
    pub(crate) fn may_differ_elsewhere(&self, hop: &Hop, status: u16, response: &Message<'_>) -> bool {
        self.snapshot.tier_of(hop.server).is_none() || status == 503 && !is_of_record(response)
    }

    /// Whether a response from `speaker` may be taken for one of `holder`: both have one state tier, and the response is of the
    /// call that the tier keeps. A failure without a record is of that server alone. A client has one answer for all servers
    /// that ask it the same.
    pub(crate) fn speaks_for(
        &self,
        (speaker, holder): (ServerId, ServerId),
        (hop, status): (&Hop, u16),
        response: &Message<'_>,
    ) -> bool {
        self.snapshot.are_of_one_tier(speaker, holder)
            && (hop.to_client || status < 300 || is_of_record(response))
    }

    /// For a client's response to a held request: the server that asked last, if that is another than its hop names. One that
    /// failed gets nothing.
    pub(crate) fn last_asker(&self, response: &Response<'_>, class: Class) -> Option<Asker> {
        let hop = response.hop;
        if !self.snapshot.has_tiers() || !hop.to_client || !hop.held {
            return None;
        }
        let asker = self.shared.held.asker(branch_key(response.branch)?.0, class)?;
        (asker.server != hop.server && !self.snapshot.is_gone(asker.server)).then_some(asker)
    }
}

/// The Via below ours, which is `top`, becomes that of the copy of the server that asked last.
pub(crate) fn write_via_of(asker: &Asker, response: &Message<'_>, top: &Via<'_>, edits: &mut Edits) {
    if let Some(Ok(below)) = via::below(response, top) {
        edits.replace(response.range_of(below.bytes), |text| text.extend_from_slice(&asker.via));
    }
}

fn is_of_record(response: &Message<'_>) -> bool {
    let tag = response.first_value(Name::To).and_then(|to| address::tag(to).ok().flatten());
    tag.is_some_and(names_record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_names_a_record_is_known_by_its_form() {
        for tag in ["stknjvgu2tknjvgu2tknaadmcaisalu3gsd", "STKNJVGU2TKNJVGU2TKNAADMCAISALU3GSD"] {
            assert!(names_record(tag.as_bytes()), "{tag}");
        }
        for tag in [
            "",
            "s",
            "tstknjvgu2tknjvgu2tknaadmcaisalu3gs",
            "stknjvgu2tknjvgu2tknaadmcaisalu3gs",
            "stknjvgu2tknjvgu2tknaadmcaisalu3gsd2",
            "stknjvgu2tknjvgu2tknaadmcaisalu3gs1",
        ] {
            assert!(!names_record(tag.as_bytes()), "{tag}");
        }
    }
}
