//! The UDP socket of one listener in one worker. A datagram that cannot be sent never delays another, and an error is
//! reported for the destination that it is about. The core decides what to do then.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use sip::Target;
use socket2::{Domain, Protocol, Socket, Type};

use crate::counters::Counters;
use crate::failures::{Failures, QUOTED_MAX};
use crate::mmsg::{self, Receiver, Report};
use crate::option;
use crate::sender::Sender;

/// Datagrams per system call. Measured at saturation: 32, 64 and 128 differ by less than the noise; 8 costs more.
pub const BATCH: usize = 64;

/// Error reports taken at one time, so that a flood of ICMP cannot keep a worker from its messages.
const ERRORS_PER_TURN: usize = 256;

/// Attempts for one datagram while reports about others come in between: a flood of ICMP neither stops the datagram nor
/// takes all of the worker's time.
const ATTEMPTS_MAX: usize = 8;

/// Settings of a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// Receive buffer, bytes; default 4 MiB. A larger buffer survives longer pauses; a smaller one drops earlier and keeps
    /// delays short. The kernel grants at most `net.core.rmem_max` unless the process may exceed it.
    pub receive_buffer: usize,
    /// Send buffer, bytes; default 4 MiB.
    pub send_buffer: usize,
    /// The most datagrams of one size to one destination that leave as one, which the kernel cuts apart as late as it can;
    /// default 32. 1: each leaves by itself.
    pub segments_max: usize,
}

impl Default for UdpOptions {
    fn default() -> UdpOptions {
        UdpOptions { receive_buffer: 4 << 20, send_buffer: 4 << 20, segments_max: 32 }
    }
}

/// One worker's socket of a UDP listener. The sockets of all workers share the address (SO_REUSEPORT).
pub struct Udp {
    socket: Socket,
    listener: u8,
    v6: bool,
    sender: Sender,
    kernel_drops: u32,
    queued_bytes: u64,
}

