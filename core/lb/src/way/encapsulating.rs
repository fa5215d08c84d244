//! A server's side of encapsulated responses (SPEC C4, docs/encapsulated-response.md): responses to requests that came through a
//! load manager leave with the hop behind the load manager, as RFC 3261 §18.2.2 finds it.

use std::net::{IpAddr, SocketAddr};

use sip::headers::via::{self, Via};
use sip::{Host, Message, Parser, SIP_PORT, SIPS_PORT, Start, Transport};
use turn::Outbox;

use super::encapsulated::{NextHop, write};

/// Wraps the responses among the messages from index `from` on; `key`: the heartbeat key of the farm.
pub fn encapsulate<Ask, Letter, Event>(key: &[u8], from: usize, out: &mut Outbox<Ask, Letter, Event>) {
    let mut parser = Parser::new();
    for send in &mut out.sends[from..] {
        let bytes = &out.bytes[send.bytes.start as usize..send.bytes.end as usize];
        if !bytes.starts_with(b"SIP/2.0 ") {
            continue;
        }
        let Some(next_hop) = parser.parse(bytes).ok().and_then(|response| behind(&response)) else {
            continue;
        };
        let response = bytes.to_vec();
        let start = out.bytes.len() as u32;
        write(next_hop, &response, key, &mut out.bytes);
        send.bytes = start..out.bytes.len() as u32;
    }
}

/// The hop to which the load manager sends the response. `None`: the request came to us directly, or the hop is a host name.
fn behind(response: &Message<'_>) -> Option<NextHop> {
    let Start::Response { .. } = response.start() else { return None };
    let top = via::top(response)?.ok()?;
    next_hop(&via::below(response, &top)?.ok()?)
}

fn next_hop(via: &Via<'_>) -> Option<NextHop> {
    let transport = match via.transport {
        name if name.eq_ignore_ascii_case(b"UDP") => Transport::Udp,
        name if name.eq_ignore_ascii_case(b"TCP") => Transport::Tcp,
        name if name.eq_ignore_ascii_case(b"TLS") => Transport::Tls,
        name if name.eq_ignore_ascii_case(b"WS") || name.eq_ignore_ascii_case(b"WSS") => Transport::Ws,
        _ => return None,
    };
    let default = if transport == Transport::Tls { SIPS_PORT } else { SIP_PORT };
    let sent_by = via.port.unwrap_or(default);
    let host = match via.host {
        Host::Ip(ip) => Some(ip),
        _ => None,
    };
    let maddr = via.parameter(b"maddr").and_then(address);
    let (ip, port) = match (transport, maddr) {
        (Transport::Udp, Some(maddr)) => (maddr, sent_by),
        (Transport::Udp, None) => (
            via.received.or(host)?,
            via.rport.flatten().filter(|_| via.received.is_some()).unwrap_or(sent_by),
        ),
        _ => (via.received.or(host)?, sent_by),
    };
    let is_host = !ip.is_unspecified() && !ip.is_multicast() && port != 0;
    is_host.then(|| NextHop { address: SocketAddr::new(ip, port), transport })
}

fn address(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hop_is_where_the_via_below_says() {
        for (below, expected) in [
            ("UDP 192.0.2.7", "udp 192.0.2.7:5060"),
            ("UDP host:5070;received=192.0.2.7", "udp 192.0.2.7:5070"),
            ("UDP 10.1.1.1:5070;rport=4444;received=192.0.2.7", "udp 192.0.2.7:4444"),
            ("UDP 192.0.2.7:5070;maddr=192.0.2.9", "udp 192.0.2.9:5070"),
            ("TCP 192.0.2.7:5070;maddr=192.0.2.9;rport=4;received=192.0.2.8", "tcp 192.0.2.8:5070"),
            ("TLS 192.0.2.7", "tls 192.0.2.7:5061"),
            ("UDP host", ""),
            ("UDP 192.0.2.7;maddr=224.0.1.75", ""),
        ] {
            let text = format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nVia: SIP/2.0/{below};branch=z9hG4bK2\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            let mut parser = Parser::new();
            let found = behind(&parser.parse(text.as_bytes()).unwrap())
                .map(|it| format!("{} {}", it.transport.uri_token(), it.address))
                .unwrap_or_default();
            assert_eq!(found, expected, "{below}");
        }
        let straight =
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(behind(&Parser::new().parse(straight.as_bytes()).unwrap()), None);
    }
}
