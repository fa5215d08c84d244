//! A session as values for the process that goes on with it (see [`base::fields`]).

use base::Time;
use base::fields::{Reader, Writer};

use super::{Kind, WebSocket};

mod name {
    pub(super) const IS_OPEN: u8 = 1;
    pub(super) const PARTIAL: u8 = 2;
    pub(super) const IS_TEXT: u8 = 3;
    pub(super) const FRAGMENTS: u8 = 4;
    pub(super) const SINCE: u8 = 5;
}

impl WebSocket {
    pub(crate) fn write(&self, into: &mut Writer) {
        into.flag(name::IS_OPEN, self.is_open);
        into.bytes(name::PARTIAL, &self.partial);
        if let Some((kind, bytes)) = &self.fragments {
            into.flag(name::IS_TEXT, *kind == Kind::Text);
            into.bytes(name::FRAGMENTS, bytes);
        }
        into.time(name::SINCE, self.since.unwrap_or(Time::NEVER));
    }

    pub(crate) fn read(from: Reader<'_>) -> WebSocket {
        let kind = if from.flag(name::IS_TEXT) { Kind::Text } else { Kind::Binary };
        WebSocket {
            is_open: from.flag(name::IS_OPEN),
            partial: from.get(name::PARTIAL).unwrap_or_default().to_vec(),
            fragments: from.get(name::FRAGMENTS).map(|bytes| (kind, bytes.to_vec())),
            since: Some(from.time(name::SINCE)).filter(|since| *since != Time::NEVER),
        }
    }
}
