//! Datagrams sent in batches: sendmmsg with arrays that are built once. Datagrams to one destination leave together. If
//! wanted, datagrams of one size leave as one (udp(7), UDP_SEGMENT): the kernel cuts them apart as late as it can.
//!
//! Datagrams of one call keep their order; datagrams of different calls need no order.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::mmsg::{Name, no_header};

/// The most datagrams that leave as one; the kernel takes 64.
pub const SEGMENTS_MAX: usize = 64;
/// After this many batches in a row in which a send of several datagrams was refused, none is tried for a while: the path
/// may not take them.
const REFUSALS_MAX: u32 = 16;
/// Batches until it is tried again.
const BATCHES_WITHOUT: u32 = 10_000;
/// The most bytes of such a send: until it is cut apart, it is one datagram for the kernel.
const SEGMENTED_BYTES_MAX: usize = 60_000;
/// The largest datagram in it: each must fit the path to its destination whole, and nearly every path contains an Ethernet.
const SEGMENT_BYTES_MAX: usize = 1400;

/// A datagram that waits.
#[derive(Clone)]
struct Waiting {
    /// The place of its bytes; it becomes a pointer only for the duration of the call.
    range: Range<u32>,
    /// Stands for the destination; different destinations may share it.
    destination: u64,
    call: u64,
}

/// The segment size of a send, in the kernel's form.
#[repr(C)]
#[derive(Clone, Copy)]
struct Control {
    header: libc::cmsghdr,
    size: u16,
}

/// A batch of datagrams to send, as ranges of bytes; the bytes are given when the batch leaves.
pub struct Sender {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Name>,
    lengths: Vec<libc::socklen_t>,
    iovecs: Vec<libc::iovec>,
    controls: Vec<Control>,
    waiting: Vec<Waiting>,
    /// One for each datagram, in the order in which they leave; the low bits hold its position in `waiting`.
    order: Vec<u128>,
    /// How many datagrams each header stands for.
    runs: Vec<usize>,
    sorted: bool,
    /// How many datagrams of one size may leave as one.
    segments_max: usize,
    /// Each datagram leaves by itself until this is set back.
    kept_apart: bool,
    /// Batches with a refused send of several datagrams since such a send was last accepted.
    refusals: u32,
    /// Batches in which each datagram still leaves by itself.
    pause: u32,
    /// Each datagram of this batch leaves by itself.
    separate: bool,
    sent: usize,
}

/// What the kernel took in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub datagrams: usize,
    /// How many of them left as one with others.
    pub joined: usize,
}

// SAFETY: the pointers in `headers` point only into heap memory that the same value owns; the pointers in `iovecs`
// are written before and read only during a call that holds the bytes borrowed.
unsafe impl Send for Sender {}

const POSITION_BITS: u32 = 16;
const POSITION: u128 = (1 << POSITION_BITS) - 1;
const _: () = assert!((libc::UIO_MAXIOV as u128) <= POSITION);

