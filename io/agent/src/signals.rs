//! The meaning of signals.

/// Ask for a stop.
pub(crate) const STOP: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// Signals for the server.
pub(crate) const PASSED: [i32; 3] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// All signals that the agent's loop reads.
pub(crate) const HELD: [i32; 5] = [STOP[0], STOP[1], PASSED[0], PASSED[1], PASSED[2]];
