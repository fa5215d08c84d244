//! A message that one engine hands to another, because that one owns the call: a datagram with an authenticator of the farm.
//!
//! ```text
//! "SWL1" | hops 1 | authenticator 16 | flow: length 1, bytes | message
//! ```

use sip::{ConnectionId, Flow};
use subtle::ConstantTimeEq as _;

use crate::record::{read_flow, write_flow};
use crate::secret::FarmSecret;

const MAGIC: &[u8; 4] = b"SWL1";
const HOPS_AT: usize = MAGIC.len();
const AUTHENTICATOR_AT: usize = HOPS_AT + 1;
const FLOW_AT: usize = AUTHENTICATOR_AT + 16;

/// A message is handed on at most so often.
pub(crate) const HOPS_MAX: u8 = 2;

/// Whether a datagram is such a message; no SIP message begins like this.
pub(crate) fn is_meant(datagram: &[u8]) -> bool {
    datagram.starts_with(MAGIC)
}

pub(crate) fn seal(secret: &FarmSecret, hops: u8, flow: &Flow, message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(64 + message.len());
    write_flow(flow, &mut text);
    let length = [text.len() as u8];
    text.extend_from_slice(message);
    let authenticator = secret.letter(&[hops], &length, &text);
    [&MAGIC[..], &[hops], &authenticator, &length, &text].concat()
}

/// `None`: the farm did not write it.
pub(crate) fn open<'d>(secret: &FarmSecret, datagram: &'d [u8]) -> Option<(u8, Flow, &'d [u8])> {
    let (head, rest) = datagram.split_at_checked(FLOW_AT)?;
    let (length, text) = rest.split_at_checked(1)?;
    let hops = head[HOPS_AT];
    let authenticator = secret.letter(&[hops], length, text);
    let right: bool = authenticator.ct_eq(&head[AUTHENTICATOR_AT..]).into();
    let (flow, message) = text.split_at_checked(usize::from(length[0]))?;
    if !right || !is_meant(head) {
        return None;
    }
    let mut flow = read_flow(flow).ok()??;
    foreign(&mut flow);
    Some((hops, flow, message))
}

/// A connection of another process reaches nobody here, and must not be taken for one of ours: the answer opens one of its own.
pub(crate) fn foreign(flow: &mut Flow) {
    if let Some(id) = &mut flow.connection {
        *id = ConnectionId { worker: u8::MAX, slot: u16::MAX, generation: 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_engine_seals_another_opens_and_nothing_else_is_believed() {
        let secret = FarmSecret::new([7; 32]);
        let remote = "192.0.2.7:5060".parse().expect("an address");
        let flow = Flow { listener: 1, transport: sip::Transport::Udp, remote, connection: None };
        let sealed = seal(&secret, 1, &flow, b"BYE");
        assert!(is_meant(&sealed));
        assert_eq!(open(&secret, &sealed), Some((1, flow, &b"BYE"[..])));
        assert_eq!(open(&FarmSecret::new([8; 32]), &sealed), None, "another farm");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(&secret, &changed), None, "{at}");
        }
        for end in 0..sealed.len() {
            assert_eq!(open(&secret, &sealed[..end]), None);
        }
    }
}
