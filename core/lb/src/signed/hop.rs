//! The hop: in it our own Via says where the response goes (SPEC C4, RFC 3261 §18.2.2), so that no table is needed.
//!
//! It names where the response goes and which server the request went to, and is authenticated together with the branch:
//! a response without a hop of ours is dropped, so nobody can use the load manager to reflect.

use std::net::{IpAddr, SocketAddr};

use sip::{ConnectionId, Target, Transport};

use crate::farm::server::ServerId;
use crate::signed::keyring::{CallKey, KeyRing, same};
use crate::signed::stamp::Stamp;
use crate::signed::token::{self, BYTES_MAX, CHARACTERS_MAX};

/// The parameter of our Via that holds the hop.
pub const PARAMETER: &[u8] = b"hop";

/// The text between our branch and the hop.
pub(crate) const BEHIND_BRANCH: &[u8; 5] = b";hop=";

const AUTHENTICATOR: usize = 8;
/// The time when the request was passed on, if its answer is timed.
const STAMP: usize = 3;
/// Key id, flags, listener, server, port, call.
const FIXED: usize = 1 + 1 + 1 + 4 + 2 + 8;
/// The fixed fields, an IPv6 address, a connection and the authenticator fit.
const _: () = assert!(FIXED + 16 + 7 + AUTHENTICATOR <= BYTES_MAX);
const _: () = assert!(FIXED + 16 + STAMP + AUTHENTICATOR <= BYTES_MAX);

const STREAM: u8 = 1;
const IPV6: u8 = 1 << 1;
const FIRST: u8 = 1 << 2;
const HELD: u8 = 1 << 3;
const TO_CLIENT: u8 = 1 << 4;
/// A probe of ours; together with BYE: a server began the call.
const PROBE: u8 = 1 << 5;
const INVITE: u8 = 1 << 6;
const BYE: u8 = 1 << 7;
/// Both bits: neither INVITE nor BYE.
const REGISTER: u8 = INVITE | BYE;

/// The method of the request, as far as its response must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Invite,
    Bye,
    /// The BYE of a call that a server began: of that passage, of two, whose INVITE went from a server to a client.
    ByeOfServersCall,
    Register,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The listener that the request came in by; the response leaves by it.
    pub listener: u8,
    /// Where the response goes; for a stream, where a new connection is made if the old one is gone.
    pub to: SocketAddr,
    /// For a stream: the connection that the request came on.
    pub connection: Option<ConnectionId>,
    /// The server that the request went to, or came from.
    pub server: ServerId,
    /// The key of the call in the memory of calls, so that a response need not be searched for its Call-ID.
    pub call: CallKey,
    pub asked: Asked,
    /// The request had no To tag: it may begin a call.
    pub first: bool,
    /// The request is held (see `hold`), so the response concerns it.
    pub held: bool,
    /// The request went from a server to a client.
    pub to_client: bool,
    /// The request is our own probe, to see whether the server is well.
    pub probe: bool,
    /// When the request was passed on, if [`Hop::is_timed`].
    pub sent: Stamp,
}

impl Hop {
    /// Whether the request is of the passage to a client of a call that a server began.
    pub fn is_of_servers_call(&self) -> bool {
        match self.asked {
            Asked::Invite => self.to_client,
            Asked::ByeOfServersCall => true,
            Asked::Bye | Asked::Register | Asked::Other => false,
        }
    }

    /// Whether the time until the answer is measured. Not for other methods, which nobody waits for; and not for a client
    /// with IPv6 on a stream, whose hop has no room.
    pub fn is_timed(&self) -> bool {
        self.asked != Asked::Other && !(self.connection.is_some() && self.to.is_ipv6())
    }

    /// Whether a listener of this transport can have received the request.
    pub fn fits(&self, transport: Transport) -> bool {
        self.connection.is_some() == transport.is_reliable()
    }

    pub fn target(&self) -> Target {
        match self.connection {
            None => Target::Datagram { listener: self.listener, to: self.to },
            Some(id) => Target::Connection { listener: self.listener, id, to: self.to, or_connect: true },
        }
    }

    /// `branch` is the whole value of the branch parameter beside the hop.
    pub fn write(&self, keys: &KeyRing, branch: &[u8], out: &mut Vec<u8>) {
        let mut text = [0; CHARACTERS_MAX];
        let length = self.encode(keys, branch, &mut text);
        out.extend_from_slice(&text[..length]);
    }

