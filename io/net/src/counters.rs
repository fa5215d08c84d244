//! What one worker counts. Each counter has one writer, its worker, and any number of readers; `status` and the
//! metrics page sum them over the workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that one thread writes: a load and a store cost less than a locked add.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// To be called by the owning worker only; a second writer would lose counts.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counters of one worker, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: Counter,)*
        }

        impl Counters {
            /// Name and value of each, in the order of the definition.
            pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }

            /// Name and meaning of each, in the same order; where the name says all, the meaning is empty.
            pub fn definitions() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), concat!($($doc,)*)),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Turns of the worker: wake-ups and rounds without sleep.
    turns,
    /// Microseconds spent outside of waiting. Against the clock this is the load of the worker.
    busy_micros,
    datagrams_in,
    datagram_bytes_in,
    /// Calls of recvmmsg that returned at least one datagram; `datagrams_in / datagram_batches_in` is the mean batch.
    datagram_batches_in,
    datagrams_out,
    datagram_bytes_out,
    /// Of `datagrams_out`, those that left as one with others (`limits.segments_max`).
    datagrams_joined,
    /// Workers that send each datagram by itself now, because a program captures packets on this host.
    capture_seen,
    /// Datagrams that the kernel dropped because our receive buffer was full.
    datagrams_lost_in_kernel,
    /// How often datagrams began to be dealt out by message instead of by flow, or the reverse.
    spread_changes,
    /// 1 while they are dealt out by message because one worker had too much.
    spread_by_message,
    /// Datagrams larger than any UDP payload, cut by the kernel and not handled.
    datagrams_truncated,
    /// Not sent: the send buffer or the queue of the device was full twice in a row.
    datagrams_dropped_full,
    /// Not sent: the kernel refused this datagram (no route, too large, forbidden).
    datagrams_refused,
    /// ICMP messages received that say that a datagram of ours did not arrive (RFC 3261 §18.4); true or forged.
    icmp_errors,
    /// Other ICMP messages about datagrams of ours: too many hops, too large for a link.
    icmp_ignored,
    /// Sends to a listener that is no UDP listener, or of an address of the wrong family.
    sends_without_socket,
    /// Failed sends not reported to the core, because a turn reports a bounded number of rounds.
    failures_unreported,
    messages_in,
    stream_bytes_in,
    messages_out,
    stream_bytes_out,
    pings,
    /// Messages of servers without Content-Length, taken as without a body.
    messages_without_length,
    /// Streams whose framing was lost.
    frames_broken,
    /// Connections open now, both ways.
    connections_open,
    connections_accepted,
    connections_opened,
    connections_refused_worker_full,
    connections_refused_source_full,
    /// Accepted connections closed to make place: idle ones of the source that had the most.
    connections_displaced,
    /// Handshakes ended to make place: old ones of the source that had the most.
    handshakes_displaced,
    /// Handshakes of TLS and WebSocket that ended well, either way.
    handshakes_done,
    /// Handshakes that a peer broke off, or in which something was wrong: no common version, a certificate that was
    /// refused by us or by the peer, an upgrade to WebSocket that asks for something else.
    handshakes_failed,
    /// Requests for something else than SIP over WebSocket.
    upgrades_refused,
    /// WebSockets closed because a client did not mask what it sent (RFC 6455 §5.1).
    frames_unmasked,
    /// The same for a frame that may not stand where it stood.
    frames_wrong,
    /// The same for a message above 65,535 bytes.
    frames_too_large,
    /// The same for text that is not UTF-8.
    texts_not_utf8,
    /// Connections closed after their WebSocket was.
    websockets_ended,
    /// Handshakes that were not over in time.
    handshakes_slow,
    /// Connections closed at once because too many handshakes were under way, of all or of that source.
    connections_refused_handshakes_full,
    connections_refused_source_handshakes_full,
    /// Connections accepted or to be opened while there was no certificate, or none to judge a server's by.
    connections_without_identity,
    /// accept(2) failed: descriptors or memory are short.
    accept_errors,
    /// Attempts to connect that failed or ran into the deadline.
    connect_failures,
    connections_closed_by_peer,
    /// Connections whose peer wrote no more and still had answers to come, which it got.
    connections_half_closed,
    connections_closed_error,
    connections_closed_idle,
    /// A partial message older than the bound.
    connections_closed_slow,
    /// Queued bytes did not move for longer than the bound.
    connections_closed_stuck,
    connections_closed_broken_frame,
    /// Connections of the sources that held the most, closed because partial messages and queues had no more room.
    connections_closed_memory,
    /// Bytes of partial messages and queues now.
    buffered_bytes,
    /// Messages dropped because the queue of their connection, or the worker's room for queues, was full.
    messages_dropped_full,
    /// Messages whose connection could not be had or was lost before they were written.
    messages_failed,
    /// Messages for a connection that is gone, without an address to connect to instead.
    messages_without_connection,
    /// Messages sent over UDP after their stream could not be had (RFC 3261 §18.1.1).
    fallbacks,
    mailbox_in,
    mailbox_out,
    mailbox_dropped_full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_read_under_its_name() {
        let counters = Counters::default();
        counters.pings.add(2);
        counters.pings.add(3);
        let read: Vec<_> = counters.read().filter(|(_, value)| *value != 0).collect();
        assert_eq!(read, [("pings", 5)]);
    }

    #[test]
    fn counters_of_two_workers_share_no_cache_line() {
        assert_eq!(align_of::<Counters>(), 128);
    }
}