impl Sender {
    /// `segments_max`: how many datagrams of one size to one destination may leave as one. 1: each leaves by itself.
    pub fn new(batch: usize, segments_max: usize) -> Sender {
        let batch = batch.clamp(1, libc::UIO_MAXIOV as usize);
        let header = libc::cmsghdr {
            // SAFETY: a sum of sizes.
            cmsg_len: unsafe { libc::CMSG_LEN(size_of::<u16>() as u32) } as _,
            cmsg_level: libc::SOL_UDP,
            cmsg_type: libc::UDP_SEGMENT,
        };
        Sender {
            headers: vec![no_header(); batch],
            names: vec![Name::empty(); batch],
            lengths: vec![0; batch],
            iovecs: vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; batch],
            controls: vec![Control { header, size: 0 }; batch],
            waiting: Vec::with_capacity(batch),
            order: Vec::with_capacity(batch),
            runs: Vec::with_capacity(batch),
            sorted: false,
            segments_max: segments_max.clamp(1, SEGMENTS_MAX),
            kept_apart: false,
            refusals: 0,
            pause: 0,
            separate: false,
            sent: 0,
        }
    }

    /// True: from the next batch on, each datagram leaves by itself, whatever `segments_max` allows. False: no longer.
    pub fn keep_apart(&mut self, apart: bool) {
        self.kept_apart = apart;
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() == self.headers.len()
    }

    /// Datagrams that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// Adds a datagram; the caller has checked that the batch is not full. Datagrams with the same `call` to one destination
    /// leave in the order in which they were added.
    pub fn push(&mut self, range: Range<u32>, to: SocketAddr, call: u64) {
        let index = self.waiting.len();
        self.lengths[index] = self.names[index].set(to);
        self.waiting.push(Waiting { range, destination: destination(to), call });
    }

    /// Gives the waiting datagrams to the kernel, once. Returns what the kernel took, or why it refused the first.
    /// Ranges outside `bytes` are sent empty.
    pub fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Taken> {
        if !self.sorted {
            self.sort();
        }
        self.runs.clear();
        let mut at = self.sent;
        while at < self.order.len() {
            let run = self.run(at);
            for at in at..at + run {
                let range = &self.waiting[self.position(at)].range;
                let part = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
                self.iovecs[at] =
                    libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            }
            let (first, place) = (self.position(at), self.runs.len());
            let header = &mut self.headers[place].msg_hdr;
            header.msg_name = ptr::from_mut(&mut self.names[first]).cast();
            header.msg_namelen = self.lengths[first];
            header.msg_iov = &mut self.iovecs[at];
            header.msg_iovlen = run as _;
            if run > 1 {
                self.controls[place].size = self.waiting[first].range.len() as u16;
                header.msg_control = ptr::from_mut(&mut self.controls[place]).cast();
                header.msg_controllen = size_of::<Control>() as _;
            } else {
                header.msg_control = ptr::null_mut();
                header.msg_controllen = 0;
            }
            self.runs.push(run);
            at += run;
        }
        // SAFETY: the headers handed over were just pointed to iovecs, names and controls of this value, which live and stay:
        // each to as many iovecs as it says, which follow each other. The iovecs were just pointed into `bytes`, which is
        // borrowed for the whole call, and sendmmsg only reads all of them.
        let took = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.runs.len() as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        if took < 0 {
            return Err(io::Error::last_os_error());
        }
        let taken = &self.runs[..took as usize];
        let joined = taken.iter().filter(|run| **run > 1).sum();
        if joined > 0 {
            self.refusals = 0;
        }
        let datagrams = taken.iter().sum();
        self.sent += datagrams;
        Ok(Taken { datagrams, joined })
    }

    /// The refused send had several datagrams: the rest of this batch leaves one by one. False: it had one.
    pub fn separate(&mut self) -> bool {
        let several = self.runs.first().is_some_and(|run| *run > 1);
        if several {
            self.separate = true;
            self.refusals += 1;
            if self.refusals == REFUSALS_MAX {
                (self.refusals, self.pause) = (0, BATCHES_WITHOUT);
            }
        }
        several
    }

    fn joins(&self) -> bool {
        self.segments_max > 1 && !self.separate && self.pause == 0 && !self.kept_apart
    }

    /// Gives up the first waiting datagram, and returns its address and its length.
    pub fn skip(&mut self) -> Option<(SocketAddr, usize)> {
        let position = (self.order.get(self.sent)? & POSITION) as usize;
        let address = self.names[position].get()?;
        self.sent += 1;
        Some((address, self.waiting[position].range.len()))
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
        self.order.clear();
        self.sorted = false;
        self.separate = false;
        self.pause = self.pause.saturating_sub(1);
        self.sent = 0;
    }

    fn position(&self, at: usize) -> usize {
        (self.order[at] & POSITION) as usize
    }

    /// Orders by destination. If datagrams may leave as one, then by the number of earlier datagrams of the same call, and
    /// the largest first; otherwise in the order of arrival.
    fn sort(&mut self) {
        let (mut seen, joins) = (Seen::default(), self.joins());
        for (position, waiting) in self.waiting.iter().enumerate() {
            let (before, size) =
                if joins { (seen.again(waiting), !(waiting.range.len() as u16)) } else { (0, 0) };
            let key = u128::from(waiting.destination) << 32 | u128::from(before) << 16 | u128::from(size);
            self.order.push(key << POSITION_BITS | position as u128);
        }
        self.order.sort_unstable();
        self.sorted = true;
    }

    /// How many datagrams leave as one with the datagram at `at`: those of its size, and one shorter one.
    fn run(&self, at: usize) -> usize {
        let first = &self.waiting[self.position(at)];
        let size = first.range.len();
        if !self.joins() || size == 0 || size > SEGMENT_BYTES_MAX {
            return 1;
        }
        let most = self.segments_max.min(SEGMENTED_BYTES_MAX / size);
        let mut run = 1;
        while run < most && at + run < self.order.len() {
            let next = self.position(at + run);
            let length = self.waiting[next].range.len();
            let same = self.waiting[next].destination == first.destination;
            if !same
                || length > size
                || length == 0
                || self.names[next].get() != self.names[self.position(at)].get()
            {
                break;
            }
            run += 1;
            if length < size {
                break;
            }
        }
        run
    }
}

fn destination(to: SocketAddr) -> u64 {
    let ip = match to {
        SocketAddr::V4(to) => u64::from(to.ip().to_bits()),
        SocketAddr::V6(to) => to.ip().to_bits() as u64,
    };
    ip << 16 ^ u64::from(to.port())
}

/// How often each call was seen in a batch: the number is exact or too high, which only lets a datagram leave later.
struct Seen([u8; Seen::PLACES]);

impl Default for Seen {
    fn default() -> Seen {
        Seen([0; Seen::PLACES])
    }
}