    /// Writes the same to the front of `text`; returns the number of characters.
    #[inline]
    pub(crate) fn encode(&self, keys: &KeyRing, branch: &[u8], text: &mut [u8; CHARACTERS_MAX]) -> usize {
        let mut bytes = [0u8; BYTES_MAX];
        let key_id = keys.signing_id();
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        bytes[0] = key_id;
        bytes[1] = flag(self.connection.is_some(), STREAM)
            | flag(self.to.is_ipv6(), IPV6)
            | flag(self.first, FIRST)
            | flag(self.held, HELD)
            | flag(self.to_client, TO_CLIENT)
            | flag(self.probe, PROBE)
            | match self.asked {
                Asked::Invite => INVITE,
                Asked::Bye => BYE,
                Asked::ByeOfServersCall => BYE | PROBE,
                Asked::Register => REGISTER,
                Asked::Other => 0,
            };
        bytes[2] = self.listener;
        bytes[3..7].copy_from_slice(&self.server.0.to_be_bytes());
        bytes[7..9].copy_from_slice(&self.to.port().to_be_bytes());
        bytes[9..17].copy_from_slice(&self.call.0.to_be_bytes());
        let mut length = FIXED;
        let mut put = |part: &[u8]| {
            bytes[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        };
        match self.to.ip() {
            IpAddr::V4(ip) => put(&ip.octets()),
            IpAddr::V6(ip) => put(&ip.octets()),
        }
        if let Some(id) = self.connection {
            put(&[id.worker]);
            put(&id.slot.to_be_bytes());
            put(&id.generation.to_be_bytes());
        }
        if self.is_timed() {
            put(&self.sent.to_bytes());
        }
        let authenticator = keys.hop_authenticator(&bytes, length, branch).expect("the signing key is there");
        bytes[length..length + AUTHENTICATOR].copy_from_slice(&authenticator);
        token::encode(&bytes, length + AUTHENTICATOR, text)
    }

    /// `None`: no load manager of the farm wrote this hop beside this branch.
    pub fn read(keys: &KeyRing, parameter: &[u8], branch: &[u8]) -> Option<Hop> {
        let (bytes, length) = token::decode(parameter)?;
        let length = length.checked_sub(AUTHENTICATOR)?;
        let flags = bytes[1];
        let address = if flags & IPV6 == 0 { 4 } else { 16 };
        let connection = if flags & STREAM == 0 { 0 } else { 7 };
        let timed = flags & REGISTER != 0 && flags & (STREAM | IPV6) != STREAM | IPV6;
        let stamp = if timed { STAMP } else { 0 };
        if length != FIXED + address + connection + stamp {
            return None;
        }
        let authenticator = keys.hop_authenticator(&bytes, length, branch)?;
        if !same(&authenticator, &bytes[length..length + AUTHENTICATOR]) {
            return None;
        }
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let ip: IpAddr = if address == 4 {
            IpAddr::from(<[u8; 4]>::try_from(&bytes[FIXED..FIXED + 4]).expect("four bytes"))
        } else {
            IpAddr::from(<[u8; 16]>::try_from(&bytes[FIXED..FIXED + 16]).expect("sixteen bytes"))
        };
        let at = FIXED + address;
        let id = ConnectionId { worker: bytes[at], slot: short(at + 1), generation: word(at + 3) };
        let at = at + connection;
        let sent = Stamp::from_bytes([bytes[at], bytes[at + 1], bytes[at + 2]]);
        Some(Hop {
            listener: bytes[2],
            to: SocketAddr::new(ip, short(7)),
            connection: (connection != 0).then_some(id),
            server: ServerId(word(3)),
            call: CallKey(u64::from_be_bytes(bytes[9..FIXED].try_into().expect("eight bytes"))),
            asked: match flags & REGISTER {
                INVITE => Asked::Invite,
                BYE if flags & PROBE != 0 => Asked::ByeOfServersCall,
                BYE => Asked::Bye,
                REGISTER => Asked::Register,
                _ => Asked::Other,
            },
            first: flags & FIRST != 0,
            held: flags & HELD != 0,
            to_client: flags & TO_CLIENT != 0,
            probe: flags & PROBE != 0 && flags & REGISTER == 0,
            sent: if timed { sent } else { Stamp::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Keys;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(&Keys { tag: vec![(1, [byte; 16].into())], heartbeat: None })
    }

    fn samples() -> Vec<Hop> {
        let id = ConnectionId { worker: 3, slot: 65_535, generation: u32::MAX };
        let mut all = Vec::new();
        for to in ["192.0.2.7:5061", "[2001:db8::9]:5060"] {
            for connection in [None, Some(id)] {
                for bits in 0..16u8 {
                    let (first, held) = (bits & 1 != 0, bits & 2 != 0);
                    let (to_client, probe) = (bits & 4 != 0, false);
                    let (to, server) = (to.parse().unwrap(), ServerId(9));
                    let asked =
                        [Asked::Invite, Asked::Bye, Asked::Register, Asked::Other, Asked::ByeOfServersCall];
                    let asked = asked[usize::from(bits) % 5];
                    let call = CallKey(0x0123_4567_89AB_CDEF);
                    let mut hop = Hop {
                        sent: Stamp::default(),
                        call,
                        asked,
                        listener: 2,
                        to,
                        connection,
                        server,
                        first,
                        held,
                        to_client,
                        probe,
                    };
                    if hop.is_timed() {
                        hop.sent = Stamp::from_bytes([1, 2, 250 + bits % 6]);
                    }
                    all.push(hop);
                    all.push(Hop { asked: Asked::Other, sent: Stamp::default(), probe: true, ..hop });
                }
            }
        }
        all
    }

    #[test]
    fn a_hop_comes_back_as_it_was() {
        for hop in samples() {
            let mut token = Vec::new();
            hop.write(&ring(1), b"z9hG4bKabc", &mut token);
            assert_eq!(Hop::read(&ring(1), &token, b"z9hG4bKabc"), Some(hop));
        }
    }

    #[test]
    fn a_changed_bit_another_branch_or_another_farm_is_refused() {
        for hop in samples() {
            let mut token = Vec::new();
            hop.write(&ring(1), b"z9hG4bKabc", &mut token);
            assert_eq!(Hop::read(&ring(1), &token, b"z9hG4bKabd"), None);
            assert_eq!(Hop::read(&ring(2), &token, b"z9hG4bKabc"), None);
            for at in 0..token.len() {
                let mut forged = token.clone();
                forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                assert_eq!(Hop::read(&ring(1), &forged, b"z9hG4bKabc"), None, "character {at}");
            }
        }
    }
}
