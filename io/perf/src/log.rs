//! Log lines of the poll loop: what and why. Each failure is said once, and its end too.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

static SAY: OnceLock<fn(&str)> = OnceLock::new();

/// Lines go there from now on, without a time of their own, rather than to standard error. Once in a process.
pub fn say_by(say: fn(&str)) {
    let _ = SAY.set(say);
}

/// Writes one line. A line that cannot be written is lost: the log must never end the polls.
pub fn line(what: &str) {
    use std::io::Write;
    if let Some(say) = SAY.get() {
        return say(&format!("perf: {what}"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (now.as_secs() % 86_400, now.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z perf: {what}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
}
