//! The floor: the cost of moving datagrams without reading them. One socket, one recvmmsg and one sendmmsg per batch; a
//! datagram from the server goes to the client, any other goes to the server. A load manager's cost above this is its own.
//!
//! With two sides it moves what a back-to-back user agent moves: it answers each INVITE with a 100, too. It knows an INVITE by
//! its size, and the 100 is the front of the INVITE below another first line.

use std::io;
use std::mem;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;

use crate::datagrams::{self, Inbox};
use crate::texts::invite_line;

/// A datagram of the client that is longer is an INVITE: no other has a body.
const SHORTER_THAN_INVITE: usize = 700;
/// Bytes of an INVITE's front that have all fields which a 100 copies.
const FRONT: usize = 400;
const TRYING: &[u8] = b"SIP/2.0 100 Trying\r\n";
const END: &[u8] = b"\r\n\r\n";
/// Pieces of a datagram that leaves.
const PIECES: usize = 3;

/// Runs until the process is ended. The server's datagrams go to `client`: a forwarder that reads no message can serve only one
/// client.
pub(crate) fn run(
    listen: SocketAddrV4,
    server: SocketAddrV4,
    client: SocketAddrV4,
    batch: usize,
    two_sided: bool,
) -> io::Result<()> {
    let socket = datagrams::socket(listen, false)?;
    socket.set_nonblocking(false)?;
    let descriptor = socket.as_raw_fd();
    let mut inbox = Inbox::new(batch, false);
    let mut server = datagrams::name_of(server);
    let mut client = datagrams::name_of(client);
    let line = invite_line(listen, "").len();
    // SAFETY: an all-zero iovec and mmsghdr are valid values.
    let (mut vectors, mut headers): (Vec<[libc::iovec; PIECES]>, Vec<libc::mmsghdr>) =
        unsafe { (vec![mem::zeroed(); 2 * batch], vec![mem::zeroed(); 2 * batch]) };
    for (vector, header) in vectors.iter_mut().zip(&mut headers) {
        header.msg_hdr.msg_iov = vector.as_mut_ptr();
        header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_in>() as u32;
    }
    loop {
        let count = inbox.receive(descriptor, libc::MSG_WAITFORONE)?;
        let mut leaving = 0;
        for index in 0..count {
            let source = inbox.source_name(index);
            let from_server =
                source.sin_port == server.sin_port && source.sin_addr.s_addr == server.sin_addr.s_addr;
            let bytes = inbox.bytes(index);
            let mut leave = |pieces: &[&[u8]], to: *mut libc::sockaddr_in| {
                for (vector, piece) in vectors[leaving].iter_mut().zip(pieces) {
                    vector.iov_base = piece.as_ptr().cast_mut().cast();
                    vector.iov_len = piece.len();
                }
                headers[leaving].msg_hdr.msg_iovlen = pieces.len();
                headers[leaving].msg_hdr.msg_name = to.cast();
                leaving += 1;
            };
            if two_sided && !from_server && bytes.len() > SHORTER_THAN_INVITE {
                leave(&[TRYING, &bytes[line..FRONT], END], &raw mut client);
            }
            leave(&[bytes], if from_server { &raw mut client } else { &raw mut server });
        }
        datagrams::send_all(descriptor, &mut headers[..leaving])?;
    }
}
