//! The request by which a connection becomes a WebSocket, and our answer (RFC 6455 §4.2, RFC 7118 §4).

use aws_lc_rs::digest;

/// The most bytes of the request. A browser's request has some 600 bytes, with cookies a few thousand.
const REQUEST_MAX: usize = 8 << 10;

/// The answer's digest is made from this and the client's key (RFC 6455 §1.3).
const PURPOSE: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The result of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    Incomplete,
    /// Agreed: the answer, and how many bytes the request took.
    Agreed(String, usize),
    /// Refused: the answer. Then the connection must be closed.
    Refused(String),
}

pub(crate) fn read(bytes: &[u8]) -> Upgrade {
    // Bytes behind the limit are ignored, so that it does not matter how the stream was cut.
    let within = &bytes[..bytes.len().min(REQUEST_MAX)];
    let Some(end) = within.windows(4).position(|window| window == b"\r\n\r\n") else {
        return match bytes.len() {
            0..REQUEST_MAX => Upgrade::Incomplete,
            _ => refused("431 Request Header Fields Too Large", "the request is larger than 8 KiB", ""),
        };
    };
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else {
        return refused("400 Bad Request", "the request is not text", "");
    };
    match key_of(text) {
        Ok(key) => Upgrade::Agreed(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: sip\r\n\r\n",
                accept(key)
            ),
            end + 4,
        ),
        Err(refusal) => refusal,
    }
}

/// The client's key, if everything else is right.
fn key_of(text: &str) -> Result<&str, Upgrade> {
    let mut lines = text.split("\r\n");
    let mut start = lines.next().unwrap_or_default().split(' ');
    let bad = |why| refused("400 Bad Request", why, "");
    let (method, target, version) = (start.next(), start.next(), start.next());
    if target.is_none() || version != Some("HTTP/1.1") || start.next().is_some() {
        return Err(bad("not a request of HTTP/1.1"));
    }
    if method != Some("GET") {
        return Err(refused("405 Method Not Allowed", "a WebSocket begins with GET", "Allow: GET\r\n"));
    }
    let (mut host, mut upgrade, mut connection, mut protocol) = (false, false, false, false);
    let (mut key, mut version) = (None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| bad("a line without a colon"))?;
        let value = value.trim_matches([' ', '\t']);
        let has = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
        match name.to_ascii_lowercase().as_str() {
            "host" => host = true,
            "upgrade" => upgrade |= has("websocket"),
            "connection" => connection |= has("upgrade"),
            "sec-websocket-protocol" => protocol |= has("sip"),
            "sec-websocket-version" => version = Some(value),
            "sec-websocket-key" => key = Some(value),
            _ => {}
        }
    }
    if !upgrade || !connection {
        let more = "Upgrade: websocket\r\n";
        return Err(refused("426 Upgrade Required", "only SIP over WebSocket is supported here", more));
    }
    if version != Some("13") {
        let more = "Sec-WebSocket-Version: 13\r\n";
        return Err(refused("426 Upgrade Required", "only version 13 of WebSocket is supported here", more));
    }
    if !host {
        return Err(bad("Host is missing"));
    }
    if !protocol {
        return Err(bad("Sec-WebSocket-Protocol must name sip"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.filter(|key| key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(plain))
        .ok_or_else(|| bad("Sec-WebSocket-Key must be 16 bytes in base64"))
}

fn refused(status: &str, why: &str, more: &str) -> Upgrade {
    Upgrade::Refused(format!(
        "HTTP/1.1 {status}\r\n{more}Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{why}\n",
        why.len() + 1
    ))
}

fn accept(key: &str) -> String {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), PURPOSE].concat());
    base64(digest.as_ref())
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word = (0..3).fold(0, |sum, at| sum << 8 | u32::from(part.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * at) & 63) as usize]);
            text.push(if at <= part.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 7118 §8.1, and with its key the example of RFC 6455 §1.3.
    const GOOD: &str = "GET / HTTP/1.1\r\nHost: sip-ws.example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://www.example.com\r\n\
                        Sec-WebSocket-Protocol: xmpp, sip\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn a_good_request_is_agreed_to_wherever_it_is_cut() {
        let whole = format!("{GOOD}frames");
        for length in 0..GOOD.len() {
            assert_eq!(read(&whole.as_bytes()[..length]), Upgrade::Incomplete);
        }
        let Upgrade::Agreed(answer, length) = read(whole.as_bytes()) else { panic!("refused") };
        assert_eq!(length, GOOD.len());
        assert!(answer.starts_with("HTTP/1.1 101 "));
        assert!(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.contains("\r\nSec-WebSocket-Protocol: sip\r\n"));
    }

    #[test]
    fn a_bad_one_is_told_why() {
        for (from, to, status, why) in [
            ("Sec-WebSocket-Protocol: xmpp, sip", "X: y", "400", "must name sip"),
            ("Sec-WebSocket-Protocol: xmpp, sip", "Sec-WebSocket-Protocol: sipx", "400", "must name sip"),
            ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "426", "Sec-WebSocket-Version: 13"),
            ("Upgrade: websocket", "Upgrade: h2c", "426", "Upgrade: websocket"),
            ("keep-alive, Upgrade", "close", "426", "only SIP over WebSocket"),
            ("GET ", "POST ", "405", "Allow: GET"),
            ("HTTP/1.1", "HTTP/1.0", "400", "HTTP/1.1"),
            ("Host: sip-ws.example.com\r\n", "", "400", "Host is missing"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "short", "400", "Sec-WebSocket-Key"),
            ("Origin: ", "Origin ", "400", "colon"),
        ] {
            let text = GOOD.replacen(from, to, 1).replace("http://", "");
            let Upgrade::Refused(answer) = read(text.as_bytes()) else { panic!("agreed to {to}") };
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{to}: {answer}");
            assert!(answer.contains(why), "{to}: {answer}");
        }
        let long = "x".repeat(REQUEST_MAX);
        assert!(matches!(read(long.as_bytes()), Upgrade::Refused(answer) if answer.contains("431")));
    }

    #[test]
    fn a_request_of_the_limit_is_agreed_to_and_a_longer_one_refused_wherever_it_is_cut() {
        for (length, agreed) in [(REQUEST_MAX, true), (REQUEST_MAX + 1, false), (REQUEST_MAX + 3, false)] {
            let cookie = "x".repeat(length - GOOD.len() - "Cookie: \r\n".len());
            let text = GOOD.replacen("Origin: ", &format!("Cookie: {cookie}\r\nOrigin: "), 1);
            assert_eq!(text.len(), length);
            let whole = read(text.as_bytes());
            let first = (0..=length)
                .map(|end| read(&text.as_bytes()[..end]))
                .find(|read| *read != Upgrade::Incomplete);
            assert_eq!(first.as_ref(), Some(&whole), "{length}");
            assert_eq!(matches!(whole, Upgrade::Agreed(_, used) if used == length), agreed, "{length}");
        }
    }

    #[test]
    fn base64_pads() {
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes), text);
        }
    }
}