impl Seen {
    const PLACES: usize = 512;

    fn again(&mut self, waiting: &Waiting) -> u16 {
        let mixed = (waiting.call ^ waiting.destination.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = &mut self.0[(mixed >> 55) as usize];
        let before = *place;
        *place = place.saturating_add(1);
        u16::from(before)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    pub(crate) fn peer() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    /// Everything that has arrived, in order.
    pub(crate) fn arrived(socket: &UdpSocket) -> Vec<String> {
        let mut buffer = [0; 65_536];
        let mut all = Vec::new();
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        all
    }

    /// Sends each text of `calls` and returns the number of sends.
    fn sends(sender: &mut Sender, from: &UdpSocket, texts: &[(&str, SocketAddr, u64)]) -> usize {
        let bytes: String = texts.iter().map(|(text, ..)| *text).collect();
        let mut start = 0;
        for (text, to, call) in texts {
            sender.push(start..start + text.len() as u32, *to, *call);
            start += text.len() as u32;
        }
        let mut headers = 0;
        while sender.waiting() > 0 {
            match sender.send(from.as_fd(), bytes.as_bytes()) {
                Ok(_) => headers += sender.runs.len(),
                Err(_) if sender.separate() => {}
                Err(_) => assert!(sender.skip().is_some()),
            }
        }
        sender.clear();
        headers
    }

    #[test]
    fn datagrams_of_one_size_leave_as_one_and_arrive_apart() {
        let (from, (one, to_one), (other, to_other)) = (peer().0, peer(), peer());
        let mut sender = Sender::new(16, 8);
        let texts = [
            ("aaa1", to_one, 1),
            ("b1", to_other, 2),
            ("aaa2", to_one, 3),
            ("cc", to_one, 4),
            ("aaa3", to_one, 5),
            ("b2", to_other, 6),
        ];
        assert_eq!(sends(&mut sender, &from, &texts), 2);
        assert_eq!(arrived(&one), ["aaa1", "aaa2", "aaa3", "cc"]);
        assert_eq!(arrived(&other), ["b1", "b2"]);
        assert_eq!(sends(&mut Sender::new(16, 1), &from, &texts), 6);
        assert_eq!(arrived(&one), ["aaa1", "aaa2", "cc", "aaa3"], "one by one, in their order");
        assert_eq!(arrived(&other), ["b1", "b2"]);
    }

    #[test]
    fn those_of_one_call_keep_their_order() {
        let (from, (server, to)) = (peer().0, peer());
        let texts: Vec<String> = (0..64u64)
            .map(|number| format!("{:02} {number:02} {}", number % 9, "x".repeat((number % 5) as usize)))
            .collect();
        for segments in [1, 2, 64] {
            let mut sender = Sender::new(64, segments);
            let all: Vec<_> =
                texts.iter().zip(0..).map(|(text, number)| (text.as_str(), to, number % 9)).collect();
            sends(&mut sender, &from, &all);
            let seen = arrived(&server);
            assert_eq!(seen.len(), 64);
            for call in 0..9 {
                let of_call: Vec<_> =
                    seen.iter().filter(|text| text.starts_with(&format!("{call:02}"))).collect();
                assert!(of_call.is_sorted_by_key(|text| &text[3..5]), "{segments}: {of_call:?}");
            }
        }
    }

    #[test]
    fn a_refused_send_of_several_goes_one_by_one() {
        let (from, (server, to)) = (peer().0, peer());
        let nowhere = SocketAddr::new(to.ip(), 0);
        let mut sender = Sender::new(16, 8);
        for round in 0..REFUSALS_MAX + 2 {
            assert_eq!(sender.joins(), round < REFUSALS_MAX, "left alone after so many in a row");
            let texts = [("a", nowhere, 1), ("b", nowhere, 2), ("c", to, 3), ("d", to, 4)];
            assert_eq!(sends(&mut sender, &from, &texts), 2, "round {round}");
            assert_eq!(arrived(&server), ["c", "d"], "round {round}");
        }
        assert!(!sender.joins());
        (0..BATCHES_WITHOUT).for_each(|_| sender.clear());
        assert_eq!(sends(&mut sender, &from, &[("a", to, 1), ("b", to, 2)]), 1, "and tried again later");
        assert_eq!(arrived(&server), ["a", "b"]);
    }

    #[test]
    fn those_kept_apart_leave_one_by_one() {
        let (from, (server, to)) = (peer().0, peer());
        let mut sender = Sender::new(16, 8);
        let texts = [("a", to, 1), ("b", to, 2), ("c", to, 3)];
        for (apart, expected) in [(false, 1), (true, 3), (false, 1)] {
            sender.keep_apart(apart);
            assert_eq!(sends(&mut sender, &from, &texts), expected);
            assert_eq!(arrived(&server), ["a", "b", "c"]);
        }
    }
}
