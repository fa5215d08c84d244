//! Where a connection stands, from its opening to its end, and why it is closed.

use base::Time;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// We asked; the peer has not answered yet. What is sent meanwhile waits in the queue.
    Connecting {
        since: Time,
    },
    /// TLS or WebSocket is being agreed on. What is sent meanwhile waits in the queue.
    Handshaking {
        since: Time,
    },
    Open,
    /// The peer has said that it writes no more, and listens on: what it has asked is answered (RFC 3261 §18.2.2).
    HalfClosed {
        since: Time,
    },
    /// Nothing more is read; once the queue is written, so is the end.
    Ending,
    /// We have written the end and wait for that of the peer, since closing with unread bytes would make the kernel
    /// take back what we wrote last.
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
    /// The client ended its WebSocket as it should, or was refused and has been counted for that.
    WebSocketEnded,
    Memory,
    ConnectFailed,
    HandshakeFailed,
    HandshakeSlow,
    /// Its place was needed for a source that has fewer.
    Displaced,
    HandshakeDisplaced,
}
