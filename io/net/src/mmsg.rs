//! Datagrams in batches: recvmmsg and sendmmsg with arrays that are built once. All pointers that the kernel is
//! given lie in this file; outside there are slices and addresses.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Room for the largest UDP payload, 65,507 bytes, and one cache line more than a round number, so that the first
/// lines of the buffers of a batch fall into different sets of the cache.
const BUFFER_BYTES: usize = 65_536 + 64;

/// An IPv4 or IPv6 address in the kernel's form; `sockaddr_in` is the shorter and lies in the same place.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

const NAME_BYTES: libc::socklen_t = size_of::<Name>() as libc::socklen_t;

impl Name {
    const fn empty() -> Name {
        // SAFETY: both members are plain numbers, for which all zeroes is a value.
        unsafe { std::mem::zeroed() }
    }

    /// Writes the address and returns the length of its form.
    fn set(&mut self, address: SocketAddr) -> libc::socklen_t {
        match address {
            SocketAddr::V4(address) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(address) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }

    fn get(&self) -> Option<SocketAddr> {
        // SAFETY: the family is the first field of both members, and every byte of the union is initialised, since
        // it starts as zeroes; all bit patterns are values of all fields.
        unsafe {
            match i32::from(self.v4.sin_family) {
                libc::AF_INET => {
                    let ip = Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes());
                    Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(self.v4.sin_port))))
                }
                libc::AF_INET6 => {
                    let v6 = &self.v6;
                    let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                    let port = u16::from_be(v6.sin6_port);
                    Some(SocketAddr::V6(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
                }
                _ => None,
            }
        }
    }
}

const fn no_header() -> libc::mmsghdr {
    // SAFETY: the kernel's form of a header is pointers and numbers, for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}

/// What a received datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram<'a> {
    Whole {
        bytes: &'a [u8],
        from: SocketAddr,
    },
    /// Longer than a UDP payload can be, or without an address of a family that we know.
    Unusable,
}

/// Buffers for one batch of received datagrams.
pub struct Receiver {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Name>,
    buffers: Vec<u8>,
    /// Pointed to by `headers`, so it lives as long as they do.
    _iovecs: Vec<libc::iovec>,
    received: usize,
}

// SAFETY: the pointers in `headers` point only into heap memory that the same value owns.
unsafe impl Send for Receiver {}

impl Receiver {
    /// `batch`: datagrams per call, at least 1. Buffers take memory of the machine only once they are written to.
    pub fn new(batch: usize) -> Receiver {
        let batch = batch.clamp(1, libc::UIO_MAXIOV as usize);
        let mut buffers = vec![0; batch * BUFFER_BYTES];
        let mut names = vec![Name::empty(); batch];
        let mut iovecs: Vec<libc::iovec> = buffers
            .chunks_exact_mut(BUFFER_BYTES)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() })
            .collect();
        let mut headers = vec![no_header(); batch];
        for ((header, iovec), name) in headers.iter_mut().zip(&mut iovecs).zip(&mut names) {
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = NAME_BYTES;
        }
        Receiver { headers, names, buffers, _iovecs: iovecs, received: 0 }
    }

    pub fn batch(&self) -> usize {
        self.headers.len()
    }

    /// Takes what has arrived, without waiting: the number of datagrams, or the error that the socket had pending.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // The kernel overwrote the name lengths of the headers that it filled, and of no others.
        for header in &mut self.headers[..self.received] {
            header.msg_hdr.msg_namelen = NAME_BYTES;
        }
        self.received = 0;
        // SAFETY: every header points to one iovec and one name of this value, each iovec to its own part of
        // `buffers` with its length; none of these is moved or freed while the value lives, and `&mut self` keeps
        // all others away from them during the call.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        self.received = got as usize;
        Ok(self.received)
    }

    /// The datagrams of the last call of [`Receiver::receive`].
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.headers[..self.received]
            .iter()
            .zip(&self.names)
            .zip(self.buffers.chunks_exact(BUFFER_BYTES))
            .map(|((header, name), buffer)| {
                let whole = header.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
                match (buffer.get(..header.msg_len as usize), name.get()) {
                    (Some(bytes), Some(from)) if whole => Datagram::Whole { bytes, from },
                    _ => Datagram::Unusable,
                }
            })
    }
}

const POSITION_BITS: u32 = 16;
const POSITION: u64 = (1 << POSITION_BITS) - 1;
const _: () = assert!(libc::UIO_MAXIOV as u64 <= POSITION);

/// Equal for equal destinations; different ones may share it, and then only leave mixed.
fn destination(to: SocketAddr) -> u64 {
    let ip = match to {
        SocketAddr::V4(to) => u64::from(to.ip().to_bits()),
        SocketAddr::V6(to) => to.ip().to_bits() as u64,
    };
    ip << 16 ^ u64::from(to.port())
}

