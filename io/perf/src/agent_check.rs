//! HAProxy's agent-check text: one line of words that a server's own check writes to each client, such as `75% up` or
//! `drain`. As in HAProxy, spaces, tabs or commas separate words, and the last of contradicting words counts.
//!
//! A percentage is the share of its weight that a server wants; the rest to 100 % is its load. Words that say nothing of
//! load (`ready`, `up`) do not change the figures.

use heartbeat::{Load, ServerState};

/// Longest line that is read: HAProxy's own limit is its buffer; a real line has some twenty characters.
pub const LINE_BYTES_MAX: usize = 512;

/// The content of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    pub state: ServerState,
    /// `down`, `fail` or `stopped`: the server failed its own check.
    pub down: bool,
    pub load: Load,
}

/// Reads a line without its end. `Err`: the line has an unknown word, or no word; nothing of it counts.
pub fn parse(line: &[u8]) -> Result<Said, &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "the line is not text")?;
    // The text behind `#` is a reason for people.
    let text = text.split('#').next().unwrap_or_default();
    let mut said = Said { state: ServerState::Started, down: false, load: Load::default() };
    let mut words = 0;
    for word in text.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
        words += 1;
        match word {
            "up" => said.down = false,
            "down" | "fail" | "failed" | "stopped" => said.down = true,
            "ready" => said.state = ServerState::Started,
            "drain" | "maint" => said.state = ServerState::Draining,
            _ => {
                if let Some(number) = word.strip_suffix('%') {
                    let percent: u32 = number.parse().map_err(|_| "a percentage is not a number")?;
                    said.load.cpu_permille = Some(1000 - percent.min(100) as u16 * 10);
                } else if let Some(number) = word.strip_prefix("maxconn:") {
                    said.load.residual_calls = Some(number.parse().map_err(|_| "maxconn is not a number")?);
                } else {
                    return Err("the line has an unknown word");
                }
            }
        }
    }
    if words == 0 { Err("the line is empty") } else { Ok(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, state: ServerState, down: bool, cpu: Option<u16>, residual: Option<u32>) {
        let said = parse(line.as_bytes()).unwrap();
        assert_eq!((said.state, said.down), (state, down), "{line}");
        assert_eq!((said.load.cpu_permille, said.load.residual_calls), (cpu, residual), "{line}");
    }

    #[test]
    fn the_words_of_haproxy() {
        use ServerState::{Draining, Started};
        check("75% up", Started, false, Some(250), None);
        check("75%", Started, false, Some(250), None);
        check("up,100%", Started, false, Some(0), None);
        check("200% up", Started, false, Some(0), None);
        check("0%", Started, false, Some(1000), None);
        check("drain", Draining, false, None, None);
        check("maint", Draining, false, None, None);
        check("ready\tup 50%", Started, false, Some(500), None);
        check("down # disk full, 100%", Started, true, None, None);
        check("fail", Started, true, None, None);
        check("stopped", Started, true, None, None);
        check("up maxconn:30", Started, false, None, Some(30));
        check("down up", Started, false, None, None);
    }

    #[test]
    fn anything_else_counts_for_nothing() {
        for wrong in [&b""[..], b"   ", b"GET / HTTP/1.1", b"%", b"-5%", b"maxconn:", b"75% \xff", b"up\0"] {
            assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
