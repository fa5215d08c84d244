//! One fault as a line of JSON.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;

/// A message of a known call that did not go to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub time: SystemTime,
    /// The Call-ID as it was received; a stranger may have put anything into it.
    pub call_id: Box<[u8]>,
    pub method: Box<[u8]>,
    /// The sender of the message.
    pub client: SocketAddr,
    /// The server that the message should have reached; unknown if the tables have forgotten it.
    pub from: Option<SocketAddr>,
    /// The server that got the message.
    pub to: SocketAddr,
    pub why: &'static str,
}

/// A received text longer than this is cut in the record: room for any honest Call-ID.
const TEXT_BYTES_MAX: usize = 256;

impl Fault {
    /// Appends the record with its line end.
    pub fn write_line(&self, out: &mut String) {
        out.push_str("{\"time\":\"");
        out.push_str(&crate::rfc3339(self.time));
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

/// A JSON string; bytes that are not UTF-8 become the replacement character.
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

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
}