/// A batch of datagrams to send, as ranges of bytes that are handed in when the batch leaves.
pub struct Sender {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Name>,
    lengths: Vec<libc::socklen_t>,
    iovecs: Vec<libc::iovec>,
    /// Where each datagram lies; becomes a pointer only for the duration of the call.
    ranges: Vec<Range<u32>>,
    /// One for each datagram, in the order in which they leave: what stands for its destination, and in the low bits its
    /// position in `names` and `ranges`.
    order: Vec<u64>,
    sorted: bool,
    sent: usize,
}

// SAFETY: the pointers in `headers` point only into heap memory that the same value owns; the pointers in `iovecs`
// are written before and read only during a call that holds the bytes borrowed.
unsafe impl Send for Sender {}

impl Sender {
    pub fn new(batch: usize) -> Sender {
        let batch = batch.clamp(1, libc::UIO_MAXIOV as usize);
        let mut names = vec![Name::empty(); batch];
        let mut iovecs = vec![libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; batch];
        let mut headers = vec![no_header(); batch];
        for ((header, iovec), name) in headers.iter_mut().zip(&mut iovecs).zip(&mut names) {
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
        }
        let lengths = vec![0; batch];
        Sender {
            headers,
            names,
            lengths,
            iovecs,
            ranges: Vec::with_capacity(batch),
            order: Vec::with_capacity(batch),
            sorted: false,
            sent: 0,
        }
    }

    pub fn is_full(&self) -> bool {
        self.ranges.len() == self.headers.len()
    }

    /// Datagrams that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.ranges.len() - self.sent
    }

    /// Adds a datagram; the caller has seen that the batch is not full.
    pub fn push(&mut self, range: Range<u32>, to: SocketAddr) {
        let index = self.ranges.len();
        let length = self.names[index].set(to);
        self.lengths[index] = length;
        self.order.push(destination(to) << POSITION_BITS | index as u64);
        self.ranges.push(range);
    }

    /// Hands what waits to the kernel, once: the number of datagrams it took, or why it refused the first.
    /// Ranges that do not lie in `bytes` are sent empty.
    pub fn send(&mut self, socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
        let count = self.ranges.len();
        if !self.sorted {
            self.order.sort_unstable();
            self.sorted = true;
        }
        for at in self.sent..count {
            let position = (self.order[at] & POSITION) as usize;
            let range = &self.ranges[position];
            let part = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
            self.iovecs[at] = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
            let header = &mut self.headers[at].msg_hdr;
            header.msg_name = ptr::from_mut(&mut self.names[position]).cast();
            header.msg_namelen = self.lengths[position];
        }
        // SAFETY: the headers handed over point to iovecs and names of this value, which live and stay; the iovecs
        // were just pointed into `bytes`, which is borrowed for the whole call, and sendmmsg only reads them.
        let took = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers[self.sent..count].as_mut_ptr(),
                (count - self.sent) as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        if took < 0 {
            return Err(io::Error::last_os_error());
        }
        self.sent += took as usize;
        Ok(took as usize)
    }

    /// Gives up the first datagram that waits: its address and its length.
    pub fn skip(&mut self) -> Option<(SocketAddr, usize)> {
        let position = (self.order.get(self.sent)? & POSITION) as usize;
        let (range, address) = (&self.ranges[position], self.names[position].get()?);
        self.sent += 1;
        Some((address, range.len()))
    }

    pub fn clear(&mut self) {
        self.ranges.clear();
        self.order.clear();
        self.sorted = false;
        self.sent = 0;
    }
}

/// Takes one error report off the socket's error queue: the destination of the datagram that failed, if the report
/// came from the network. One that the kernel made itself (a datagram was too large) names no port, and was returned
/// by the send as well. `None`: the queue is empty.
pub fn take_error(socket: BorrowedFd<'_>) -> Option<Option<SocketAddr>> {
    let mut name = Name::empty();
    let mut header = no_header().msg_hdr;
    header.msg_name = ptr::from_mut(&mut name).cast();
    header.msg_namelen = NAME_BYTES;
    // SAFETY: the header points to one name on this stack, with its length, and to no buffers: neither the payload
    // nor the control data of the report are asked for.
    let got =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if got < 0 {
        return None;
    }
    Some(name.get().filter(|address| address.port() != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernel_form() {
        for text in ["127.0.0.1:5060", "255.1.2.3:65535", "[::1]:5060", "[fe80::1:2]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = Name::empty();
            name.set(address);
            assert_eq!(name.get(), Some(address));
        }
        assert_eq!(Name::empty().get(), None);
    }
}
