//! The requests of a caller, and what it takes from the answer that makes its dialog.

use std::fmt::Write as _;
use std::net::SocketAddr;

use sip::headers::address;
use sip::{Host, Message, Name, Uri};

/// Both ends of a caller's way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) own: SocketAddr,
    /// The load manager.
    pub(super) to: SocketAddr,
    /// Sets the calls of this run apart from those of others.
    pub(super) run: u64,
}

/// What later requests of the call need (RFC 3261 §12.1.2).
pub(super) struct Dialog {
    target: String,
    /// The route that was recorded, nearest first.
    routes: Vec<String>,
    to: String,
    pub(super) hop: SocketAddr,
}

/// The part of a Call-ID that names the call.
pub(super) fn call_number(call_id: &[u8], ends: Ends) -> Option<u64> {
    let text = std::str::from_utf8(call_id).ok()?;
    let (number, run) = text.strip_suffix("@demo")?.split_once('-')?;
    (u64::from_str_radix(run, 16) == Ok(ends.run)).then(|| number.parse().ok()).flatten()
}

fn head(
    ends: Ends,
    number: u64,
    (method, sequence): (&str, u32),
    uri: &str,
    to: &str,
    routes: &[String],
) -> String {
    let Ends { own, run, .. } = ends;
    // Each method has a transaction of its own; a copy has the same branch.
    let mut text = format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{run:x}{method}{number};rport\r\nMax-Forwards: 70\r\n"
    );
    for route in routes {
        let _ = write!(text, "Route: {route}\r\n");
    }
    let _ = write!(
        text,
        "From: <sip:caller@{own}>;tag=c{number}\r\nTo: {to}\r\nCall-ID: {number}-{run:x}@demo\r\n\
         CSeq: {sequence} {method}\r\nContact: <sip:caller@{own}>\r\n"
    );
    text
}

pub(super) fn invite(ends: Ends, number: u64) -> String {
    let own = ends.own;
    let (kind, ip) = (if own.is_ipv4() { "IP4" } else { "IP6" }, own.ip());
    let body = format!(
        "v=0\r\no=caller 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendonly\r\n"
    );
    let uri = format!("sip:demo@{}", ends.to);
    let mut text = head(ends, number, ("INVITE", 1), &uri, &format!("<{uri}>"), &[]);
    let _ = write!(text, "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    text
}

/// The dialog that a 2xx makes; what is wrong with it otherwise.
pub(super) fn dialog(response: &Message<'_>) -> Result<Dialog, &'static str> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let contact = response.first_value(Name::Contact).ok_or("a 2xx without Contact")?;
    let target = text(address::first(contact).map_err(|_| "a 2xx with a bad Contact")?.uri);
    let mut routes = Vec::new();
    for header in response.all(Name::RecordRoute) {
        for value in address::values(response.value(header)) {
            routes.push(text(value.map_err(|_| "a 2xx with a bad Record-Route")?.bytes));
        }
    }
    routes.reverse();
    let to = text(response.first_value(Name::To).ok_or("a 2xx without To")?);
    let hop = match routes.first() {
        Some(route) => hop_of(address::parse(route.as_bytes()).map_err(|_| "a bad route")?.uri),
        None => hop_of(target.as_bytes()),
    };
    Ok(Dialog { target, routes, to, hop: hop.ok_or("a route that is no address")? })
}

fn hop_of(uri: &[u8]) -> Option<SocketAddr> {
    let uri = Uri::parse(uri).ok()?;
    match uri.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, uri.port.unwrap_or(5060))),
        Host::Name(_) => None,
    }
}

/// An ACK (sequence 1) or a BYE (sequence 2) within the dialog.
pub(super) fn within(ends: Ends, number: u64, (method, sequence): (&str, u32), dialog: &Dialog) -> String {
    let mut text = head(ends, number, (method, sequence), &dialog.target, &dialog.to, &dialog.routes);
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

/// The ACK to a failure: the INVITE's branch and target, the answer's To (RFC 3261 §17.1.1.3).
pub(super) fn ack_of_failure(ends: Ends, number: u64, response: &Message<'_>) -> String {
    let to = String::from_utf8_lossy(response.first_value(Name::To).unwrap_or_default()).into_owned();
    let uri = format!("sip:demo@{}", ends.to);
    let mut text = head(ends, number, ("INVITE", 1), &uri, &to, &[]);
    text = text.replacen("INVITE ", "ACK ", 1).replacen("CSeq: 1 INVITE", "CSeq: 1 ACK", 1);
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}
