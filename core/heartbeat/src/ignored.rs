//! Why a heartbeat, a query or a notice is not believed: one reason a count.

use std::fmt;

/// Why a datagram was not believed. The receiver counts each reason and answers none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// The first field is not the protocol id in either byte order: this is another protocol.
    WrongProtocol,
    /// The datagram ends within a field.
    Short,
    /// Goes on after its fields, or is longer than [`crate::datagram::DATAGRAM_BYTES_MAX`].
    Long,
    /// The state is not started, draining or stopped.
    BadState,
    /// SIP port 0 or above 65535.
    BadPort,
    /// The tail has another version, a section of the wrong length or value, or a section twice.
    BadTail,
    /// A key is configured and the datagram is not signed.
    NoAuthenticator,
    /// Signed with another key, or changed on the way.
    BadAuthenticator,
    /// The count is not larger than the last count of this sender.
    Replayed,
}

impl Ignored {
    /// All reasons, in the order of [`Ignored::index`].
    pub const ALL: [Ignored; 9] = [
        Ignored::WrongProtocol,
        Ignored::Short,
        Ignored::Long,
        Ignored::BadState,
        Ignored::BadPort,
        Ignored::BadTail,
        Ignored::NoAuthenticator,
        Ignored::BadAuthenticator,
        Ignored::Replayed,
    ];

    /// The place of the reason in an array of counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The reason as a metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Ignored::WrongProtocol => "wrong_protocol",
            Ignored::Short => "short",
            Ignored::Long => "long",
            Ignored::BadState => "bad_state",
            Ignored::BadPort => "bad_port",
            Ignored::BadTail => "bad_tail",
            Ignored::NoAuthenticator => "no_authenticator",
            Ignored::BadAuthenticator => "bad_authenticator",
            Ignored::Replayed => "replayed",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ignored::WrongProtocol => "not a heartbeat: its first field is not 0xDEADFACE",
            Ignored::Short => "shorter than its fields",
            Ignored::Long => "longer than its fields",
            Ignored::BadState => "state is none of started, draining, stopped",
            Ignored::BadPort => "SIP port is not within 1 … 65535",
            Ignored::BadTail => "its tail is malformed or of another version",
            Ignored::NoAuthenticator => "not signed, and a key is configured here",
            Ignored::BadAuthenticator => "signed with another key, or changed on the way",
            Ignored::Replayed => "older than one already received from this sender",
        })
    }
}

impl std::error::Error for Ignored {}
