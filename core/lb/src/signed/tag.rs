//! The tag (SPEC C2, C3): in it our Record-Route entry says what we need to know of a dialog, so that no table is needed.
//!
//! It names the server, tells the two directions of the dialog apart, and for a peer on a stream names the connection that
//! reaches it. It is authenticated together with the Call-ID: a [`Tag`] exists only if this farm made it for this call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sip::ConnectionId;

use crate::farm::server::ServerId;
use crate::signed::keyring::{CallKey, KeyRing, TAG_AUTHENTICATOR_BYTES, same};
use crate::signed::token::{self, BYTES_MAX, CHARACTERS_MAX};

/// The URI parameter of our Record-Route entry that holds the tag.
pub const PARAMETER: &[u8] = b"farmtag";

const SHORT: usize = 9;
const WITH_CONNECTION: usize = SHORT + 8;
const WITH_IPV4: usize = SHORT + 9;
const WITH_IPV6: usize = SHORT + 21;
/// In the byte of the worker (there are at most 64 workers): this copy is the client's.
const PRIVATE: u8 = 1 << 7;
/// In the same byte: the client names the address that it is at.
const LISTENS: u8 = 1 << 6;
/// Bytes of a tag before its authenticator: without and with the connection or the address at which a client is reached.
const LENGTHS: [usize; 4] = [SHORT, WITH_CONNECTION, WITH_IPV4, WITH_IPV6];
const _: () = assert!(WITH_IPV6 + TAG_AUTHENTICATOR_BYTES <= BYTES_MAX);

/// Whether a text of this many characters may be a tag.
pub(crate) fn may_be(characters: usize) -> bool {
    LENGTHS.iter().any(|length| ((length + TAG_AUTHENTICATOR_BYTES) * 4).div_ceil(3) == characters)
}

/// Which way a request of a dialog goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

impl Direction {
    fn other(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }
}

/// The connection of the peer on the client's side, and the listener it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerConnection {
    pub listener: u8,
    pub id: ConnectionId,
}

/// Where a client over UDP behind a NAT is reached: at the address that it sends from, by the listener that it sends to, as
/// RFC 5626 §5.3.2 says of a flow. With IPv6, instead of a NAT there is a firewall that lets nothing else in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehindNat {
    pub listener: u8,
    pub address: SocketAddr,
    /// The hashed contact of the client: a request for any other contact goes where that contact says. All names count as
    /// one, since none says where the client is. `None`: any contact.
    contact: Option<u16>,
}

impl BehindNat {
    pub(crate) fn new(keys: &KeyRing, listener: u8, address: SocketAddr, contact: Contact) -> BehindNat {
        let contact = match contact {
            Contact::Any => None,
            Contact::Is(contact) => Some(contact_mark(keys, keys.signing_id(), contact)),
        };
        BehindNat { listener, address, contact }
    }
}

/// For which contacts a client is reached where it sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contact {
    Any,
    /// This address; `None`: a name.
    Is(Option<SocketAddr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub server: ServerId,
    pub peer: Option<PeerConnection>,
    /// Never set together with `peer`.
    pub behind_nat: Option<BehindNat>,
    /// The hash of the Call-ID names another server: that one was full or draining, or a server began the call itself.
    /// With hash affinity, the tag then decides instead of the hash.
    pub placed: bool,
    /// This copy of a tag with a connection goes only to the client itself: its sender is that client. The server and the
    /// other party of the call see another copy (`way::private_tag`).
    pub private: bool,
    /// For a client with a connection: its Contact is at the address that it came from, so no NAT hides it, and it may be
    /// reached there when the connection is gone.
    pub listens: bool,
    /// Direction of the request that made the dialog, and a mark of its From tag.
    first: Direction,
    mark: u32,
    /// Id of the key that signs the tag and makes the mark.
    key: u8,
}

impl Tag {
    pub fn new(
        keys: &KeyRing,
        server: ServerId,
        first: Direction,
        from_tag: &[u8],
        peer: Option<PeerConnection>,
    ) -> Tag {
        let key = keys.signing_id();
        let behind_nat = None;
        Tag {
            server,
            peer,
            behind_nat,
            placed: false,
            private: false,
            listens: false,
            first,
            mark: mark(keys, key, from_tag),
            key,
        }
    }

    /// The copy for the client, or the copy for everybody else.
    pub(crate) fn copy_for(self, private: bool) -> Tag {
        Tag { private, ..self }
    }

    /// Direction of the request that made the dialog.
    pub(crate) fn first(&self) -> Direction {
        self.first
    }

    /// Where a client is, if a NAT hides it and it still has that contact.
    pub(crate) fn hidden_at(&self, keys: &KeyRing, contact: Option<SocketAddr>) -> Option<BehindNat> {
        let marked = || contact_mark(keys, self.key, contact);
        self.behind_nat.filter(|nat| nat.contact.is_none_or(|contact| contact == marked()))
    }

