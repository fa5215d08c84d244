//! The operator's log: lines on standard error, in words or as JSON (`log.format`). What other crates of the process have to
//! say comes here too, so that all lines have one form.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use config::LogFormat;

static JSON: AtomicBool = AtomicBool::new(false);

/// Lines from now on are written so.
pub(crate) fn log_as(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Relaxed);
    os::log::say_by(log);
}

/// One line for the operator, with the time.
pub(crate) fn log(message: &str) {
    let now = SystemTime::now();
    let line = if JSON.load(Relaxed) { json(now, message) } else { text(now, message) };
    os::log::write(&line);
}

fn json(now: SystemTime, message: &str) -> String {
    let line = serde_json::json!({ "time": fcaps::rfc3339(now), "log": "operation", "message": message });
    format!("{line}\n")
}

fn text(now: SystemTime, message: &str) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86_400, since.subsec_millis());
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z {message}\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_in_words_and_as_an_object() {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_172_185_042);
        assert_eq!(text(now, "server 10.0.0.1:5060 joins"), "10:56:25.042Z server 10.0.0.1:5060 joins\n");
        let line = json(now, "a\n\"b\"");
        assert_eq!(line.matches('\n').count(), 1);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["time"], "2026-11-20T10:56:25.042Z");
        assert_eq!((&line["log"], &line["message"]), (&"operation".into(), &"a\n\"b\"".into()));
    }
}
