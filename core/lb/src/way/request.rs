//! The parts of a request that the load manager reads, once, before it decides anything.

use sip::headers::{cseq::CSeq, via::Via};
use sip::validate::GoodRequest;
use sip::{Message, Method, Name, Uri};

use crate::signed::branch::{BranchKey, COOKIE};
use crate::signed::keyring::{CallKey, KeyRing};

/// A request that passed validation, with the parts that decide where it goes. The large ones stay where validation left
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'m> {
    pub message: &'m Message<'m>,
    pub method: Method,
    pub token: &'m [u8],
    pub uri: &'m Uri<'m>,
    pub via: &'m Via<'m>,
    pub call_id: &'m [u8],
    pub call: CallKey,
    pub cseq: CSeq<'m>,
    pub from_tag: &'m [u8],
    pub to_tag: Option<&'m [u8]>,
    /// No To tag: the request may begin a call, and no tag of ours can be in it.
    pub first: bool,
    /// The call began before a key was taken out, and keeps the hashes of that time.
    pub previous: bool,
}

impl<'m> Request<'m> {
    /// `good` is the message as validation read it.
    pub(crate) fn new(message: &'m Message<'m>, good: &'m GoodRequest<'m>, keys: &KeyRing) -> Request<'m> {
        let call_id = message.first_value(Name::CallId).unwrap_or_default();
        Request {
            message,
            method: good.cseq.method,
            token: good.cseq.token,
            uri: &good.uri,
            via: &good.via,
            call_id,
            call: keys.call(call_id),
            cseq: good.cseq,
            from_tag: good.from_tag.unwrap_or_default(),
            to_tag: good.to_tag,
            first: good.to_tag.is_none(),
            previous: false,
        }
    }

    /// The same request under the previous ring of keys, if the call is remembered only under that ring.
    pub(crate) fn going_on(self, keys: &KeyRing, remembers: impl Fn(CallKey) -> bool) -> Request<'m> {
        match keys.previous_call(self.call_id) {
            Some(call) if !remembers(self.call) && remembers(call) => {
                Request { call, previous: true, ..self }
            }
            Some(_) | None => self,
        }
    }

    /// The key of our branch (RFC 3261 §16.11). If the received branch is unique (§8.1.1.7): made of that branch, with
    /// the sent-by beside it because the sender vouches only for its own branches. Else made of the parts by which
    /// RFC 2543 identifies a transaction, except the To tag and the method, in which an INVITE and its ACK or CANCEL differ.
    pub(crate) fn branch(&self, keys: &KeyRing) -> BranchKey {
        match self.via.branch {
            Some(branch)
                if branch.len() > COOKIE.len() && branch[..COOKIE.len()].eq_ignore_ascii_case(COOKIE) =>
            {
                let hash = |text: &[u8]| match self.previous {
                    true => keys.previous_branch_of(text),
                    false => keys.branch_of(text),
                };
                match self.via.sent_by_and_branch() {
                    Some(text) => hash(text),
                    None => hash(&[self.via.sent_by, b";branch=", branch].concat()),
                }
            }
            _ => {
                let number = self.cseq.number.to_be_bytes();
                let parts = [self.via.bytes, self.from_tag, self.call_id, &number, self.uri.bytes];
                if self.previous { keys.previous_branch(&parts) } else { keys.branch(&parts) }
            }
        }
    }
}
