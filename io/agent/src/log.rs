//! Log lines: UTC time, `agent`, what and why, to stderr.

use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one line. A line that cannot be written is lost: the log must never end the supervision.
pub(crate) fn line(what: &str) {
    use std::io::Write;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = format!("{} agent: {what}\n", base::rfc3339(now));
    let _ = std::io::stderr().write_all(text.as_bytes());
}
