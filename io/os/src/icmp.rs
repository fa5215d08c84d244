//! What ICMP says of datagrams that an unconnected socket sent: a closed port, or a host that cannot be reached (ip(7),
//! IP_RECVERR). Anybody on the path can forge such a message, so it is a hint for people, never a proof.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use socket2::SockAddr;

/// Room for the report and the address of its sender, with the alignment of a control message.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// From now on the kernel keeps reports for [`take`]. Until a report is taken, the next send fails with it.
pub fn keep(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, name) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_RECVERR),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    };
    // SAFETY: the kernel reads one integer from a reference that lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The next report: the destination of the datagram, and the error. Never waits.
pub fn take(socket: &UdpSocket) -> Option<(SocketAddr, io::Error)> {
    let mut control = Control([0; 128]);
    let mut error = None;
    // SAFETY: the header points to the storage of one address and to `control`, both with their sizes, and to no buffers: the
    // payload is not asked for. Control messages are walked by the C library's own macros, within what the kernel wrote,
    // and read where the kernel says that a report lies.
    let (received, to) = unsafe {
        SockAddr::try_init(|storage, length| {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_name = storage.cast();
            header.msg_namelen = *length;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = control.0.len() as _;
            let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
            if libc::recvmsg(socket.as_raw_fd(), &mut header, flags) < 0 {
                return Err(io::Error::last_os_error());
            }
            *length = header.msg_namelen;
            let mut message = libc::CMSG_FIRSTHDR(&header);
            while !message.is_null() {
                let kind = ((*message).cmsg_level, (*message).cmsg_type);
                let reports =
                    [(libc::IPPROTO_IP, libc::IP_RECVERR), (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)];
                if reports.contains(&kind) {
                    let report = libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned();
                    error = Some(io::Error::from_raw_os_error(report.ee_errno as i32));
                }
                message = libc::CMSG_NXTHDR(&header, message);
            }
            Ok(())
        })
    }
    .ok()?;
    let () = received;
    Some((to.as_socket()?, error?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_named_and_an_open_one_is_not() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (closed, open) = (UdpSocket::bind(host).unwrap(), UdpSocket::bind(host).unwrap());
            let gone = closed.local_addr().unwrap();
            drop(closed);
            let socket = UdpSocket::bind(host).unwrap();
            keep(&socket).unwrap();
            assert!(take(&socket).is_none());
            socket.send_to(b"x", open.local_addr().unwrap()).unwrap();
            socket.send_to(b"x", gone).unwrap();
            // On this host the report is there when the send returns.
            let (to, error) = take(&socket).unwrap();
            assert_eq!((to, error.kind()), (gone, io::ErrorKind::ConnectionRefused));
            assert!(take(&socket).is_none());
            socket.send_to(b"x", open.local_addr().unwrap()).unwrap();
        }
    }
}
