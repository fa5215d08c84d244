//! Signals as events: a thread that waits for them, instead of handlers that interrupt the others.

use std::time::Duration;

use libc::c_int;

/// A set of signals that this process no longer takes by default but waits for.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// To be called before threads are made: they inherit that the signals are held back. So do child processes.
    pub(crate) fn hold(signals: &[c_int]) -> Signals {
        // SAFETY: `sigset_t` is plain data which sigemptyset sets up; the pointers live through the calls.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            Signals(set)
        }
    }

    /// The next signal, or `None` when the time is over.
    pub(crate) fn wait(&self, at_most: Duration) -> Option<c_int> {
        let time = libc::timespec {
            tv_sec: at_most.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(at_most.subsec_nanos() as i32),
        };
        // SAFETY: the set was set up by `hold`; nothing is written but to the process's own queue of signals.
        let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &time) };
        (signal > 0).then_some(signal)
    }
}
