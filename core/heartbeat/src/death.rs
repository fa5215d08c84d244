//! What a load manager tells the servers of a state tier: one of them is gone. The others go on with its calls at once, and
//! need not wait until the state tier finds that it is silent. Layout: docs/heartbeat.md.
//!
//! The datagram comes from the address that heartbeats are sent to, to the address that they are sent from. It is sent once; a
//! server that misses it hears of the death from the state tier. A receiver calls [`decode`], then
//! [`crate::notice::Senders::admit_count`]. It says what one load manager sees: the server may live, and another load manager
//! may still send it calls.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::authenticator::{self, AUTHENTICATOR_BYTES};
use crate::form::Form;
use crate::ignored::Ignored;

/// First field of the datagram, in network byte order.
pub const DEATH_ID: u32 = Form::Death.id();

/// Raised only if a receiver of the old version must not read the rest.
const VERSION: u16 = 1;

/// Protocol id, version, SIP port, server id, IP address, state tier, sender, count.
const COVERED_BYTES: usize = 52;

/// Length of the datagram; the authenticator is zero without a key.
pub const DEATH_BYTES: usize = COVERED_BYTES + AUTHENTICATOR_BYTES;

/// A server is gone, as a load manager sees it: its heartbeats ended, it said that it stopped, or it answers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The state tier that keeps its calls, as its heartbeats named it.
    pub state_tier: u64,
    /// The id in its last heartbeat.
    pub server_id: u32,
    /// Where it received SIP.
    pub sip: SocketAddr,
}

/// A notice whose authenticator was right, or that needed none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub death: Death,
    /// The teller and its count, for [`crate::notice::Senders::admit_count`]: see [`crate::notice::Sender`].
    pub sender: u64,
    pub count: u64,
}

impl Death {
    /// `sender` and `count`: of [`crate::notice::Sender::next`].
    pub fn encode(&self, sender: u64, count: u64, key: Option<&[u8]>) -> [u8; DEATH_BYTES] {
        let ip = match self.sip.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; DEATH_BYTES];
        bytes[..4].copy_from_slice(&DEATH_ID.to_be_bytes());
        bytes[4..6].copy_from_slice(&VERSION.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.sip.port().to_be_bytes());
        bytes[8..12].copy_from_slice(&self.server_id.to_be_bytes());
        bytes[12..28].copy_from_slice(&ip.octets());
        bytes[28..36].copy_from_slice(&self.state_tier.to_be_bytes());
        bytes[36..44].copy_from_slice(&sender.to_be_bytes());
        bytes[44..52].copy_from_slice(&count.to_be_bytes());
        if let Some(key) = key {
            let authenticator = authenticator::make(key, &bytes[..COVERED_BYTES]);
            bytes[COVERED_BYTES..].copy_from_slice(&authenticator);
        }
        bytes
    }
}