    /// A request with the From tag of the first request goes in its direction; any other goes in the other direction.
    pub fn direction(&self, keys: &KeyRing, from_tag: &[u8]) -> Direction {
        if mark(keys, self.key, from_tag) == self.mark { self.first } else { self.first.other() }
    }

    /// `call` is the key of `call_id` in the same ring.
    pub fn write(&self, keys: &KeyRing, call: CallKey, call_id: &[u8], out: &mut Vec<u8>) {
        let mut text = [0; CHARACTERS_MAX];
        let length = self.encode(keys, call, call_id, &mut text);
        out.extend_from_slice(&text[..length]);
    }

    /// Writes the same to the front of `text`; returns the number of characters.
    pub(crate) fn encode(
        &self,
        keys: &KeyRing,
        call: CallKey,
        call_id: &[u8],
        text: &mut [u8; CHARACTERS_MAX],
    ) -> usize {
        let mut bytes = [0u8; BYTES_MAX];
        bytes[0] = self.key;
        bytes[1..5].copy_from_slice(&self.server.0.to_be_bytes());
        let first = u32::from(self.first == Direction::ToClient);
        bytes[5..9].copy_from_slice(&(self.mark << 2 | u32::from(self.placed) << 1 | first).to_be_bytes());
        let mut length = SHORT;
        if let Some(peer) = self.peer {
            bytes[9] = peer.listener;
            let flag = |on: bool, bit: u8| if on { bit } else { 0 };
            bytes[10] = peer.id.worker | flag(self.private, PRIVATE) | flag(self.listens, LISTENS);
            bytes[11..13].copy_from_slice(&peer.id.slot.to_be_bytes());
            bytes[13..17].copy_from_slice(&peer.id.generation.to_be_bytes());
            length = WITH_CONNECTION;
        } else if let Some(nat) = self.behind_nat {
            bytes[9] = nat.listener;
            bytes[10..12].copy_from_slice(&nat.address.port().to_be_bytes());
            bytes[12..14].copy_from_slice(&nat.contact.unwrap_or(0).to_be_bytes());
            length = match nat.address.ip() {
                IpAddr::V4(_) => WITH_IPV4,
                IpAddr::V6(_) => WITH_IPV6,
            };
            match nat.address.ip() {
                IpAddr::V4(ip) => bytes[14..length].copy_from_slice(&ip.octets()),
                IpAddr::V6(ip) => bytes[14..length].copy_from_slice(&ip.octets()),
            }
        }
        let signed = keys.tag_authenticator(&bytes[..length], call, call_id);
        let authenticator = signed.expect("the signing key is there");
        bytes[length..length + TAG_AUTHENTICATOR_BYTES].copy_from_slice(&authenticator);
        token::encode(&bytes, length + TAG_AUTHENTICATOR_BYTES, text)
    }

