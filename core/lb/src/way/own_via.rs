//! A response with our own Via on top: read whole, or, if a datagram begins with our Via exactly as we made it, by its first
//! two lines.

use std::ops::Range;

use sip::text::line_end;
use sip::validate::GoodResponse;

use crate::connections::own::OwnAddresses;
use crate::signed::branch::BRANCH_LENGTH;
use crate::signed::hop::{self, Hop};
use crate::signed::keyring::KeyRing;

/// A response to a request that we sent on.
pub(crate) struct Response<'m> {
    pub hop: &'m Hop,
    /// The branch of our Via, as text.
    pub branch: &'m [u8],
    pub status: u16,
}

/// What the topmost Via says, if it is a Via of this farm.
pub(crate) struct OwnVia<'m> {
    pub branch: &'m [u8],
    hop: &'m [u8],
}

impl<'m> OwnVia<'m> {
    /// The server may write the rest of our Via as it likes: its parameters in another order, more of them, another case, the
    /// default port in or out.
    pub(crate) fn read(good: &GoodResponse<'m>) -> Option<OwnVia<'m>> {
        let hop = unquoted(good.via.parameter(hop::PARAMETER)?);
        Some(OwnVia { branch: unquoted(good.via.branch?), hop })
    }

    /// The hop, if its authenticator is right.
    pub(crate) fn hop(&self, keys: &KeyRing) -> Option<Hop> {
        Hop::read(keys, self.hop, self.branch)
    }

    /// For a response with a status line and then our Via exactly as we wrote it: the status, the Via, and the range of its
    /// line.
    pub(crate) fn second_line(
        bytes: &'m [u8],
        own: &OwnAddresses,
    ) -> Option<(u16, OwnVia<'m>, Range<usize>)> {
        let status = match bytes.strip_prefix(b"SIP/2.0 ")? {
            [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
                [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'))
            }
            _ => return None,
        };
        let start = line_end(bytes, 12)?;
        let behind = start + own.via_length(&bytes[start..])?;
        let branch_end = behind + BRANCH_LENGTH;
        let branch = bytes.get(behind..branch_end)?;
        let hop_start = branch_end + hop::BEHIND_BRANCH.len();
        if bytes.get(branch_end..hop_start)? != hop::BEHIND_BRANCH {
            return None;
        }
        let end = line_end(bytes, hop_start)?;
        let below = &bytes[end..];
        if !below.starts_with(b"Via:") && !below.starts_with(b"v:") {
            return None;
        }
        Some((status, OwnVia { branch, hop: &bytes[hop_start..end - 2] }, start..end))
    }
}

/// The value without quotes, which a server may have put around it.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
