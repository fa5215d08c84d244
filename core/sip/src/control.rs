//! Control characters in the head of a message, where they do not belong (RFC 3261 §25.1). Asked only for a head that has any.

use crate::message::Message;
use crate::text::skip_quoted;
use crate::work;

impl Message<'_> {
    /// Whether a control character stands in the head where none may be.
    pub(crate) fn has_loose_control(&self) -> bool {
        self.has_controls() && is_loose_in(self)
    }
}

/// The grammar has control characters but tabs in quoted pairs alone (RFC 3261 §25.1), of quoted strings and of comments. In a
/// quoted string they are let through as they are; anywhere else one element may take for an end what the next one reads on.
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
                        // It never closes, and neither does any behind it.
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