    /// `None`: no load manager of the farm made this tag for this Call-ID.
    pub fn read(keys: &KeyRing, parameter: &[u8], call: CallKey, call_id: &[u8]) -> Option<Tag> {
        let (bytes, length) = token::decode(parameter)?;
        let length = length.checked_sub(TAG_AUTHENTICATOR_BYTES)?;
        if !LENGTHS.contains(&length) {
            return None;
        }
        let authenticator = keys.tag_authenticator(&bytes[..length], call, call_id)?;
        if !same(&authenticator, &bytes[length..length + TAG_AUTHENTICATOR_BYTES]) {
            return None;
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let slot = half(11);
        let contact = Some(half(12)).filter(|mark| *mark != 0);
        let ip: Option<IpAddr> = match length {
            WITH_IPV4 => bytes[14..length].first_chunk().map(|octets| Ipv4Addr::from(*octets).into()),
            WITH_IPV6 => bytes[14..length].first_chunk().map(|octets| Ipv6Addr::from(*octets).into()),
            _ => None,
        };
        let behind_nat = ip.map(|ip| {
            let address = SocketAddr::new(ip, half(10));
            BehindNat { listener: bytes[9], address, contact }
        });
        let id = ConnectionId { worker: bytes[10] & !(PRIVATE | LISTENS), slot, generation: word(13) };
        Some(Tag {
            server: ServerId(word(1)),
            peer: (length == WITH_CONNECTION).then_some(PeerConnection { listener: bytes[9], id }),
            behind_nat,
            placed: word(5) & 2 != 0,
            private: length == WITH_CONNECTION && bytes[10] & PRIVATE != 0,
            listens: length == WITH_CONNECTION && bytes[10] & LISTENS != 0,
            first: if word(5) & 1 == 0 { Direction::ToServer } else { Direction::ToClient },
            mark: word(5) >> 2,
            key: bytes[0],
        })
    }
}

/// 30 bits: two tags of one dialog look alike once in a thousand million calls.
fn mark(keys: &KeyRing, key: u8, from_tag: &[u8]) -> u32 {
    (keys.mark(key, from_tag) >> 34) as u32
}

/// Never zero, which stands for none. If two contacts of one client have one mark, once in 65,535, that does no harm.
fn contact_mark(keys: &KeyRing, key: u8, contact: Option<SocketAddr>) -> u16 {
    let mut bytes = [0; 18];
    match contact {
        // No client is at port 0.
        None => {}
        Some(SocketAddr::V4(contact)) => bytes[..4].copy_from_slice(&contact.ip().octets()),
        Some(SocketAddr::V6(contact)) => bytes[..16].copy_from_slice(&contact.ip().octets()),
    }
    bytes[16..].copy_from_slice(&contact.map_or(0, |contact| contact.port()).to_be_bytes());
    ((keys.mark(key, &bytes) >> 48) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Keys;

    fn ring(keys: &[(u8, u8)]) -> KeyRing {
        let tag = keys.iter().map(|(id, byte)| (*id, [*byte; 16].into())).collect();
        KeyRing::new(&Keys { tag, heartbeat: None })
    }

    fn read(keys: &KeyRing, parameter: &[u8], call_id: &[u8]) -> Option<Tag> {
        Tag::read(keys, parameter, keys.call(call_id), call_id)
    }

    fn written(keys: &KeyRing, tag: &Tag, call_id: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        tag.write(keys, keys.call(call_id), call_id, &mut out);
        out
    }

    fn sample(keys: &KeyRing, peer: bool) -> Tag {
        let id = ConnectionId { worker: 1, slot: 513, generation: 77 };
        let peer = peer.then_some(PeerConnection { listener: 3, id });
        Tag::new(keys, ServerId(0xCAFE_F00D), Direction::ToServer, b"caller", peer)
    }

    #[test]
    fn a_tag_comes_back_as_it_was_and_tells_the_directions_apart() {
        let keys = ring(&[(7, 1)]);
        for peer in [false, true] {
            let tag = sample(&keys, peer);
            let read = read(&keys, &written(&keys, &tag, b"call"), b"call").unwrap();
            assert_eq!(read, tag);
            assert_eq!(read.direction(&keys, b"caller"), Direction::ToServer);
            assert_eq!(read.direction(&keys, b"callee"), Direction::ToClient);
        }
        let named = Some("192.168.1.5:5060".parse().unwrap());
        for address in ["192.0.2.9:33000", "[2001:db8::9]:65535"] {
            for contact in [Contact::Any, Contact::Is(named), Contact::Is(None)] {
                let behind_nat = Some(BehindNat::new(&keys, 2, address.parse().unwrap(), contact));
                let tag = Tag { behind_nat, ..sample(&keys, false) };
                assert_eq!(read(&keys, &written(&keys, &tag, b"call"), b"call"), Some(tag));
                for seen in [named, None, Some("192.168.1.6:5060".parse().unwrap())] {
                    let expected = contact == Contact::Any || contact == Contact::Is(seen);
                    assert_eq!(tag.hidden_at(&keys, seen).is_some(), expected, "{contact:?} {seen:?}");
                }
            }
        }
        for (private, listens) in [(true, false), (false, true), (true, true)] {
            let tag = Tag { private, listens, ..sample(&keys, true) };
            assert_eq!(read(&keys, &written(&keys, &tag, b"call"), b"call"), Some(tag));
        }
    }

    #[test]
    fn a_changed_bit_another_call_or_another_farm_is_refused() {
        let keys = ring(&[(7, 1)]);
        let token = written(&keys, &sample(&keys, true), b"call");
        assert_eq!(read(&keys, &token, b"another call"), None);
        assert_eq!(read(&ring(&[(7, 2)]), &token, b"call"), None);
        assert_eq!(read(&keys, &token[..token.len() - 1], b"call"), None);
        assert_eq!(read(&keys, b"", b"call"), None);
        for at in 0..token.len() {
            let mut forged = token.clone();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(read(&keys, &forged, b"call"), None, "character {at}");
        }
    }

    #[test]
    fn tags_of_the_old_key_hold_after_a_rotation() {
        let old = ring(&[(1, 1)]);
        let token = written(&old, &sample(&old, false), b"call");
        let rotated = ring(&[(2, 2), (1, 1)]);
        let tag = read(&rotated, &token, b"call").unwrap();
        assert_eq!(tag.direction(&rotated, b"caller"), Direction::ToServer);
        let token = written(&rotated, &sample(&rotated, false), b"call");
        assert!(read(&old, &token, b"call").is_none(), "signed by the new key");
        let done = ring(&[(2, 2)]);
        let tag = read(&done, &token, b"call").expect("made before the old key was taken out");
        assert_eq!(tag.direction(&done, b"caller"), Direction::ToServer);
        assert_eq!(tag.direction(&done, b"callee"), Direction::ToClient);
    }
}
