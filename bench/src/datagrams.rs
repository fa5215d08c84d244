//! Batches of UDP datagrams over recvmmsg and sendmmsg: one system call for up to a whole batch. Buffers are made once and
//! reused. Besides process set-up, only this module of the generator has unsafe code.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, RawFd};
use std::{mem, ptr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::post::Post;

/// Room for one datagram; the largest message of the call flow is under 1,400 bytes with a load manager's additions.
const DATAGRAM_BYTES: usize = 2048;
/// Room for one IP_PKTINFO control message: 16 bytes of header and 12 of content, aligned.
const CONTROL_BYTES: usize = 32;
/// Buffer size that each socket asks for, so that a burst of a whole window waits and is not dropped.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// A non-blocking socket with large buffers. With `tell_destination` each datagram comes with its destination address, so one
/// wildcard socket can play every server of 127.0.0.0/8.
pub(crate) fn socket(bind: SocketAddrV4, tell_destination: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    enlarge_buffers(&socket);
    if tell_destination {
        set_option(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&bind.into())?;
    Ok(socket)
}

/// Enlarges the buffers beyond the system's limit if that is permitted (CAP_NET_ADMIN), otherwise up to the limit.
fn enlarge_buffers(socket: &Socket) {
    if set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES as i32).is_err() {
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    }
    if set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES as i32).is_err() {
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    }
}

fn set_option(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to a live i32 of the size given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            mem::size_of::<i32>() as u32,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(crate) fn name_of(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn address_of(name: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes()), u16::from_be(name.sin_port))
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

const NO_NAME: libc::sockaddr_in =
    libc::sockaddr_in { sin_family: 0, sin_port: 0, sin_addr: libc::in_addr { s_addr: 0 }, sin_zero: [0; 8] };

/// The datagrams received by one system call.
pub(crate) struct Inbox {
    buffers: Box<[u8]>,
    names: Box<[libc::sockaddr_in]>,
    controls: Box<[Control]>,
    /// Only `headers` points to these.
    _vectors: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
    with_control: bool,
}

impl Inbox {
    pub(crate) fn new(batch: usize, tell_destination: bool) -> Inbox {
        let mut buffers = vec![0u8; batch * DATAGRAM_BYTES].into_boxed_slice();
        let mut names = vec![NO_NAME; batch].into_boxed_slice();
        let mut controls = vec![Control([0; CONTROL_BYTES]); batch].into_boxed_slice();
        let mut vectors: Box<[libc::iovec]> = buffers
            .chunks_exact_mut(DATAGRAM_BYTES)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: DATAGRAM_BYTES })
            .collect();
        let headers = (0..batch)
            .map(|index| {
                // SAFETY: an all-zero mmsghdr is a valid value: null pointers and zero lengths.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = &raw mut vectors[index];
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = (&raw mut names[index]).cast();
                if tell_destination {
                    header.msg_hdr.msg_control = controls[index].0.as_mut_ptr().cast();
                }
                header
            })
            .collect();
        Inbox { buffers, names, controls, _vectors: vectors, headers, with_control: tell_destination }
    }

    /// Receives the waiting datagrams, up to a batch; with MSG_WAITFORONE in `flags`, a blocking socket waits for the first. If
    /// there is none, or after an ICMP error of an earlier send, the batch is empty.
    pub(crate) fn receive(&mut self, socket: RawFd, flags: i32) -> io::Result<usize> {
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
            header.msg_hdr.msg_controllen = if self.with_control { CONTROL_BYTES } else { 0 };
        }
        // SAFETY: every pointer in `headers` is into a boxed slice that this value owns and that never moves.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                self.headers.as_mut_ptr(),
                self.headers.len() as u32,
                flags,
                ptr::null_mut(),
            )
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => {
                Ok(0)
            }
            _ => Err(error),
        }
    }

    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let start = index * DATAGRAM_BYTES;
        &self.buffers[start..start + self.headers[index].msg_len as usize]
    }

    pub(crate) fn source(&self, index: usize) -> SocketAddrV4 {
        address_of(&self.names[index])
    }

    /// The source in the system's form, for a comparison without conversion.
    pub(crate) fn source_name(&self, index: usize) -> libc::sockaddr_in {
        self.names[index]
    }

    /// The destination address of the datagram, on a socket with `tell_destination`.
    pub(crate) fn destination(&self, index: usize) -> Ipv4Addr {
        // The control buffer holds exactly one message: 16 bytes of cmsghdr, then in_pktinfo, whose last member
        // is the destination of the header.
        let octets: [u8; 4] = self.controls[index].0[24..28].try_into().expect("four bytes");
        Ipv4Addr::from(octets)
    }
}

