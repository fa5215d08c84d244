//! Datagrams received in batches: recvmmsg with arrays that are built once. Only this file and [`crate::sender`] give
//! pointers to the kernel; outside there are slices and addresses.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Room for the largest UDP payload, 65,507 bytes, and one cache line more than a round number, so that the first lines of
/// the buffers of a batch fall into different sets of the cache.
const BUFFER_BYTES: usize = 65_536 + 64;

/// An IPv4 or IPv6 address in the kernel's form; `sockaddr_in` is the shorter form in the same place.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

pub(crate) const NAME_BYTES: libc::socklen_t = size_of::<Name>() as libc::socklen_t;

impl Name {
    pub(crate) const fn empty() -> Name {
        // SAFETY: both members are plain numbers, for which all zeroes is a value.
        unsafe { std::mem::zeroed() }
    }

    /// Writes the address and returns the length of its form.
    pub(crate) fn set(&mut self, address: SocketAddr) -> libc::socklen_t {
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

    pub(crate) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: the family is the first field of both members. Every byte of the union is initialised, because it begins
        // as zeroes; all bit patterns are values of all fields.
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

pub(crate) const fn no_header() -> libc::mmsghdr {
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
    /// The datagram is longer than a UDP payload can be, or its address has an unknown family.
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
    /// `batch`: datagrams per call, at least 1. Buffers take memory of the machine only when they are written.
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

    /// Takes what has arrived, without waiting: the number of datagrams, or the pending error of the socket.
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

/// Why the kernel put a report into the error queue of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// An ICMP message says that a datagram to this address did not arrive, and quotes this many bytes of its payload. The
    /// bytes are as little proven as the message.
    Returned { to: SocketAddr, quoted: usize },
    /// An ICMP message that RFC 3261 §18.4 tells us to ignore: the datagram took too many hops, or was too large for a link.
    Ignored,
    /// The kernel made the report itself (a datagram was too large), and the send returned it as well.
    Own,
}

/// Room for the control data of a report: the error and the address of its sender.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// Takes one report off the socket's error queue; the quoted payload goes to `quoted`. `None`: the queue is empty.
pub(crate) fn take_error(socket: BorrowedFd<'_>, quoted: &mut [u8]) -> Option<Report> {
    let mut name = Name::empty();
    let mut header = no_header().msg_hdr;
    let mut control = Control([0; 128]);
    let mut iovec = libc::iovec { iov_base: quoted.as_mut_ptr().cast(), iov_len: quoted.len() };
    header.msg_name = ptr::from_mut(&mut name).cast();
    header.msg_namelen = NAME_BYTES;
    header.msg_iov = &mut iovec;
    header.msg_iovlen = 1;
    header.msg_control = ptr::from_mut(&mut control).cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: the header points to one name, one iovec and one block of control data on this stack, each with its length, and
    // the iovec to `quoted`, which is borrowed for the call.
    let got =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    let got = usize::try_from(got).ok()?;
    let error = extended_error(&header);
    Some(match (name.get().filter(|address| address.port() != 0), error) {
        (Some(to), Some(error)) if is_unreachable(&error) => Report::Returned { to, quoted: got },
        (Some(_), Some(error)) if error.ee_origin != libc::SO_EE_ORIGIN_LOCAL => Report::Ignored,
        _ => Report::Own,
    })
}

fn extended_error(header: &libc::msghdr) -> Option<libc::sock_extended_err> {
    // SAFETY: the kernel filled the control data and its length; the macros stay within both. The structure is plain numbers
    // and is read from where the kernel wrote one, whatever its alignment.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while let Some(part) = at.as_ref() {
            let whole = part.cmsg_len >= libc::CMSG_LEN(size_of::<libc::sock_extended_err>() as u32) as usize;
            match (part.cmsg_level, part.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) if whole => {
                    return Some(libc::CMSG_DATA(at).cast::<libc::sock_extended_err>().read_unaligned());
                }
                _ => at = libc::CMSG_NXTHDR(header, at),
            }
        }
    }
    None
}

/// The kinds of ICMP message that the transport reports to its user by RFC 3261 §18.4: host, network, port or protocol
/// unreachable, and parameter problem.
fn is_unreachable(error: &libc::sock_extended_err) -> bool {
    const FRAGMENTATION_NEEDED: u8 = 4;
    match (error.ee_origin, error.ee_type) {
        // RFC 792: destination unreachable is 3, parameter problem 12.
        (libc::SO_EE_ORIGIN_ICMP, 3) => error.ee_code != FRAGMENTATION_NEEDED,
        (libc::SO_EE_ORIGIN_ICMP, 12) => true,
        // RFC 4443 §3.1, §3.4.
        (libc::SO_EE_ORIGIN_ICMP6, 1 | 4) => true,
        _ => false,
    }
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
