//! What the load manager reads of a request, once, before it decides anything.

use sip::headers::{cseq::CSeq, via::Via};
use sip::{Message, Method, Name, Reject, Uri};

use crate::keyring::{BranchKey, CallKey, KeyRing};
use crate::token;

/// A request that passed validation, with the parts that decide its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'m> {
    pub message: &'m Message<'m>,
    pub method: Method,
    pub token: &'m [u8],
    pub uri: Uri<'m>,
    pub via: Via<'m>,
    pub call_id: &'m [u8],
    pub call: CallKey,
    pub cseq: CSeq<'m>,
    pub from_tag: &'m [u8],
    pub to_tag: Option<&'m [u8]>,
    /// No To tag: the request may begin a call, and no tag of ours can be in it.
    pub first: bool,
}

impl<'m> Request<'m> {
    /// `Err`: the answer to a request that cannot be forwarded.
    pub(crate) fn read(message: &'m Message<'m>, keys: &KeyRing) -> Result<Request<'m>, Reject> {
        let good = sip::validate::request(message)?;
        let call_id = message.first_value(Name::CallId).unwrap_or_default();
        Ok(Request {
            message,
            method: good.cseq.method,
            token: good.cseq.token,
            uri: good.uri,
            via: good.via,
            call_id,
            call: keys.call(call_id),
            cseq: good.cseq,
            from_tag: good.from_tag.unwrap_or_default(),
            to_tag: good.to_tag,
            first: good.to_tag.is_none(),
        })
    }

    /// The key of our branch (RFC 3261 §16.11): from the received branch where that is unique (§8.1.1.7), with the
    /// sent-by beside it because the sender vouches for no more than its own; else from what RFC 2543 identifies a
    /// transaction by, less the To tag and the method, in which an INVITE and its ACK or CANCEL differ.
    pub(crate) fn branch(&self, keys: &KeyRing) -> BranchKey {
        match self.via.branch {
            Some(branch)
                if branch.len() > COOKIE.len() && branch[..COOKIE.len()].eq_ignore_ascii_case(COOKIE) =>
            {
                match self.via.sent_by_and_branch() {
                    Some(text) => keys.branch_of(text),
                    None => keys.branch_of(&[self.via.sent_by, b";branch=", branch].concat()),
                }
            }
            _ => {
                let number = self.cseq.number.to_be_bytes();
                keys.branch(&[self.via.bytes, self.from_tag, self.call_id, &number, self.uri.bytes])
            }
        }
    }
}

/// RFC 3261 §8.1.1.7.
pub(crate) const COOKIE: &[u8] = b"z9hG4bK";

/// Characters of a branch of ours: the cookie and eight bytes as a token.
pub(crate) const BRANCH_LENGTH: usize = COOKIE.len() + 11;

/// The branch of ours that says this number.
#[inline]
pub(crate) fn branch_text(number: u64) -> [u8; BRANCH_LENGTH] {
    let (mut bytes, mut characters) = ([0; token::BYTES_MAX], [0; token::CHARACTERS_MAX]);
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    token::encode(&bytes, 8, &mut characters);
    let mut text = [0; BRANCH_LENGTH];
    text[..COOKIE.len()].copy_from_slice(COOKIE);
    text[COOKIE.len()..].copy_from_slice(&characters[..BRANCH_LENGTH - COOKIE.len()]);
    text
}
