//! The floor: the cost of moving datagrams without reading them. One socket, one recvmmsg and one sendmmsg per batch; a
//! datagram from the server goes to the client, any other goes to the server. A load manager's cost above this is its own.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;
use std::{mem, ptr};

use crate::datagrams::{self, Inbox};

/// Runs until the process is ended. The server's datagrams go to `client`: a forwarder that reads no message can serve only one
/// client.
pub(crate) fn run(
    listen: SocketAddrV4,
    server: SocketAddrV4,
    client: SocketAddrV4,
    batch: usize,
) -> io::Result<()> {
    let socket = datagrams::socket(listen, false)?;
    socket.set_nonblocking(false)?;
    let descriptor = socket.as_raw_fd();
    let mut inbox = Inbox::new(batch, false);
    let mut server = datagrams::name_of(server);
    let mut client = datagrams::name_of(client);
    // SAFETY: an all-zero iovec and mmsghdr are valid values.
    let (mut vectors, mut headers): (Vec<libc::iovec>, Vec<libc::mmsghdr>) =
        unsafe { (vec![mem::zeroed(); batch], vec![mem::zeroed(); batch]) };
    for (vector, header) in vectors.iter_mut().zip(&mut headers) {
        header.msg_hdr.msg_iov = ptr::from_mut(vector);
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
    }
    loop {
        let count = inbox.receive(descriptor, libc::MSG_WAITFORONE)?;
        for index in 0..count {
            let source = inbox.source_name(index);
            let from_server =
                source.sin_port == server.sin_port && source.sin_addr.s_addr == server.sin_addr.s_addr;
            let bytes = inbox.bytes(index);
            vectors[index].iov_base = bytes.as_ptr().cast_mut().cast();
            vectors[index].iov_len = bytes.len();
            headers[index].msg_hdr.msg_name =
                if from_server { &raw mut client } else { &raw mut server }.cast();
        }
        datagrams::send_all(descriptor, &mut headers[..count])?;
    }
}
