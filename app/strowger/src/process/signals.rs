//! Signals as events: a thread waits for them; no handler interrupts the other threads.

use std::time::Duration;

use libc::c_int;

/// A set of signals that this process waits for, instead of their default effect.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    /// Must be called before threads are made: threads inherit the blocked signals. Child processes inherit them, too.
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

    /// The next signal, or `None` after the timeout.
    pub(crate) fn wait(&self, at_most: Duration) -> Option<c_int> {
        let time = libc::timespec {
            tv_sec: at_most.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(at_most.subsec_nanos() as i32),
        };
        // SAFETY: `hold` set up the set; nothing is written but the process's own queue of signals.
        let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), &time) };
        (signal > 0).then_some(signal)
    }
}
