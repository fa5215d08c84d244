//! Waiting for the UDP sockets of a worker and for its epoll at once.
//!
//! The UDP sockets are not in that epoll. A waiter that is registered at a socket is woken by every datagram that the socket
//! sends, because its buffer has room again: two locks and a call of epoll each time, a twentieth of a message's whole cost.
//! With `ppoll`, a waiter is registered only while it waits, and nobody is registered while the socket sends.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use base::Duration;

use crate::udp::Udp;

/// The UDP sockets in their order, and then the epoll of everything else.
pub struct Wait(Vec<libc::pollfd>);

/// What a UDP socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Position among the UDP sockets.
    pub socket: usize,
    /// Reports of failed sends are among it.
    pub errors: bool,
}

impl Wait {
    pub fn new(udp: &[Udp], epoll: RawFd) -> Wait {
        let place = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        Wait(udp.iter().map(AsRawFd::as_raw_fd).chain([epoll]).map(place).collect())
    }

    /// There are UDP sockets; without them, epoll can be waited for by itself.
    pub fn has_sockets(&self) -> bool {
        self.0.len() > 1
    }

    /// Waits until something is ready, `patience` is over, or a signal came.
    pub fn wait(&mut self, patience: Duration) -> io::Result<()> {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        // SAFETY: the kernel reads and writes as many places as this value owns, and reads a time that lives through the call.
        let ready =
            unsafe { libc::ppoll(self.0.as_mut_ptr(), self.0.len() as libc::nfds_t, &time, ptr::null()) };
        if ready < 0 {
            self.0.iter_mut().for_each(|place| place.revents = 0);
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        }
        Ok(())
    }

    /// The UDP sockets that had something when the wait ended.
    pub fn sockets(&self) -> impl Iterator<Item = Ready> + use<'_> {
        let ready = |(socket, place): (usize, &libc::pollfd)| {
            (place.revents != 0).then_some(Ready { socket, errors: place.revents & libc::POLLERR != 0 })
        };
        self.0[..self.0.len() - 1].iter().enumerate().filter_map(ready)
    }

    /// Epoll had something.
    pub fn epoll(&self) -> bool {
        self.0.last().is_some_and(|place| place.revents != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;

    use mio::unix::SourceFd;
    use mio::{Interest, Poll, Token};

    use super::*;
    use crate::udp::UdpOptions;

    const SOON: Duration = Duration::from_secs(5);

    fn sockets() -> [Udp; 2] {
        [0, 1].map(|listener| {
            Udp::bind(listener, "127.0.0.1:0".parse().unwrap(), UdpOptions::default()).unwrap()
        })
    }

    #[test]
    fn tells_who_is_ready() {
        let (udp, poll, client) = (sockets(), Poll::new().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        poll.registry().register(&mut SourceFd(&client.as_raw_fd()), Token(0), Interest::READABLE).unwrap();
        let mut wait = Wait::new(&udp, poll.as_raw_fd());
        assert!(wait.has_sockets() && !Wait::new(&[], poll.as_raw_fd()).has_sockets());
        wait.wait(Duration::from_millis(1)).unwrap();
        assert_eq!((wait.sockets().count(), wait.epoll()), (0, false));
        client.send_to(b"x", udp[1].local_address().unwrap()).unwrap();
        wait.wait(SOON).unwrap();
        assert_eq!(wait.sockets().collect::<Vec<_>>(), [Ready { socket: 1, errors: false }]);
        assert!(!wait.epoll());
        client.send_to(b"y", client.local_addr().unwrap()).unwrap();
        wait.wait(SOON).unwrap();
        assert!(wait.epoll());
    }

    #[test]
    fn tells_of_sends_that_failed() {
        let (mut udp, poll) = (sockets(), Poll::new().unwrap());
        let gone: SocketAddr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (mut failures, counters) = (crate::Failures::default(), crate::Counters::default());
        udp[0].queue(b"x", 0..1, gone, 0, &mut failures, &counters);
        udp[0].flush(b"x", &mut failures, &counters);
        let mut wait = Wait::new(&udp, poll.as_raw_fd());
        wait.wait(SOON).unwrap();
        assert_eq!(wait.sockets().collect::<Vec<_>>(), [Ready { socket: 0, errors: true }]);
    }
}
