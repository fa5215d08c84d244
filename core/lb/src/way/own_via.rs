//! A response by our own Via on top of it: read whole, or, where a datagram begins as we made its Via, by two lines of it.

use std::ops::Range;

use sip::text::line_end;
use sip::validate::GoodResponse;

use crate::connections::own::OwnAddresses;
use crate::signed::branch::BRANCH_LENGTH;
use crate::signed::hop::{self, Hop};
use crate::signed::keyring::KeyRing;

/// A response to a request that we sent on.
pub(crate) struct Response<'m> {
    pub hop: Hop,
    /// That of our Via, as text.
    pub branch: &'m [u8],
    pub status: u16,
}

impl<'m> Response<'m> {
    /// If its topmost Via is one of this farm's. The rest of our Via may be written as the server likes: its parameters in
    /// another order, more of them, another case, the default port in or out.
    pub(crate) fn read(good: &GoodResponse<'m>, status: u16, keys: &KeyRing) -> Option<Response<'m>> {
        let branch = unquoted(good.via.branch?);
        let hop = Hop::read(keys, unquoted(good.via.parameter(hop::PARAMETER)?), branch)?;
        Some(Response { hop, branch, status })
    }

    /// If it begins as we made its Via: a status line, and a line that is our Via to the letter, which lies at this place.
    pub(crate) fn begin(
        bytes: &'m [u8],
        own: &OwnAddresses,
        keys: &KeyRing,
    ) -> Option<(Response<'m>, Range<usize>)> {
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
        let hop = Hop::read(keys, &bytes[hop_start..end - 2], branch)?;
        Some((Response { hop, branch, status }, start..end))
    }
}

/// A value without the quotes that a server may have put around it.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
