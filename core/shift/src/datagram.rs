//! The datagrams of members: a head of fixed size, sections of id, length and value, and an authenticator over everything.
//! All numbers are in network byte order. docs/workload-shifting.md specifies the form.
//!
//! Nothing of a datagram is believed, not even its sender, before its authenticator is found right.

use std::fmt;
use std::net::SocketAddr;

use heartbeat::Transport;
use heartbeat::authenticator::{self, AUTHENTICATOR_BYTES};

use crate::choice::ServiceState;
use crate::workload::{Measures, Workload};

mod body;
mod sections;
#[cfg(test)]
mod tests;

pub(crate) use body::is_of_uri;
pub(crate) use sections::is_name;
use sections::{Reader, Writer};

/// First field of every datagram. Nothing else that is signed with the same key begins with it.
pub const PROTOCOL_ID: u32 = heartbeat::form::Form::Shift.id();

/// Raised only if a receiver of the old version must not read the rest; additions are new sections.
const VERSION: u8 = 1;

/// Protocol id, version, kind, length, instance, count.
const HEAD_BYTES: usize = 24;

/// The longest datagram that is sent or read: an offer with the fields of a large INVITE. Most links do not carry it in one
/// piece; within a farm, IP fragments it.
pub const DATAGRAM_BYTES_MAX: usize = 4096;

/// Longest name of a member or region, bytes.
pub const NAME_BYTES_MAX: usize = 32;

/// The most members that one call can have visited.
pub const VISITED_MAX: usize = 16;

/// The longest user part of a request's URI that is passed on; a call to a longer one is not shifted.
pub(crate) const USER_BYTES_MAX: usize = 128;

/// The longest URI that a member gives as its identity.
pub(crate) const CONTACT_BYTES_MAX: usize = 320;

/// One datagram between two members of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The member that signed it.
    pub from: String,
    /// The receiver: a recording of a datagram to one member is not valid for another.
    pub to: String,
    /// A number that the sender drew at its start.
    pub instance: u64,
    /// Rises by at least one from datagram to datagram of a sender, also over its restarts.
    pub count: u64,
    pub body: Body,
}

/// The content of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The sender's workload, sent by itself or as the answer to a poll.
    Report(Report),
    /// Asks for a report.
    Poll {
        /// Comes back in the report.
        nonce: u64,
        /// The report must go to all members, not only to the asker.
        share: bool,
    },
    /// A new call, which the receiver decides on.
    Offer(Box<Offer>),
    /// The sender, or a member behind it on the chain, takes the call.
    Taken {
        call: CallName,
        /// Members from the origin to the member that took the call, without the latter.
        path: Vec<String>,
        /// The URI for the client.
        contact: Vec<u8>,
        /// The client already has its answer.
        told: bool,
    },
    /// No member has room.
    Refused { call: CallName, path: Vec<String>, retry_after_seconds: u32 },
}

/// What a member reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The nonce of the poll that this answers; 0: no poll.
    pub nonce: u64,
    /// False: the member leaves the group.
    pub present: bool,
    pub workload: Workload,
    /// What one more call adds to the workload at once.
    pub call_permille: u32,
    pub measures: Measures,
    pub state: ServiceState,
    pub cost: u32,
    /// 0 … 100.
    pub quality: u8,
    /// At most [`NAME_BYTES_MAX`] bytes.
    pub region: String,
    /// Time between two reports, milliseconds: a report that is older than some periods is void.
    pub period_ms: u32,
}

/// Names one call among all calls that the members of a group shift.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallName {
    /// The member that the client asked.
    pub origin: String,
    /// The origin's number for the call.
    pub number: u64,
}

/// A new call and its client's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub call: CallName,
    /// The receiver's instance, as the sender knows it from a report: an offer that was recorded before the receiver started
    /// is void.
    pub to_instance: u64,
    /// Members that had the call, the origin first, the sender last.
    pub visited: Vec<String>,
    /// Members that were asked without success: nobody asks them again for this call.
    pub avoid: Vec<String>,
    /// How many more members may be asked after the receiver.
    pub hops_left: u8,
    /// All members are above the threshold: the receiver has the least work and must take the call.
    pub must_take: bool,
    /// Where an answer to the client goes, and the transport of its request.
    pub client: SocketAddr,
    pub transport: Transport,
    /// User part of the called URI, as it was written.
    pub user: Vec<u8>,
    /// The answer that redirects the client, up to its Contact: the member that takes the call sends it straight. Empty: the
    /// identity goes back along the chain.
    pub answer: Vec<u8>,
}

