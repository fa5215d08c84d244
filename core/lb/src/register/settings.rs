//! What an operator can set about registrations.

use std::net::SocketAddr;
use std::time::Duration;

use sip::Transport;

/// Which server gets a REGISTER (SPEC B4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterTo {
    /// The one that the hash of the address of record says.
    Hash,
    /// All of them; one answer is built of theirs.
    All,
    /// The first of these that works; they may be servers of calls or not.
    Registrar(Vec<Registrar>),
}

/// A server that keeps the registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registrar {
    pub address: SocketAddr,
    pub transport: Transport,
}

/// How many of the servers that answered must accept, so that the telephone is told it is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// One. A server that refuses what the others accept is a matter for the operator, not for the telephone.
    Any,
    /// More than half.
    Majority,
    All,
}

/// When a REGISTER gets a Path entry of ours (RFC 3327).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertPath {
    /// When the telephone says that it knows of Path.
    Supported,
    Always,
    Never,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterSettings {
    pub to: RegisterTo,
    pub accept: Accept,
    /// With [`RegisterTo::All`]: how long servers that are silent are waited for when others have answered. With
    /// [`RegisterTo::Registrar`]: until the next one is asked too.
    pub wait: Duration,
    pub path: InsertPath,
    /// REGISTERs in progress at most, and bytes of all their messages.
    pub in_progress_max: usize,
    pub bytes_max: usize,
}

impl Default for RegisterSettings {
    fn default() -> RegisterSettings {
        RegisterSettings {
            to: RegisterTo::Hash,
            accept: Accept::Any,
            wait: Duration::from_secs(2),
            path: InsertPath::Supported,
            in_progress_max: 20_000,
            bytes_max: 64 << 20,
        }
    }
}
