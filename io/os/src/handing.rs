//! What one process gives to another over a Unix socket: parcels of bytes and open descriptors (SCM_RIGHTS, unix(7)). A
//! descriptor that was given is the same socket, with its queues; both processes have it until they close it.
//!
//! ```text
//! parcel: kind · number of descriptors (4 bytes) · length (8 bytes) · bytes · "d" with at most 253 descriptors, again and again
//! ```

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Descriptors of one message: the most that Linux takes (SCM_MAX_FD).
const DESCRIPTORS_AT_ONCE: usize = 253;
/// Bytes of one parcel: above the memory of the largest load manager, and far below what would matter on its machine.
const BYTES_MAX: u64 = 4 << 30;
/// Descriptors of one parcel: a worker has fewer connections than slot numbers.
const DESCRIPTORS_MAX: u32 = 1 << 17;
const HEAD_BYTES: usize = 13;
/// Room for the control message of one batch.
const CONTROL_BYTES: usize = 2048;

/// The process at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub pid: u32,
    pub user: u32,
}

#[derive(Debug)]
pub struct Parcel {
    /// What it is; sender and receiver agree about the numbers.
    pub kind: u8,
    pub bytes: Vec<u8>,
    pub descriptors: Vec<OwnedFd>,
}

/// One end.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    /// Over a connected socket. The other process must be of this user, or of root.
    pub fn over(stream: UnixStream) -> io::Result<Channel> {
        let channel = Channel(stream);
        let user = channel.peer()?.user;
        // SAFETY: numbers alone.
        if user != 0 && user != unsafe { libc::geteuid() } {
            let what = format!("the other process belongs to user {user}");
            return Err(io::Error::new(ErrorKind::PermissionDenied, what));
        }
        Ok(channel)
    }

    pub fn peer(&self) -> io::Result<Peer> {
        let mut of = libc::ucred { pid: 0, uid: 0, gid: 0 };
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        let at = (&raw mut of).cast();
        // SAFETY: the kernel writes at most `length` bytes into `of`, which lives through the call.
        let done = unsafe {
            libc::getsockopt(self.0.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, at, &raw mut length)
        };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Peer { pid: of.pid as u32, user: of.uid })
    }

    /// How long one step of sending or receiving may take.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(patience))?;
        self.0.set_write_timeout(Some(patience))
    }

    pub fn send(&mut self, kind: u8, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
        let mut head = [0; HEAD_BYTES];
        head[0] = kind;
        head[1..5].copy_from_slice(&(descriptors.len() as u32).to_be_bytes());
        head[5..].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.write_all(&head)?;
        self.0.write_all(bytes)?;
        descriptors.chunks(DESCRIPTORS_AT_ONCE).try_for_each(|some| self.send_descriptors(some))
    }

    /// Whatever the other process sends, no more is held than it has sent.
    pub fn receive(&mut self) -> io::Result<Parcel> {
        let mut head = [0; HEAD_BYTES];
        self.0.read_exact(&mut head)?;
        let [kind, numbers @ ..] = head;
        let (count, length) = numbers.split_at(4);
        let count = count.try_into().map_or(u32::MAX, u32::from_be_bytes);
        let length = length.try_into().map_or(u64::MAX, u64::from_be_bytes);
        if count > DESCRIPTORS_MAX || length > BYTES_MAX {
            return Err(bad("a parcel is too large"));
        }
        let mut bytes = Vec::new();
        if (&self.0).take(length).read_to_end(&mut bytes)? as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut descriptors = Vec::new();
        while descriptors.len() < count as usize {
            let before = descriptors.len();
            self.receive_descriptors(&mut descriptors)?;
            if descriptors.len() == before {
                return Err(bad("descriptors are missing"));
            }
        }
        match descriptors.len() == count as usize {
            true => Ok(Parcel { kind, bytes, descriptors }),
            false => Err(bad("there are more descriptors than were announced")),
        }
    }

    fn send_descriptors(&mut self, descriptors: &[RawFd]) -> io::Result<()> {
        let mut control = Control([0; CONTROL_BYTES]);
        let mut byte = *b"d";
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let length = mem::size_of_val(descriptors);
        let message = header(&mut part, &mut control, space(length));
        // SAFETY: the header names room for these descriptors within `control`, and all of it lives through the call.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&raw const message);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(length as u32) as _;
            descriptors.as_ptr().cast::<u8>().copy_to_nonoverlapping(libc::CMSG_DATA(first), length);
        }
        // SAFETY: as above.
        match unsafe { libc::sendmsg(self.0.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) } {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn receive_descriptors(&mut self, into: &mut Vec<OwnedFd>) -> io::Result<()> {
        let mut control = Control([0; CONTROL_BYTES]);
        let mut byte = [0];
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut message = header(&mut part, &mut control, CONTROL_BYTES);
        // SAFETY: the kernel writes at most what the header names, all of which lives through the call.
        let got = unsafe { libc::recvmsg(self.0.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has made these control messages, and every descriptor in them is this process's own now.
        unsafe {
            let mut next = libc::CMSG_FIRSTHDR(&raw const message);
            while !next.is_null() {
                if (*next).cmsg_level == libc::SOL_SOCKET && (*next).cmsg_type == libc::SCM_RIGHTS {
                    let data = libc::CMSG_DATA(next);
                    let bytes = (*next).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                    for at in 0..bytes / size_of::<RawFd>() {
                        let descriptor = data.cast::<RawFd>().add(at).read_unaligned();
                        into.push(OwnedFd::from_raw_fd(descriptor));
                    }
                }
                next = libc::CMSG_NXTHDR(&raw const message, next);
            }
        }
        match (got, byte, message.msg_flags & libc::MSG_CTRUNC) {
            (0, ..) => Err(ErrorKind::UnexpectedEof.into()),
            (_, [b'd'], 0) => Ok(()),
            (_, [b'd'], _) => {
                Err(bad("descriptors are missing: this process may have too few (LimitNOFILE=)"))
            }
            _ => Err(bad("descriptors were expected")),
        }
    }
}

/// Aligned as control messages must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

fn header(part: &mut libc::iovec, control: &mut Control, room: usize) -> libc::msghdr {
    // SAFETY: all zeros is an empty header.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (part, 1);
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = room as _;
    message
}

/// Room that a control message of this length takes.
fn space(length: usize) -> usize {
    // SAFETY: numbers alone.
    unsafe { libc::CMSG_SPACE(length as u32) as usize }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::*;

    fn pair() -> [Channel; 2] {
        let (one, other) = UnixStream::pair().unwrap();
        [one, other].map(|stream| {
            let channel = Channel::over(stream).unwrap();
            channel.set_patience(Duration::from_secs(10)).unwrap();
            channel
        })
    }

    #[test]
    fn a_socket_that_was_given_still_has_what_waits_in_it() {
        let [mut from, mut to] = pair();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"waits", at).unwrap();
        from.send(7, b"bytes", &[socket.as_raw_fd()]).unwrap();
        drop(socket);
        let Parcel { kind, bytes, mut descriptors } = to.receive().unwrap();
        assert_eq!((kind, &bytes[..], descriptors.len()), (7, &b"bytes"[..], 1));
        let given = UdpSocket::from(descriptors.remove(0));
        let mut waiting = [0; 16];
        assert_eq!((given.recv(&mut waiting).unwrap(), given.local_addr().unwrap()), (5, at));
    }

    #[test]
    fn many_descriptors_and_many_bytes_arrive_in_order() {
        let [mut from, mut to] = pair();
        let sockets: Vec<UdpSocket> = (0..600).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
        let sender = std::thread::spawn(move || {
            let descriptors: Vec<RawFd> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
            from.send(1, &(0..3_000_000u32).map(|number| number as u8).collect::<Vec<u8>>(), &descriptors)
                .unwrap();
            from.send(2, b"", &[]).unwrap();
        });
        let parcel = to.receive().unwrap();
        assert!(parcel.bytes == bytes);
        let given: Vec<u16> = parcel
            .descriptors
            .into_iter()
            .map(|fd| UdpSocket::from(fd).local_addr().unwrap().port())
            .collect();
        assert_eq!(given, ports);
        assert_eq!(to.receive().unwrap().kind, 2);
        sender.join().unwrap();
        assert_eq!(to.receive().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_parcel_is_an_error() {
        for bytes in
            [&b"\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0"[..], b"\x01\0\0\0\0\xff\0\0\0\0\0\0\0", b"\x01\0\0"]
        {
            let [mut from, mut to] = pair();
            from.0.write_all(bytes).unwrap();
            drop(from);
            assert!(to.receive().is_err());
        }
        let [mut from, mut to] = pair();
        from.0.write_all(b"\x01\0\0\0\x01\0\0\0\0\0\0\0\0x").unwrap();
        assert_eq!(to.receive().unwrap_err().to_string(), "descriptors were expected");
    }

    #[test]
    fn the_other_process_is_known() {
        let [one, _other] = pair();
        assert_eq!(one.peer().unwrap().pid, std::process::id());
    }
}
