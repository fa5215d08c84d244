//! Bounds on connections. Every queue, table and wait of the streams takes its bound from here.

use base::Duration;

/// Bounds on the connections of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections per worker, accepted and opened; default 60,000, at most 65,535.
    pub connections: usize,
    /// How many of these may be accepted connections; default 59,000. The rest is reserved for connections to servers. At
    /// the bound, the longest idle connection of the source with the most makes room for a source with fewer.
    pub accepted: usize,
    /// Accepted connections per worker from one source: an IPv4 address, or an IPv6 network of 64 bits. Default
    /// 10,000; a trunk or a gateway of many users is one source.
    pub per_source: u32,
    /// Bytes that may wait to be written to one connection; default 1 MiB, about a thousand messages. With more, longer
    /// stalls of the peer and bursts during the opening of a connection lose nothing.
    pub queue_bytes: usize,
    /// Bytes of incomplete messages and of queues on all connections of one worker; default 64 MiB. At the bound, the source
    /// that holds the most loses connections. A message that still finds no room is refused as if its queue were full.
    pub buffered_bytes: usize,
    /// Handshakes of TLS and WebSocket in progress per worker on accepted connections; default 1,000. A handshake holds up
    /// to 64 KiB. At the bound, the oldest handshake of the source with the most makes room for a source with fewer.
    pub handshakes: usize,
    /// How many of these one source may have; default 250, so that no source can keep all others out.
    pub handshakes_per_source: u32,
    /// NUL bytes and single line ends between messages are skipped ([`sip::frame::Framer::tolerant`]).
    pub stray_bytes: bool,
    /// Time in which a handshake must end, with clients and with servers; default 10 s.
    pub handshake_time: Duration,
    /// Time after which an attempt to connect is given up; default 3 s, well below the 32 s of Timer B (RFC 3261 §17.1.1.2),
    /// so that another server can still be asked.
    pub connect_time: Duration,
    /// Time in which the peer must take a byte while bytes wait; default 10 s. Then the connection is closed.
    pub stuck_time: Duration,
    /// Age of an incomplete message; default 30 s. Then the connection is closed.
    pub partial_time: Duration,
    /// Time without a byte on an accepted connection; default 1 h, because the server of a call that is silent for so long
    /// may still have something to send.
    pub idle_accepted: Duration,
    /// The same on a connection that we opened; default 5 min. A new one is opened when it is needed.
    pub idle_opened: Duration,
    /// Silence after which the kernel asks whether the peer is still there; default 60 s. `None`: never.
    pub keep_alive: Option<Duration>,
    /// How long we wait for a peer that has ended its sending and still expects answers; default 180 s, because an INVITE
    /// may ring that long (RFC 3261 §16.6, Timer C).
    pub half_closed_time: Duration,
    /// Time in which the peer must close a connection after we have written our end; default 1 s.
    pub linger_time: Duration,
    /// Time between two looks at waiting connections, which is the precision of the times above; default 100 ms. Idle
    /// connections and incomplete messages are looked at every tenth time.
    pub tick: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 60_000,
            accepted: 59_000,
            per_source: 10_000,
            queue_bytes: 1 << 20,
            buffered_bytes: 64 << 20,
            handshakes: 1000,
            handshakes_per_source: 250,
            stray_bytes: false,
            handshake_time: Duration::from_secs(10),
            connect_time: Duration::from_secs(3),
            stuck_time: Duration::from_secs(10),
            partial_time: Duration::from_secs(30),
            idle_accepted: Duration::from_secs(3600),
            idle_opened: Duration::from_secs(300),
            keep_alive: Some(Duration::from_secs(60)),
            half_closed_time: Duration::from_secs(180),
            linger_time: Duration::from_secs(1),
            tick: Duration::from_millis(100),
        }
    }
}

/// Descriptors for everything except connections of clients and servers: UDP sockets, listeners, files, the control socket.
const DESCRIPTORS_OF_OTHERS: u64 = 128;

impl Limits {
    /// The limits of one of `workers` in a process that may open this many descriptors: if necessary with fewer connections,
    /// at most a quarter of them reserved for servers.
    pub fn within(self, descriptors: u64, workers: u8) -> Limits {
        let for_one = descriptors.saturating_sub(DESCRIPTORS_OF_OTHERS) / u64::from(workers.max(1));
        let connections = usize::try_from(for_one).unwrap_or(usize::MAX).clamp(2, self.connections);
        let kept_back = self.connections.saturating_sub(self.accepted).min(connections / 4).max(1);
        Limits { connections, accepted: (connections - kept_back).min(self.accepted), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_fit_into_what_the_process_may_open() {
        let of = |descriptors, workers| {
            let limits = Limits::default().within(descriptors, workers);
            (limits.connections, limits.accepted)
        };
        assert_eq!(of(1 << 20, 2), (60_000, 59_000));
        assert_eq!(of(20_128, 2), (10_000, 9000));
        assert_eq!(of(1024, 2), (448, 336));
        assert_eq!(of(10, 64), (2, 1));
    }
}
