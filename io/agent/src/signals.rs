//! Which signals mean what.

/// Ask for a stop.
pub(crate) const STOP: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// Belong to the server.
pub(crate) const PASSED: [i32; 3] = [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// All that are read by the agent's loop.
pub(crate) const HELD: [i32; 5] = [STOP[0], STOP[1], PASSED[0], PASSED[1], PASSED[2]];
