//! The load query (SPEC A12): a datagram that asks an agent for a heartbeat at any time. The answer is a heartbeat with the
//! same figures, and with the nonce of the query.
//!
//! A query is padded to [`QUERY_BYTES`], and no answer is longer: a forged source address gets at most as many bytes as the
//! forgery cost. With a key, only a signed query is answered.

use crate::authenticator::{self, AUTHENTICATOR_BYTES};
use crate::form::Form;
use crate::ignored::Ignored;

/// First field of a query, in network byte order; it differs from that of a heartbeat in either order.
pub const QUERY_ID: u32 = Form::Query.id();

/// Length of every query: protocol id, four bytes of zero, nonce, padding, authenticator (zero without a key).
pub const QUERY_BYTES: usize = 192;

const COVERED_BYTES: usize = QUERY_BYTES - AUTHENTICATOR_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Comes back in the answer, so that the asker can distinguish answers. Use a random nonce for each query.
    pub nonce: u64,
}

impl Query {
    pub fn encode(&self, key: Option<&[u8]>) -> [u8; QUERY_BYTES] {
        let mut bytes = [0; QUERY_BYTES];
        bytes[..4].copy_from_slice(&QUERY_ID.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.nonce.to_be_bytes());
        if let Some(key) = key {
            let authenticator = authenticator::make(key, &bytes[..COVERED_BYTES]);
            bytes[COVERED_BYTES..].copy_from_slice(&authenticator);
        }
        bytes
    }

    pub fn decode(bytes: &[u8], key: Option<&[u8]>) -> Result<Query, Ignored> {
        let Some(id) = bytes.first_chunk::<4>() else {
            return Err(Ignored::Short);
        };
        if u32::from_be_bytes(*id) != QUERY_ID {
            return Err(Ignored::WrongProtocol);
        }
        if bytes.len() > QUERY_BYTES {
            return Err(Ignored::Long);
        }
        let covered = authenticator::covered::<COVERED_BYTES>(bytes, key)?;
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&covered[8..16]);
        Ok(Query { nonce: u64::from_be_bytes(nonce) })
    }
}
