//! Control characters in the head of a message, where they are not allowed (RFC 3261 §25.1). Only called for a head that has
//! any.

use crate::message::Message;
use crate::text::skip_quoted;
use crate::work;

impl Message<'_> {
    /// Whether a control character is in a place of the head where none is allowed.
    pub(crate) fn has_loose_control(&self) -> bool {
        self.has_controls() && is_loose_in(self)
    }
}

/// The grammar allows control characters, except tabs, only in quoted pairs (RFC 3261 §25.1), in quoted strings and in
/// comments. In a quoted string they are accepted as they are. Anywhere else, one element may take them for an end, and the
/// next may read on.
#[cold]
fn is_loose_in(message: &Message<'_>) -> bool {
    let is_loose = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n');
    message.bytes()[..message.headers_start() as usize].iter().any(is_loose)
        || message.headers().iter().any(|header| {
            let mut rest = message.value(header);
            let (mut comments, mut pair) = (0u32, false);
            while let Some((byte, behind)) = rest.split_first() {
                work::step();
                let in_comment = pair && comments > 0;
                if is_loose(byte) && !in_comment {
                    return true;
                }
                pair = *byte == b'\\' && !pair;
                match byte {
                    b'"' if comments == 0 => match skip_quoted(rest, 0) {
                        Some(end) => {
                            rest = &rest[end..];
                            continue;
                        }
                        // It never closes, and neither does any later one.
                        None => return behind.iter().any(is_loose),
                    },
                    b'(' if !in_comment => comments += 1,
                    b')' if !in_comment => comments = comments.saturating_sub(1),
                    _ => {}
                }
                rest = behind;
            }
            false
        })
}