/// Reads a notice. With a key, only a signed one is believed.
pub fn decode(bytes: &[u8], key: Option<&[u8]>) -> Result<Told, Ignored> {
    let id = bytes.first_chunk::<4>().ok_or(Ignored::Short)?;
    if u32::from_be_bytes(*id) != DEATH_ID {
        return Err(Ignored::WrongProtocol);
    }
    if bytes.len() > DEATH_BYTES {
        return Err(Ignored::Long);
    }
    let covered = authenticator::covered::<COVERED_BYTES>(bytes, key)?;
    let [_, _, _, _, v0, v1, p0, p1, s0, s1, s2, s3, rest @ ..] = *covered;
    if u16::from_be_bytes([v0, v1]) != VERSION {
        return Err(Ignored::BadTail);
    }
    let port = u16::from_be_bytes([p0, p1]);
    if port == 0 {
        return Err(Ignored::BadPort);
    }
    let mut ip = [0; 16];
    ip.copy_from_slice(&rest[..16]);
    let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| rest[at + byte]));
    let sip = SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port);
    let server_id = u32::from_be_bytes([s0, s1, s2, s3]);
    let death = Death { state_tier: number(16), server_id, sip };
    Ok(Told { death, sender: number(24), count: number(32) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::notice::{Disbelieved, Sender, Senders};

    const KEY: &[u8] = b"farm key";

    fn death() -> Death {
        Death { state_tier: 0x0102_0304_0506_0708, server_id: 7, sip: ([192, 0, 2, 7], 5060).into() }
    }

    /// The bytes, made without this code (by Python's struct and hmac).
    #[test]
    fn golden() {
        let bytes = death().encode(0x1112_1314_1516_1718, 0x2122_2324_2526_2728, Some(KEY));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "deadfad3000113c40000000700000000000000000000ffffc0000207010203040506070811121314151617182122232425262728\
             39dc2c506197d8408ea813b479d186db"
        );
    }

    #[test]
    fn every_flaw_has_its_reason() {
        let signed = death().encode(1, 2, Some(KEY));
        let told = Told { death: death(), sender: 1, count: 2 };
        assert_eq!((decode(&signed, Some(KEY)), decode(&signed, None)), (Ok(told), Ok(told)));
        assert_eq!(decode(&signed, Some(b"another")), Err(Ignored::BadAuthenticator));
        let open = death().encode(1, 2, None);
        assert_eq!(
            (decode(&open, Some(KEY)), decode(&open, None)),
            (Err(Ignored::NoAuthenticator), Ok(told))
        );
        assert_eq!(decode(&[&open[..], &[0]].concat(), None), Err(Ignored::Long));
        assert_eq!(decode(b"OPTIONS sip:a@example.com SIP/2.0", None), Err(Ignored::WrongProtocol));
        for (at, to, flaw) in [(5, 2, Ignored::BadTail), (6, 0, Ignored::BadPort)] {
            let mut changed = open;
            (changed[at], changed[7]) = (to, if flaw == Ignored::BadPort { 0 } else { changed[7] });
            assert_eq!(decode(&changed, None), Err(flaw));
        }
        for length in 0..DEATH_BYTES {
            assert_eq!(decode(&signed[..length], None), Err(Ignored::Short), "cut to {length}");
        }
    }

    #[test]
    fn a_recorded_notice_is_not_believed_again() {
        let (mut sender, mut senders) = (Sender::new(5, 0), Senders::default());
        let clock = 1_790_000_000_000_000;
        let mut admit = |(sender, count)| {
            let told = decode(&death().encode(sender, count, Some(KEY)), Some(KEY)).unwrap();
            senders.admit_count(clock, told.sender, told.count)
        };
        let first = sender.next(clock);
        assert_eq!(admit(first), Ok(()));
        assert_eq!(admit(first), Err(Disbelieved::Replayed));
        assert_eq!(admit(sender.next(clock)), Ok(()));
    }

    proptest! {
        #[test]
        fn what_is_told_is_what_is_heard(ip: IpAddr, port in 1..=u16::MAX, state_tier: u64, server_id: u32) {
            let death = Death { state_tier, server_id, sip: SocketAddr::new(ip.to_canonical(), port) };
            let told = decode(&death.encode(3, 4, Some(KEY)), Some(KEY));
            prop_assert_eq!(told, Ok(Told { death, sender: 3, count: 4 }));
        }

        #[test]
        fn whatever_is_changed_is_noticed(at in 0..DEATH_BYTES, change in 1..=255u8) {
            let mut bytes = death().encode(3, 4, Some(KEY));
            bytes[at] ^= change;
            prop_assert!(decode(&bytes, Some(KEY)).is_err());
        }

        #[test]
        fn garbage_is_survived(mut garbage in proptest::collection::vec(any::<u8>(), 0..100)) {
            let head = garbage.len().min(6);
            garbage[..head].copy_from_slice(&death().encode(0, 0, None)[..head]);
            prop_assert!(decode(&garbage, Some(KEY)).is_err());
            let _ = decode(&garbage, None);
        }
    }
}
