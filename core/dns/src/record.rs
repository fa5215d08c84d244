//! Questions to the domain name system and their answers, as far as SIP needs them: NAPTR, SRV, A and AAAA.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::name::Name;

/// More records of one answer than these are not read. It is far more than the servers of a farm behind one name.
pub const RECORDS_MAX: usize = 256;

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Naptr,
    Srv,
    A,
    Aaaa,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    pub name: Name,
    pub kind: Kind,
    /// The search list of resolv.conf(5) may complete the name: an operator wrote it, perhaps in short.
    pub searched: bool,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Naptr => "NAPTR",
            Kind::Srv => "SRV",
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
        };
        write!(f, "{kind} of {}", self.name)
    }
}

/// One NAPTR record with flag `s` and without a regular expression; no other is of use (RFC 3263 §4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    pub order: u16,
    pub preference: u16,
    /// Such as `SIP+D2U`.
    pub service: Box<str>,
    pub replacement: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    /// `None`: the target is the root. The service is not offered there (RFC 2782).
    pub target: Option<Name>,
}

/// The records of an answer; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    Naptr(Vec<Naptr>),
    Srv(Vec<Srv>),
    Addresses(Vec<IpAddr>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Found {
        records: Records,
        ttl: Duration,
    },
    /// The name does not exist, or it has no record of this kind. `ttl`: of the SOA record, if one came (RFC 2308 §5).
    Nothing {
        ttl: Option<Duration>,
    },
    Failed(Failure),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No name server answered in time.
    Silent,
    ServerFailure,
    Refused,
    /// An answer that cannot be read, or a name server that cannot be reached.
    Broken,
    /// Too many names are remembered.
    Full,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Silent => "no name server answers",
            Failure::ServerFailure => "the name server says SERVFAIL",
            Failure::Refused => "the name server says REFUSED",
            Failure::Broken => "the answer of the name server cannot be used",
            Failure::Full => "too many names are remembered",
        })
    }
}
