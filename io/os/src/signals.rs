//! Signals as events: blocked for the process and read from a descriptor, in order, by the one thread that acts on them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use base::Duration;

/// Signals that this process reads instead of taking their default effect.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals in this thread and in the threads and child processes that it starts. Call it before there are
    /// other threads.
    pub fn hold(signals: &[i32]) -> io::Result<Signals> {
        // SAFETY: `set` is initialised by sigemptyset before use, and the descriptor is new.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(Signals(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Readable when a signal has come.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The next signal, if one has come.
    pub fn next(&self) -> Option<i32> {
        // SAFETY: the kernel writes one whole record into a buffer of its size, or nothing.
        unsafe {
            let mut record: libc::signalfd_siginfo = std::mem::zeroed();
            let size = std::mem::size_of::<libc::signalfd_siginfo>();
            let read = libc::read(self.fd(), (&raw mut record).cast(), size);
            (read == size as isize).then_some(record.ssi_signo as i32)
        }
    }

    /// The next signal, or `None` after the timeout.
    pub fn wait(&self, at_most: Duration) -> Option<i32> {
        crate::poll::wait(&mut [crate::poll::watched(self.fd(), libc::POLLIN)], at_most);
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_held_back_is_read() {
        let signals = Signals::hold(&[libc::SIGUSR2]).unwrap();
        assert_eq!(signals.wait(Duration::from_millis(1)), None);
        // SAFETY: no memory is touched; this thread holds the signal back.
        unsafe { libc::raise(libc::SIGUSR2) };
        assert_eq!(signals.wait(Duration::from_secs(10)), Some(libc::SIGUSR2));
        assert_eq!(signals.next(), None);
    }
}