impl Datagram {
    /// The signed datagram. `None`: it would be longer than [`DATAGRAM_BYTES_MAX`].
    pub fn encode(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut writer = Writer::new();
        writer.bytes.extend_from_slice(&PROTOCOL_ID.to_be_bytes());
        writer.bytes.extend_from_slice(&[VERSION, self.body.kind(), 0, 0]);
        writer.bytes.extend_from_slice(&self.instance.to_be_bytes());
        writer.bytes.extend_from_slice(&self.count.to_be_bytes());
        writer.section(sections::id::FROM, self.from.as_bytes());
        writer.section(sections::id::TO, self.to.as_bytes());
        self.body.write(&mut writer);
        let mut bytes = writer.bytes;
        let length = bytes.len() + AUTHENTICATOR_BYTES;
        if length > DATAGRAM_BYTES_MAX {
            return None;
        }
        bytes[6..8].copy_from_slice(&(length as u16).to_be_bytes());
        let authenticator = authenticator::make(key, &bytes);
        bytes.extend_from_slice(&authenticator);
        Some(bytes)
    }

    /// Reads a datagram of a member that has the key. Unknown sections are skipped.
    pub fn decode(bytes: &[u8], key: &[u8]) -> Result<Datagram, Ignored> {
        let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(Ignored::Short);
        };
        let [p0, p1, p2, p3, version, kind, l0, l1, ..] = *head;
        if u32::from_be_bytes([p0, p1, p2, p3]) != PROTOCOL_ID {
            return Err(Ignored::WrongProtocol);
        }
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if bytes.len() > DATAGRAM_BYTES_MAX || bytes.len() > length {
            return Err(Ignored::Long);
        }
        if bytes.len() < length || bytes.len() < HEAD_BYTES + AUTHENTICATOR_BYTES {
            return Err(Ignored::Short);
        }
        let (covered, authenticator) =
            bytes.split_last_chunk::<AUTHENTICATOR_BYTES>().ok_or(Ignored::Short)?;
        if !authenticator::is_right(key, covered, authenticator) {
            return Err(Ignored::BadAuthenticator);
        }
        if version != VERSION {
            return Err(Ignored::WrongVersion);
        }
        let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| head[at + i]));
        let reader = Reader::of(&covered[HEAD_BYTES..])?;
        Ok(Datagram {
            from: reader.name(sections::id::FROM)?,
            to: reader.name(sections::id::TO)?,
            instance: word(8),
            count: word(16),
            body: Body::read(kind, &reader)?,
        })
    }
}

/// Why a datagram was not believed. Each reason is counted, none is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The first field is not [`PROTOCOL_ID`].
    WrongProtocol,
    /// The datagram ends before its stated end.
    Short,
    /// The datagram goes on after its stated end, or is longer than [`DATAGRAM_BYTES_MAX`].
    Long,
    /// Signed with another key, or changed on the way.
    BadAuthenticator,
    /// A version that this program does not know.
    WrongVersion,
    /// A section is missing, comes twice, or has a wrong length or value.
    BadSection,
    /// The datagram is for another member.
    NotForUs,
    /// The sender is not in the settings here, or has this member's own name.
    Stranger,
    /// The datagram came before, or is too old to tell.
    Replayed,
}

impl Ignored {
    pub const ALL: [Ignored; 9] = [
        Ignored::WrongProtocol,
        Ignored::Short,
        Ignored::Long,
        Ignored::BadAuthenticator,
        Ignored::WrongVersion,
        Ignored::BadSection,
        Ignored::NotForUs,
        Ignored::Stranger,
        Ignored::Replayed,
    ];

    pub const fn index(self) -> usize {
        self as usize
    }

    pub const fn name(self) -> &'static str {
        match self {
            Ignored::WrongProtocol => "wrong_protocol",
            Ignored::Short => "short",
            Ignored::Long => "long",
            Ignored::BadAuthenticator => "bad_authenticator",
            Ignored::WrongVersion => "wrong_version",
            Ignored::BadSection => "bad_section",
            Ignored::NotForUs => "not_for_us",
            Ignored::Stranger => "stranger",
            Ignored::Replayed => "replayed",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Ignored {}
