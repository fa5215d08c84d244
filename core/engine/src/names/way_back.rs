//! Where the answer to a request without a record goes: the listener, and the connection, that the request came by. It stands
//! in the place of the key in the branch of our Via.

use sip::{ConnectionId, Flow};
use state::Key;

/// See the head of this module. The address stands in the Via below ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    pub listener: u8,
    /// Of the engine that our Via names.
    pub connection: Option<ConnectionId>,
}

impl WayBack {
    pub fn of(flow: &Flow) -> WayBack {
        WayBack { listener: flow.listener, connection: flow.connection }
    }

    pub fn write(self) -> Key {
        let mut bytes = [0; 12];
        bytes[0] = self.listener;
        if let Some(ConnectionId { worker, slot, generation }) = self.connection {
            bytes[1..3].copy_from_slice(&[1, worker]);
            bytes[3..5].copy_from_slice(&slot.to_be_bytes());
            bytes[5..9].copy_from_slice(&generation.to_be_bytes());
        }
        Key(bytes)
    }

    pub fn read(key: Key) -> WayBack {
        let [listener, has, worker, s0, s1, g0, g1, g2, g3, ..] = key.0;
        let (slot, generation) = (u16::from_be_bytes([s0, s1]), u32::from_be_bytes([g0, g1, g2, g3]));
        let connection = (has == 1).then_some(ConnectionId { worker, slot, generation });
        WayBack { listener, connection }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_is_read_as_it_was_written() {
        let id = ConnectionId { worker: 3, slot: 0x1234, generation: 0x89AB_CDEF };
        for connection in [None, Some(id)] {
            let way = WayBack { listener: 7, connection };
            assert_eq!(WayBack::read(way.write()), way);
        }
    }
}