impl Udp {
    /// `listener`: index in the order of the configuration, as in [`sip::Flow`] and [`Target`].
    pub fn bind(listener: u8, address: SocketAddr, options: UdpOptions) -> io::Result<Udp> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(true)?;
        if address.is_ipv6() {
            // An IPv4 listener may have the same port; IPv4 addresses mapped into IPv6 would confuse both.
            socket.set_only_v6(true)?;
        }
        Udp::set_buffers(&socket, options);
        option::report_errors(socket.as_fd(), address.is_ipv6())?;
        socket.bind(&address.into())?;
        Udp::over(listener, socket, address, options)
    }

    /// The same, or the socket that another process gave, with the datagrams that wait in it. It is bound to this address.
    pub fn open(
        listener: u8,
        address: SocketAddr,
        options: UdpOptions,
        given: Option<OwnedFd>,
    ) -> io::Result<Udp> {
        let Some(given) = given else { return Udp::bind(listener, address, options) };
        let socket = Socket::from(given);
        Udp::set_buffers(&socket, options);
        Udp::over(listener, socket, address, options)
    }

    fn set_buffers(socket: &Socket, options: UdpOptions) {
        shrink_until_granted(options.receive_buffer, |bytes| socket.set_recv_buffer_size(bytes));
        shrink_until_granted(options.send_buffer, |bytes| socket.set_send_buffer_size(bytes));
    }

    fn over(listener: u8, socket: Socket, address: SocketAddr, options: UdpOptions) -> io::Result<Udp> {
        socket.set_nonblocking(true)?;
        let sender = Sender::new(BATCH, options.segments_max);
        // What was dropped while another process had the socket is not counted here.
        let kernel_drops = option::dropped_datagrams(socket.as_fd()).unwrap_or(0);
        Ok(Udp { socket, listener, v6: address.is_ipv6(), sender, kernel_drops, queued_bytes: 0 })
    }

    pub fn listener(&self) -> u8 {
        self.listener
    }

    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()?.as_socket().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
    }

    /// Takes one batch, and returns how many datagrams came. Fewer than `batch.batch()` means that there were no more.
    /// Errors of earlier sends that come instead are added to `failures`.
    pub fn receive(&mut self, batch: &mut Receiver, failures: &mut Failures, counters: &Counters) -> usize {
        // A pending error is reported instead of datagrams, and is cleared by that; the second call sees the datagrams.
        for _ in 0..2 {
            match batch.receive(self.socket.as_fd()) {
                Ok(count) => {
                    if count > 0 {
                        counters.datagrams_in.add(count as u64);
                        counters.datagram_batches_in.add(1);
                    }
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
                Err(_) => {
                    self.take_errors(failures, counters);
                }
            }
        }
        0
    }

    /// Adds one datagram to the batch that leaves with the next [`Udp::flush`], or earlier when the batch is full. `bytes`
    /// is the whole buffer that contains `range` and all ranges since the last flush.
    pub fn queue(
        &mut self,
        bytes: &[u8],
        range: Range<u32>,
        to: SocketAddr,
        call: u64,
        failures: &mut Failures,
        counters: &Counters,
    ) {
        if to.is_ipv6() != self.v6 {
            counters.sends_without_socket.add(1);
            failures.unsent.push(Target::Datagram { listener: self.listener, to });
            return;
        }
        if self.sender.is_full() {
            self.flush(bytes, failures, counters);
        }
        self.queued_bytes += range.len() as u64;
        self.sender.push(range, to, call);
    }

    /// Sends everything in the queue. If the kernel stops at a datagram, this one is tried again: the error may be the late
    /// report about another destination. If it is refused although there was no such report, it is given up and the rest
    /// goes on.
    pub fn flush(&mut self, bytes: &[u8], failures: &mut Failures, counters: &Counters) {
        let mut attempts = 0;
        while self.sender.waiting() > 0 {
            match self.sender.send(self.socket.as_fd(), bytes) {
                Ok(taken) if taken.datagrams > 0 => {
                    counters.datagrams_out.add(taken.datagrams as u64);
                    counters.datagrams_joined.add(taken.joined as u64);
                    attempts = 0;
                }
                Ok(_) => break,
                Err(error) => {
                    attempts += 1;
                    let others = self.take_errors(failures, counters) > 0;
                    if attempts == 1 || others && attempts < ATTEMPTS_MAX {
                        continue;
                    }
                    if self.sender.separate() {
                        continue;
                    }
                    attempts = 0;
                    let Some((to, length)) = self.sender.skip() else { break };
                    self.queued_bytes -= length as u64;
                    if is_full(&error) {
                        counters.datagrams_dropped_full.add(1);
                        continue;
                    }
                    counters.datagrams_refused.add(1);
                    // This kernel never refuses so: it is a report about some destination, without its address.
                    if error.kind() != ErrorKind::ConnectionRefused {
                        failures.unsent.push(Target::Datagram { listener: self.listener, to });
                    }
                }
            }
        }
        self.sender.clear();
        counters.datagram_bytes_out.add(std::mem::take(&mut self.queued_bytes));
    }

    /// While `captured`, each datagram leaves by itself, so that a program that captures on this host sees each message
    /// alone.
    pub fn set_captured(&mut self, captured: bool) {
        self.sender.keep_apart(captured);
    }

    /// Reads the socket's error queue: the destinations that could not be reached, as far as ICMP messages can be believed.
    /// Returns the number of these reports.
    pub fn take_errors(&mut self, failures: &mut Failures, counters: &Counters) -> usize {
        let mut quoted = [0; QUOTED_MAX];
        let mut from_the_network = 0;
        for _ in 0..ERRORS_PER_TURN {
            let Some(report) = mmsg::take_error(self.socket.as_fd(), &mut quoted) else { break };
            from_the_network += usize::from(report != Report::Own);
            match report {
                Report::Returned { to, quoted: length } => {
                    counters.icmp_errors.add(1);
                    let to = Target::Datagram { listener: self.listener, to };
                    if !failures.add_returned(to, quoted.get(..length).unwrap_or_default()) {
                        counters.failures_unreported.add(1);
                    }
                }
                Report::Ignored => counters.icmp_ignored.add(1),
                Report::Own => {}
            }
        }
        from_the_network
    }

    /// Adds the datagrams that the kernel dropped since the last call. One system call, so once a second is enough.
    pub fn count_kernel_drops(&mut self, counters: &Counters) {
        if let Ok(drops) = option::dropped_datagrams(self.socket.as_fd()) {
            counters.datagrams_lost_in_kernel.add(u64::from(drops.wrapping_sub(self.kernel_drops)));
            self.kernel_drops = drops;
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Udp {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The send buffer or the queue of the device is full. Short memory is a fault of this host, not of the destination.
fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

/// Linux grants a smaller buffer silently; other limits refuse, so this halves the size until it is granted.
fn shrink_until_granted(wanted: usize, set: impl Fn(usize) -> io::Result<()>) {
    let mut bytes = wanted;
    while bytes >= 64 << 10 && set(bytes).is_err() {
        bytes /= 2;
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::failures::Returned;
    use crate::mmsg::Datagram;
    use crate::sender::tests::{arrived, peer};

    struct Bench {
        udp: Udp,
        batch: Receiver,
        failures: Failures,
        counters: Counters,
    }

    impl Bench {
        fn at(address: &str) -> Bench {
            let udp = Udp::bind(3, address.parse().unwrap(), UdpOptions::default()).unwrap();
            Bench {
                udp,
                batch: Receiver::new(16),
                failures: Failures::default(),
                counters: Counters::default(),
            }
        }

        fn address(&self) -> SocketAddr {
            self.udp.local_address().unwrap()
        }

        fn receive(&mut self) -> usize {
            self.udp.receive(&mut self.batch, &mut self.failures, &self.counters)
        }

        fn send(&mut self, messages: &[(&str, SocketAddr)]) {
            let bytes: String = messages.iter().map(|(text, _)| *text).collect();
            let mut start = 0;
            for (text, to) in messages {
                let range = start..start + text.len() as u32;
                start = range.end;
                self.udp.queue(bytes.as_bytes(), range, *to, 0, &mut self.failures, &self.counters);
            }
            self.udp.flush(bytes.as_bytes(), &mut self.failures, &self.counters);
        }

        fn failure_of(&self, to: SocketAddr) -> Target {
            Target::Datagram { listener: 3, to }
        }
    }

    #[test]
    fn batches_end_short_when_nothing_is_left() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let mut bench = Bench::at(address);
            let client = UdpSocket::bind(address).unwrap();
            for number in 0..40u8 {
                client.send_to(&vec![number; usize::from(number) * 100], bench.address()).unwrap();
            }
            let mut seen = Vec::new();
            for expected in [16, 16, 8, 0] {
                assert_eq!(bench.receive(), expected);
                for datagram in bench.batch.datagrams() {
                    let Datagram::Whole { bytes, from } = datagram else { panic!("{datagram:?}") };
                    assert_eq!(from, client.local_addr().unwrap());
                    assert!(bytes.iter().all(|byte| usize::from(*byte) == seen.len()));
                    seen.push(bytes.len());
                }
            }
            assert_eq!(seen, (0..40).map(|number| number * 100).collect::<Vec<_>>());
            assert_eq!(
                (bench.counters.datagrams_in.get(), bench.counters.datagram_batches_in.get()),
                (40, 3)
            );
        }
    }

    #[test]
    fn the_largest_datagram_arrives_whole() {
        let mut bench = Bench::at("127.0.0.1:0");
        let (client, _) = peer();
        client.send_to(&[b'x'; 65_507], bench.address()).unwrap();
        assert_eq!(bench.receive(), 1);
        let lengths: Vec<_> = bench
            .batch
            .datagrams()
            .map(|datagram| match datagram {
                Datagram::Whole { bytes, .. } => bytes.len(),
                Datagram::Unusable => 0,
            })
            .collect();
        assert_eq!(lengths, [65_507]);
    }

    #[test]
    fn more_than_one_batch_leaves_in_order() {
        let mut bench = Bench::at("127.0.0.1:0");
        let (server, to) = peer();
        let texts: Vec<String> = (0..3 * BATCH + 5).map(|number| format!("message {number}")).collect();
        bench.send(&texts.iter().map(|text| (text.as_str(), to)).collect::<Vec<_>>());
        assert_eq!(arrived(&server), texts);
        let bytes: usize = texts.iter().map(String::len).sum();
        assert_eq!(bench.counters.datagrams_out.get() as usize, texts.len());
        assert_eq!(bench.counters.datagram_bytes_out.get() as usize, bytes);
    }

    #[test]
    fn one_dead_destination_of_three_costs_the_others_nothing() {
        let mut bench = Bench::at("127.0.0.1:0");
        let ((one, to_one), (other, to_other)) = (peer(), peer());
        let dead = peer().1;
        for _ in 0..50 {
            bench.send(&[("a", to_one), ("b", dead), ("c", to_other), ("d", dead), ("e", to_one)]);
        }
        bench.receive();
        bench.udp.take_errors(&mut bench.failures, &bench.counters);
        assert_eq!(arrived(&one).concat(), "ae".repeat(50));
        assert_eq!(arrived(&other).concat(), "c".repeat(50));
        assert!(!bench.failures.is_empty());
        let dead = bench.failure_of(dead);
        assert!(bench.failures.unsent.is_empty());
        for returned in bench.failures.returned() {
            assert_eq!(returned.to, dead);
            // Datagrams that left as one come back as one.
            assert!(matches!(returned.quoted, b"b" | b"d" | b"bd"), "{returned:?}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_given_up_alone() {
        let mut bench = Bench::at("127.0.0.1:0");
        let (server, to) = peer();
        let too_large = "x".repeat(65_508);
        let no_port = SocketAddr::new(to.ip(), 0);
        let v6: SocketAddr = "[::1]:5060".parse().unwrap();
        bench.send(&[("a", to), (&too_large, to), ("b", to), ("c", no_port), ("d", v6), ("e", to)]);
        assert_eq!(arrived(&server).concat(), "abe");
        bench
            .failures
            .unsent
            .sort_by_key(|failed| matches!(failed, Target::Datagram { to, .. } if *to == no_port));
        let expected = [bench.failure_of(v6), bench.failure_of(to), bench.failure_of(no_port)];
        assert_eq!(bench.failures.unsent, expected);
        assert_eq!(bench.counters.datagrams_refused.get(), 2);
        assert_eq!(bench.counters.sends_without_socket.get(), 1);
        assert_eq!(bench.counters.datagram_bytes_out.get(), 3);
    }

    #[test]
    fn an_error_of_an_earlier_send_does_not_hide_what_arrived() {
        let mut bench = Bench::at("127.0.0.1:0");
        let (client, _) = peer();
        let dead = peer().1;
        bench.send(&[("x", dead)]);
        client.send_to(b"after", bench.address()).unwrap();
        assert_eq!(bench.receive(), 1);
        let to = bench.failure_of(dead);
        assert_eq!(bench.failures.returned().collect::<Vec<_>>(), [Returned { to, quoted: b"x" }]);
        assert!(bench.failures.unsent.is_empty());
    }

    #[test]
    fn what_came_back_is_told_by_the_front_of_it() {
        for (address, quoted_least) in [("127.0.0.1:0", 500), ("[::1]:0", 1100)] {
            let mut bench = Bench::at(address);
            let dead = UdpSocket::bind(address).unwrap().local_addr().unwrap();
            let text: String = (0..3000).map(|number: u32| char::from(b'a' + (number % 23) as u8)).collect();
            bench.send(&[(&text, dead)]);
            bench.udp.take_errors(&mut bench.failures, &bench.counters);
            let to = bench.failure_of(dead);
            let returned: Vec<_> = bench.failures.returned().collect();
            let [Returned { to: told, quoted }] = returned[..] else { panic!("{returned:?}") };
            assert_eq!(told, to);
            assert!(quoted.len() >= quoted_least && text.as_bytes().starts_with(quoted), "{}", quoted.len());
            assert_eq!((bench.counters.icmp_errors.get(), bench.counters.icmp_ignored.get()), (1, 0));
        }
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let options = UdpOptions { receive_buffer: 64 << 10, send_buffer: 64 << 10, segments_max: 1 };
        let mut udp = Udp::bind(0, "127.0.0.1:0".parse().unwrap(), options).unwrap();
        let counters = Counters::default();
        let (client, _) = peer();
        for _ in 0..200 {
            client.send_to(&[0; 2000], udp.local_address().unwrap()).unwrap();
        }
        udp.count_kernel_drops(&counters);
        let (mut batch, mut received) = (Receiver::new(64), 0);
        loop {
            match udp.receive(&mut batch, &mut Failures::default(), &counters) {
                0 => break,
                count => received += count as u64,
            }
        }
        assert!(received > 0 && counters.datagrams_lost_in_kernel.get() == 200 - received, "{received}");
        udp.count_kernel_drops(&counters);
        assert_eq!(counters.datagrams_lost_in_kernel.get(), 200 - received);
    }
}
