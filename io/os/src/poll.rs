//! Waiting with poll(2) for a few descriptors and a time, as the loops of the agent and of the performance server do.

use std::os::fd::RawFd;

use base::Duration;

/// Longest wait: poll(2) counts milliseconds in 31 bits, and no loop needs more.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A descriptor and the events to watch for.
pub fn watched(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// Waits until a descriptor has something, `patience` is over, or a signal came. The time is rounded up to a millisecond: a
/// loop that wakes before the time is due would ask again at once, and spin.
pub fn wait(watched: &mut [libc::pollfd], patience: Duration) {
    let millis = patience.min(WAIT_MAX).as_micros().div_ceil(1000) as i32;
    // SAFETY: the kernel reads and writes as many places as the slice has.
    let ready = unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, millis) };
    if ready < 0 {
        // The kernel wrote nothing.
        watched.iter_mut().for_each(|place| place.revents = 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::time::Instant;

    use super::*;

    #[test]
    fn who_has_something_is_told_and_a_moment_is_not_woken_before() {
        let (quiet, mut wrote) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let mut fds =
            [watched(quiet.0.as_raw_fd(), libc::POLLIN), watched(wrote.0.as_raw_fd(), libc::POLLIN)];
        let (begin, patience) = (Instant::now(), Duration::from_micros(2_300));
        wait(&mut fds, patience);
        assert!(begin.elapsed() >= patience);
        assert_eq!([fds[0].revents, fds[1].revents], [0, 0]);
        wrote.1.write_all(b"x").unwrap();
        wait(&mut fds, WAIT_MAX);
        assert_eq!([fds[0].revents, fds[1].revents], [0, libc::POLLIN]);
    }
}
