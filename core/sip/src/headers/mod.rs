//! The grammar of header fields: one file each, parsed when needed, from the bytes of the value.
//!
//! Fields lend slices of the message, so that [`crate::Message::range_of`] gives the place of an edit.

pub mod address;
pub mod auth;
pub mod content_length;
pub mod cseq;
pub mod max_forwards;
pub mod parameters;
pub mod route;
pub mod via;

use std::ops::Range;

use crate::message::{Header, Message};
use crate::text::skip_lws;

/// What to delete so that the first value of `header`, which ends at `value_end`, is gone: the value with its comma and the white space
/// behind it, or the whole field when no other value follows.
fn pop_range(message: &Message<'_>, header: &Header, value: &[u8]) -> Range<u32> {
    let field = message.value(header);
    let comma = skip_lws(field, (message.range_of(value).end - header.value_start) as usize);
    let next = skip_lws(field, (comma + 1).min(field.len()));
    if next < field.len() {
        header.value_start..header.value_start + next as u32
    } else {
        header.start..header.end
    }
}
