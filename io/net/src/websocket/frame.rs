//! Frames of WebSocket: their heads, read and written (RFC 6455 §5.2). The session decides what a sequence of frames means.

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn of(code: u8) -> Option<Kind> {
        match code {
            0x0 => Some(Kind::Continuation),
            0x1 => Some(Kind::Text),
            0x2 => Some(Kind::Binary),
            0x8 => Some(Kind::Close),
            0x9 => Some(Kind::Ping),
            0xA => Some(Kind::Pong),
            _ => None,
        }
    }

    fn code(self) -> u8 {
        match self {
            Kind::Continuation => 0x0,
            Kind::Text => 0x1,
            Kind::Binary => 0x2,
            Kind::Close => 0x8,
            Kind::Ping => 0x9,
            Kind::Pong => 0xA,
        }
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Kind::Close | Kind::Ping | Kind::Pong)
    }
}

/// The largest payload of a control frame (RFC 6455 §5.5).
pub(crate) const CONTROL_MAX: usize = 125;

/// The head of a frame from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) last: bool,
    pub(crate) kind: Kind,
    pub(crate) mask: [u8; 4],
    /// Bytes of the head itself.
    pub(crate) size: usize,
    pub(crate) payload: u64,
}

/// Why a head cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// The client must mask what it sends (RFC 6455 §5.1).
    Unmasked,
    /// Reserved bits or codes, a control frame that is long or in parts, a length in more bytes than it needs.
    Wrong,
}

/// `Ok(None)`: the head is not complete yet. An error is reported with the first byte that shows it.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Head>, BadHead> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let kind = Kind::of(first & 0x0F).filter(|_| first & 0x70 == 0).ok_or(BadHead::Wrong)?;
    let last = first & 0x80 != 0;
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(BadHead::Unmasked);
    }
    let short = second & 0x7F;
    if kind.is_control() && (!last || usize::from(short) > CONTROL_MAX) {
        return Err(BadHead::Wrong);
    }
    let (more, least) = match short {
        126 => (2, 126),
        127 => (8, 1 << 16),
        _ => (0, 0),
    };
    let Some(rest) = bytes.get(2..2 + more + 4) else { return Ok(None) };
    let (length, mask) = rest.split_at(more);
    let payload = match more {
        0 => u64::from(short),
        _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    if payload < least || payload > i64::MAX as u64 {
        return Err(BadHead::Wrong);
    }
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    Ok(Some(Head { last, kind, mask, size: 2 + more + 4, payload }))
}

/// The head of a frame of ours, which is complete and not masked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnHead {
    bytes: [u8; 10],
    size: u8,
}

impl OwnHead {
    pub(crate) fn new(kind: Kind, payload: usize) -> OwnHead {
        let mut bytes = [0; 10];
        bytes[0] = 0x80 | kind.code();
        let size = match payload {
            0..=125 => {
                bytes[1] = payload as u8;
                2
            }
            126..=0xFFFF => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        OwnHead { bytes, size }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.size)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: Kind, size: usize, payload: u64) -> Result<Option<Head>, BadHead> {
        Ok(Some(Head { last: true, kind, mask: [1, 2, 3, 4], size, payload }))
    }

    #[test]
    fn heads_are_read_and_told_apart() {
        for (bytes, expected) in [
            (&[0x81, 0x85, 1, 2, 3, 4][..], head(Kind::Text, 6, 5)),
            (&[0x82, 0xFE, 0, 126, 1, 2, 3, 4], head(Kind::Binary, 8, 126)),
            (&[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], head(Kind::Text, 14, 65_536)),
            (&[0x8A, 0x80, 1, 2, 3, 4], head(Kind::Pong, 6, 0)),
            (&[0x81, 0x05], Err(BadHead::Unmasked)),
            (&[0xC1, 0x85], Err(BadHead::Wrong)),
            (&[0x83], Err(BadHead::Wrong)),
            (&[0x09, 0x80], Err(BadHead::Wrong)),
            (&[0x89, 0xFE], Err(BadHead::Wrong)),
            (&[0x81, 0xFE, 0, 125, 1, 2, 3, 4], Err(BadHead::Wrong)),
            (&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4], Err(BadHead::Wrong)),
            (&[0x81, 0xFF, 128, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Err(BadHead::Wrong)),
        ] {
            assert_eq!(read(bytes), expected, "{bytes:x?}");
            if expected.is_ok() {
                assert!((0..bytes.len()).all(|length| read(&bytes[..length]) == Ok(None)), "{bytes:x?}");
            }
        }
    }

    #[test]
    fn our_heads_name_the_length_in_as_few_bytes_as_it_needs() {
        for (payload, expected) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(OwnHead::new(Kind::Text, payload).bytes(), expected);
        }
    }
}
