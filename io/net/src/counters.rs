//! The counters of one worker. Each counter has one writer, the worker, and any number of readers; `status` and the metrics
//! page sum the counters over the workers.

use base::Counter;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// Counters of one worker, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: Counter,)*
        }

        impl Counters {
            /// Name and value of each counter, in the order of the definition.
            pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name.get()),)*].into_iter()
            }

            /// Name and meaning of each counter, in the same order. The meaning is empty if the name says everything.
            pub fn definitions() -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), concat!($($doc,)*)),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Turns of the worker: wake-ups and rounds without sleep.
    turns,
    /// Microseconds that the worker did not wait. Divided by the time of the clock, this is the worker's load.
    busy_micros,
    datagrams_in,
    datagram_bytes_in,
    /// Calls of recvmmsg that returned at least one datagram. `datagrams_in / datagram_batches_in` is the mean batch.
    datagram_batches_in,
    /// Messages thrown away because the process had stood still before they left. Only an engine has such.
    sends_too_late,
    datagrams_out,
    datagram_bytes_out,
    /// Those of `datagrams_out` that left as one together with others (`limits.segments_max`).
    datagrams_joined,
    /// Workers that now send each datagram by itself, because a program captures packets on this host.
    capture_seen,
    /// Datagrams that the kernel dropped because our receive buffer was full.
    datagrams_lost_in_kernel,
    /// How often the kernel changed between dealing out datagrams by message and by flow.
    spread_changes,
    /// 1 while datagrams are dealt out by message because one worker had too much work.
    spread_by_message,
    /// Datagrams larger than any UDP payload: the kernel cut them, and the load manager dropped them.
    datagrams_truncated,
    /// Datagrams not sent: the send buffer or the queue of the device was full twice in a row.
    datagrams_dropped_full,
    /// Datagrams not sent: the kernel refused them (no route, too large, forbidden).
    datagrams_refused,
    /// ICMP messages that say that a datagram of ours did not arrive (RFC 3261 §18.4), true or forged.
    icmp_errors,
    /// Other ICMP messages about datagrams of ours: too many hops, too large for a link.
    icmp_ignored,
    /// Sends to a listener that is not UDP, or to an address of the wrong family.
    sends_without_socket,
    /// Failed sends that were not reported to the core, because a turn reports only a bounded number.
    failures_unreported,
    messages_in,
    stream_bytes_in,
    messages_out,
    stream_bytes_out,
    pings,
    /// Messages of servers without Content-Length, which count as messages without a body.
    messages_without_length,
    /// Streams whose framing was lost.
    frames_broken,
    /// Connections open now, accepted and opened.
    connections_open,
    connections_accepted,
    connections_opened,
    connections_refused_worker_full,
    connections_refused_source_full,
    /// Accepted connections closed to make room: idle connections of the source that had the most.
    connections_displaced,
    /// Handshakes ended to make room: old handshakes of the source that had the most.
    handshakes_displaced,
    /// Handshakes of TLS and WebSocket that ended well, with clients and with servers.
    handshakes_done,
    /// Handshakes that failed: the peer broke off, there was no common version, one side refused the other's certificate, or
    /// an upgrade to WebSocket asked for something else.
    handshakes_failed,
    /// Requests for something other than SIP over WebSocket.
    upgrades_refused,
    /// WebSockets closed because a client did not mask what it sent (RFC 6455 §5.1).
    frames_unmasked,
    /// WebSockets closed because of a frame in a place where it is not allowed.
    frames_wrong,
    /// WebSockets closed because of a message larger than 65,535 bytes.
    frames_too_large,
    /// WebSockets closed because of text that is not UTF-8.
    texts_not_utf8,
    /// Connections closed after their WebSocket was closed.
    websockets_ended,
    /// Handshakes that did not end in time.
    handshakes_slow,
    /// Connections of a proxy closed because no header of the PROXY protocol came, or a wrong one (`listen.proxy_protocol`).
    introductions_failed,
    /// Connections of a proxy whose header did not come in time.
    introductions_slow,
    /// Connections closed at once because too many handshakes were in progress, of all sources or of that source.
    connections_refused_handshakes_full,
    connections_refused_source_handshakes_full,
    /// Connections that lacked a certificate: our own, or the authority to verify a server's.
    connections_without_identity,
    /// accept(2) failed: descriptors or memory are short.
    accept_errors,
    /// Attempts to connect that failed or took too long.
    connect_failures,
    connections_closed_by_peer,
    /// Connections whose peer had ended its sending and still got the answers that were due.
    connections_half_closed,
    connections_closed_error,
    connections_closed_idle,
    /// Connections closed because a message stayed incomplete for too long.
    connections_closed_slow,
    /// Connections closed because queued bytes did not move for too long.
    connections_closed_stuck,
    connections_closed_broken_frame,
    /// Connections of the sources that held the most, closed because incomplete messages and queues had no more room.
    connections_closed_memory,
    /// Bytes of incomplete messages and queues now.
    buffered_bytes,
    /// Messages dropped because the queue of their connection, or the worker's room for queues, was full.
    messages_dropped_full,
    /// Messages whose connection could not be opened, or was lost before they were written.
    messages_failed,
    /// Messages for a connection that is gone, without an address to connect to instead.
    messages_without_connection,
    /// Messages sent over UDP because their stream could not be opened (RFC 3261 §18.1.1).
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
