//! Whole lines of the operator's log to standard error, each in one write, so that lines of two threads do not mix. A line
//! that cannot be written is lost: a log that nobody reads must not stop the program.

use std::io::Write as _;

/// Whole lines to standard error, in one write.
pub fn write(lines: &str) {
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}
