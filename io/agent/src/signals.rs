//! Signals as events: blocked for the process and read from a descriptor, in order, by the one thread that acts on them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Ask for a stop.
pub(crate) const STOP: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// Belong to the server.
pub(crate) const PASSED: [i32; 3] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals in this thread and in those that it starts; call it before there are others.
    pub(crate) fn open() -> io::Result<Signals> {
        // SAFETY: `set` is initialised by sigemptyset before use, and the descriptor is new.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in STOP.into_iter().chain(PASSED) {
                libc::sigaddset(&mut set, signal);
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

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The next signal that came, if any.
    pub(crate) fn next(&self) -> Option<i32> {
        // SAFETY: the kernel writes one whole record into a buffer of its size, or nothing.
        unsafe {
            let mut record: libc::signalfd_siginfo = std::mem::zeroed();
            let size = std::mem::size_of::<libc::signalfd_siginfo>();
            let read = libc::read(self.fd(), (&raw mut record).cast(), size);
            (read == size as isize).then_some(record.ssi_signo as i32)
        }
    }
}
