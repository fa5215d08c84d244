//! Settings of registrations.

use std::net::SocketAddr;
use std::time::Duration;

use sip::Transport;

/// Which server gets a REGISTER (SPEC B4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterTo {
    /// The server that the hash of the address of record names.
    Hash,
    /// All servers; one answer is built of theirs.
    All,
    /// The first of these that works; a registrar may or may not be a server of calls.
    Registrar(Vec<Registrar>),
}

/// A server that keeps the registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registrar {
    pub address: SocketAddr,
    pub transport: Transport,
}

/// How many of the servers that answered must accept before the telephone is told that it is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// One. If a server refuses what the others accept, that is a matter for the operator, not for the telephone.
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
    /// With [`RegisterTo::All`]: how long to wait for silent servers when others have answered. With
    /// [`RegisterTo::Registrar`]: how long until the next registrar is asked too.
    pub wait: Duration,
    pub path: InsertPath,
    /// The most REGISTERs in progress, and the most bytes of all their messages.
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
