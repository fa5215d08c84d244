//! Where a connection stands, from its opening to its end, and why it is closed.

use base::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We asked for the connection, and the peer has not answered yet. Messages sent meanwhile wait in the queue.
    Connecting {
        since: Time,
    },
    /// TLS or WebSocket is being negotiated. Messages sent meanwhile wait in the queue.
    Handshaking {
        since: Time,
    },
    Open,
    /// The peer has ended its sending and still listens: its requests are answered (RFC 3261 §18.2.2).
    HalfClosed {
        since: Time,
    },
    /// Nothing more is read. Once the queue is written, the end is written.
    Ending,
    /// We have written the end and wait for the peer's end: if we closed with unread bytes, the kernel would discard what we
    /// wrote last.
    Ended {
        since: Time,
    },
}

/// Why a connection must be closed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    Peer,
    Error,
    Idle,
    Slow,
    Stuck,
    BrokenFrame,
    /// The client ended its WebSocket correctly, or was refused and counted for that.
    WebSocketEnded,
    Memory,
    ConnectFailed,
    HandshakeFailed,
    HandshakeSlow,
    /// Its place was needed for a source with fewer connections.
    Displaced,
    HandshakeDisplaced,
}
