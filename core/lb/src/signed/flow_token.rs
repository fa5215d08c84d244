//! The flow token (RFC 5626 §5.2): our Path entry (RFC 3327) says in it how a registered telephone is reached.
//!
//! A registrar keeps the entry with the binding and puts it as a Route into its requests to the telephone. The token names
//! the telephone's connection, or over UDP the address that it sent from, so that a request reaches it behind a NAT and needs
//! no table here. The token is authenticated, and names the run of this process: connections are numbered anew after a
//! restart, and an older token would lead to somebody else.

use std::net::{IpAddr, SocketAddr};

use sip::{ConnectionId, Flow};

use crate::signed::keyring::{KeyRing, same};
use crate::signed::token;

/// The URI parameter of our Path entry that holds the token.
pub(crate) const PARAMETER: &[u8] = b"farmflow";

const AUTHENTICATOR: usize = 8;
/// Key id, kind, listener.
const FIXED: usize = 3;
const CONNECTION: usize = 4 + 1 + 2 + 4;

/// The purpose under the authenticator, so that no hop can be sent back as a token.
const PURPOSE: &[u8] = b"flow";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connection = 0,
    DatagramV4 = 1,
    DatagramV6 = 2,
}

/// Where a registered telephone is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowToken {
    /// The listener that its REGISTER came by.
    pub(crate) listener: u8,
    pub(crate) reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// `run`: the run of the process that had the connection.
    Connection {
        run: u32,
        id: ConnectionId,
    },
    Datagram(SocketAddr),
}

impl FlowToken {
    /// The way back along which a request came.
    pub(crate) fn of(flow: Flow, run: u32) -> FlowToken {
        let reach = match flow.connection {
            Some(id) => Reach::Connection { run, id },
            None => Reach::Datagram(flow.remote),
        };
        FlowToken { listener: flow.listener, reach }
    }

    pub(crate) fn write(&self, keys: &KeyRing, out: &mut Vec<u8>) {
        let mut said = Vec::with_capacity(token::BYTES_MAX);
        let kind = match self.reach {
            Reach::Connection { .. } => Kind::Connection,
            Reach::Datagram(to) if to.is_ipv4() => Kind::DatagramV4,
            Reach::Datagram(_) => Kind::DatagramV6,
        };
        said.extend_from_slice(&[keys.signing_id(), kind as u8, self.listener]);
        match self.reach {
            Reach::Connection { run, id } => {
                said.extend_from_slice(&run.to_be_bytes());
                said.push(id.worker);
                said.extend_from_slice(&id.slot.to_be_bytes());
                said.extend_from_slice(&id.generation.to_be_bytes());
            }
            Reach::Datagram(to) => {
                match to.ip() {
                    IpAddr::V4(ip) => said.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => said.extend_from_slice(&ip.octets()),
                }
                said.extend_from_slice(&to.port().to_be_bytes());
            }
        }
        let (mut bytes, length) = ([0; token::BYTES_MAX], said.len());
        bytes[..length].copy_from_slice(&said);
        let signed = keys.hop_authenticator(&bytes, length, PURPOSE);
        let authenticator = signed.expect("the signing key is there");
        bytes[length..length + AUTHENTICATOR].copy_from_slice(&authenticator);
        let mut text = [0; token::CHARACTERS_MAX];
        let characters = token::encode(&bytes, length + AUTHENTICATOR, &mut text);
        out.extend_from_slice(&text[..characters]);
    }

    /// `None`: no load manager of the farm wrote this token.
    pub(crate) fn read(keys: &KeyRing, parameter: &[u8]) -> Option<FlowToken> {
        let (bytes, length) = token::decode(parameter)?;
        let length = length.checked_sub(AUTHENTICATOR)?;
        let body = bytes.get(FIXED..length)?;
        let authenticator = keys.hop_authenticator(&bytes, length, PURPOSE)?;
        if !same(&authenticator, &bytes[length..length + AUTHENTICATOR]) {
            return None;
        }
        let reach = match (bytes[1], body.len()) {
            (kind, CONNECTION) if kind == Kind::Connection as u8 => {
                let word =
                    |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
                let slot = u16::from_be_bytes([body[5], body[6]]);
                Reach::Connection {
                    run: word(0),
                    id: ConnectionId { worker: body[4], slot, generation: word(7) },
                }
            }
            (kind, 6) if kind == Kind::DatagramV4 as u8 => {
                let ip = IpAddr::from(<[u8; 4]>::try_from(&body[..4]).ok()?);
                Reach::Datagram(SocketAddr::new(ip, u16::from_be_bytes([body[4], body[5]])))
            }
            (kind, 18) if kind == Kind::DatagramV6 as u8 => {
                let ip = IpAddr::from(<[u8; 16]>::try_from(&body[..16]).ok()?);
                Reach::Datagram(SocketAddr::new(ip, u16::from_be_bytes([body[16], body[17]])))
            }
            _ => return None,
        };
        Some(FlowToken { listener: bytes[2], reach })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Keys;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(&Keys { tag: vec![(1, [byte; 16].into())], heartbeat: None })
    }

    fn samples() -> Vec<FlowToken> {
        let id = ConnectionId { worker: 3, slot: 65_535, generation: u32::MAX };
        let datagram = |text: &str| Reach::Datagram(text.parse().unwrap());
        let places = [
            Reach::Connection { run: 0xDEAD_BEEF, id },
            datagram("192.0.2.7:5061"),
            datagram("[2001:db8::9]:65535"),
        ];
        places.into_iter().map(|reach| FlowToken { listener: 2, reach }).collect()
    }

    #[test]
    fn a_token_comes_back_as_it_was() {
        for sample in samples() {
            let mut text = Vec::new();
            sample.write(&ring(1), &mut text);
            assert_eq!(FlowToken::read(&ring(1), &text), Some(sample));
            assert_eq!(FlowToken::read(&ring(2), &text), None, "of another farm");
        }
    }

    #[test]
    fn a_changed_character_and_what_is_no_token_are_refused() {
        for sample in samples() {
            let mut text = Vec::new();
            sample.write(&ring(1), &mut text);
            for at in 0..text.len() {
                let mut forged = text.clone();
                forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
                assert_eq!(FlowToken::read(&ring(1), &forged), None, "character {at}");
                assert_eq!(FlowToken::read(&ring(1), &text[..at]), None);
            }
        }
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAA", "!"] {
            assert_eq!(FlowToken::read(&ring(1), text.as_bytes()), None);
        }
    }
}
