//! One fault as a line of JSON.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A message of a known call that did not go the way it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub time: SystemTime,
    /// As it was received; others may have put anything into it.
    pub call_id: Box<[u8]>,
    pub method: Box<[u8]>,
    /// Who sent it.
    pub client: SocketAddr,
    /// The server that it should have gone to; unknown when the tables have forgotten it.
    pub from: Option<SocketAddr>,
    /// The one it went to.
    pub to: SocketAddr,
    pub why: &'static str,
}

/// A received text longer than this is cut in the record: room for any honest Call-ID.
const TEXT_BYTES_MAX: usize = 256;

impl Fault {
    /// Appends the record with its line end.
    pub fn write_line(&self, out: &mut String) {
        out.push_str("{\"time\":\"");
        rfc3339(self.time, out);
        out.push_str("\",\"fault\":\"taken over\",\"call_id\":");
        json_text(&self.call_id, out);
        out.push_str(",\"method\":");
        json_text(&self.method, out);
        let _ = write!(out, ",\"client\":\"{}\",\"from\":", self.client);
        match self.from {
            Some(from) => {
                let _ = write!(out, "\"{from}\"");
            }
            None => out.push_str("null"),
        }
        let _ = write!(out, ",\"to\":\"{}\",\"why\":", self.to);
        json_text(self.why.as_bytes(), out);
        out.push_str("}\n");
    }
}

/// A JSON string; bytes that are no UTF-8 become the replacement character.
fn json_text(bytes: &[u8], out: &mut String) {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `2026-11-20T10:56:25.123Z` (RFC 3339 §5.6), always in UTC.
pub(crate) fn rfc3339(time: SystemTime, out: &mut String) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86400, since.as_secs() % 86400);
    // Years are counted from 1 March, so that the leap day is a year's last; 400 of them are an era of 146 097 days,
    // and 719 468 days lie between the era's beginning in the year 0 and 1970.
    let day = days + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day_of_month:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fault(call_id: &[u8]) -> Fault {
        Fault {
            time: UNIX_EPOCH + Duration::from_millis(1_795_172_185_042),
            call_id: call_id.into(),
            method: (*b"BYE").into(),
            client: "127.0.0.1:5062".parse().unwrap(),
            from: Some("127.0.0.1:7000".parse().unwrap()),
            to: "[::1]:7001".parse().unwrap(),
            why: "server failed",
        }
    }

    #[test]
    fn a_fault_is_one_line_of_json() {
        let mut line = String::new();
        fault(b"a84b4c@pc33").write_line(&mut line);
        assert_eq!(
            line,
            "{\"time\":\"2026-11-20T10:56:25.042Z\",\"fault\":\"taken over\",\"call_id\":\"a84b4c@pc33\",\"method\":\"BYE\",\
             \"client\":\"127.0.0.1:5062\",\"from\":\"127.0.0.1:7000\",\"to\":\"[::1]:7001\",\"why\":\"server failed\"}\n"
        );
    }

    #[test]
    fn a_hostile_call_id_stays_within_its_string() {
        let mut line = String::new();
        fault(b"\",\"x\":\"\\\n\xff").write_line(&mut line);
        assert!(line.contains(r#""call_id":"\",\"x\":\"\\\u000a�","#), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_long_call_id_is_cut() {
        let mut line = String::new();
        fault(&[b'x'; 60_000]).write_line(&mut line);
        assert!(line.len() < 600);
    }

    #[test]
    fn dates_at_the_edges() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_599, "2024-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut text = String::new();
            rfc3339(UNIX_EPOCH + Duration::from_secs(seconds), &mut text);
            assert_eq!(text, expected);
        }
    }
}
