//! Log lines of whoever runs in this process: time, who, what and why, each in one write, so that lines of two threads do not
//! mix. A line that cannot be written is lost: a log that nobody reads stops nobody.

use std::io::Write as _;
use std::sync::OnceLock;

use base::Duration;

static SAY: OnceLock<fn(&str)> = OnceLock::new();

/// Lines go there from now on, without a time of their own, rather than to standard error. Once in a process.
pub fn say_by(say: fn(&str)) {
    let _ = SAY.set(say);
}

/// One line: `2026-11-20T10:56:25.123Z agent: server is ready`.
pub fn line(who: &str, what: &str) {
    match SAY.get() {
        Some(say) => say(&format!("{who}: {what}")),
        None => write(&text(crate::since_1970(), who, what)),
    }
}

/// Whole lines to standard error, in one write.
pub fn write(lines: &str) {
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

fn text(since_1970: Duration, who: &str, what: &str) -> String {
    format!("{} {who}: {what}\n", base::rfc3339(since_1970))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_who_and_what() {
        let now = Duration::from_millis(1_795_172_185_042);
        assert_eq!(
            text(now, "agent", "server is ready"),
            "2026-11-20T10:56:25.042Z agent: server is ready\n"
        );
    }
}
