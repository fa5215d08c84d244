//! What an operator can set about registrations.

use std::net::SocketAddr;

use sip::Transport;

/// Which server gets a REGISTER (SPEC B4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterTo {
    /// The one that the hash of the address of record says.
    Hash,
    /// These, the first one that works; usually no servers of calls.
    Registrar(Vec<Registrar>),
}

/// A server that keeps the registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registrar {
    pub address: SocketAddr,
    pub transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterSettings {
    pub to: RegisterTo,
}

impl Default for RegisterSettings {
    fn default() -> RegisterSettings {
        RegisterSettings { to: RegisterTo::Hash }
    }
}