/// Sends posts of messages. It reuses its arrays for every flush.
pub(crate) struct Sender {
    /// `None` for a connected socket.
    to: Option<libc::sockaddr_in>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Sender {
    pub(crate) fn new(to: Option<SocketAddrV4>) -> Sender {
        Sender { to: to.map(name_of), controls: Vec::new(), vectors: Vec::new(), headers: Vec::new() }
    }

    /// Sends all messages of `post` and empties it; `from` gives the source address for a message's key, or `None` for the
    /// socket's own. A datagram that the system refuses is lost, as on a network; its call then fails visibly.
    pub(crate) fn flush(
        &mut self,
        socket: RawFd,
        post: &mut Post,
        from: impl Fn(u32) -> Option<Ipv4Addr>,
    ) -> io::Result<()> {
        if post.messages.is_empty() {
            return Ok(());
        }
        self.prepare(post, from);
        send_all(socket, &mut self.headers)?;
        post.clear();
        Ok(())
    }

    fn prepare(&mut self, post: &Post, from: impl Fn(u32) -> Option<Ipv4Addr>) {
        self.vectors.clear();
        self.controls.clear();
        self.headers.clear();
        // All pushes to an array are done before a pointer into it is taken.
        for message in &post.messages {
            let bytes = &post.bytes[message.start as usize..message.end as usize];
            self.vectors
                .push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
            if let Some(address) = from(message.key) {
                self.controls.push(source_control(address));
            }
        }
        let with_source = self.controls.len() == self.vectors.len();
        for (index, vector) in self.vectors.iter_mut().enumerate() {
            // SAFETY: an all-zero mmsghdr is a valid value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = ptr::from_mut(vector);
            header.msg_hdr.msg_iovlen = 1;
            if let Some(to) = &mut self.to {
                header.msg_hdr.msg_name = ptr::from_mut(to).cast();
                header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
            }
            if with_source {
                header.msg_hdr.msg_control = self.controls[index].0.as_mut_ptr().cast();
                header.msg_hdr.msg_controllen = CONTROL_BYTES;
            }
            self.headers.push(header);
        }
    }
}

/// Calls sendmmsg until all messages are sent or refused. The caller keeps the data behind the headers alive.
pub(crate) fn send_all(socket: RawFd, headers: &mut [libc::mmsghdr]) -> io::Result<()> {
    let mut sent = 0;
    while sent < headers.len() {
        let rest = &mut headers[sent..];
        // SAFETY: `rest` is live for the call; what it points to is kept alive by the callers, both in this crate.
        let count = unsafe { libc::sendmmsg(socket, rest.as_mut_ptr(), rest.len() as u32, 0) };
        if count > 0 {
            sent += count as usize;
            continue;
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused => sent += 1,
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
    Ok(())
}

/// An IP_PKTINFO control message that sets the source address: cmsghdr (length 28, level, type), then in_pktinfo with
/// no interface and `ipi_spec_dst`.
fn source_control(from: Ipv4Addr) -> Control {
    let mut control = Control([0; CONTROL_BYTES]);
    control.0[..8].copy_from_slice(&28usize.to_ne_bytes());
    control.0[8..12].copy_from_slice(&libc::IPPROTO_IP.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::IP_PKTINFO.to_ne_bytes());
    control.0[20..24].copy_from_slice(&from.octets());
    control
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_socket_plays_many_servers() {
        let servers = socket("0.0.0.0:0".parse().unwrap(), true).unwrap();
        let port = servers.local_addr().unwrap().as_socket_ipv4().unwrap().port();
        let client = socket("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let client_address = client.local_addr().unwrap().as_socket_ipv4().unwrap();
        let server = Ipv4Addr::new(127, 0, 4, 232);
        let (mut post, mut inbox) = (Post::default(), Inbox::new(8, true));
        post.write(0, |bytes| bytes.extend_from_slice(b"request"));
        let mut to_server = Sender::new(Some(SocketAddrV4::new(server, port)));
        to_server.flush(client.as_raw_fd(), &mut post, |_| None).unwrap();
        assert_eq!(inbox.receive(servers.as_raw_fd(), libc::MSG_DONTWAIT).unwrap(), 1);
        assert_eq!(
            (inbox.bytes(0), inbox.source(0), inbox.destination(0)),
            (&b"request"[..], client_address, server)
        );

        post.write(0, |bytes| bytes.extend_from_slice(b"response"));
        let mut to_client = Sender::new(Some(client_address));
        to_client.flush(servers.as_raw_fd(), &mut post, |_| Some(server)).unwrap();
        let mut inbox = Inbox::new(8, false);
        assert_eq!(inbox.receive(client.as_raw_fd(), libc::MSG_DONTWAIT).unwrap(), 1);
        assert_eq!((inbox.bytes(0), inbox.source(0)), (&b"response"[..], SocketAddrV4::new(server, port)));
    }
}
