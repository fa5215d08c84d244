//! The requests of a caller, and the dialog that it makes from an answer.

use std::net::SocketAddr;

use sip::headers::address;
use sip::{Host, Message, Name, Uri, Writer};

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;

/// The two ends of a caller's way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) own: SocketAddr,
    /// The load manager.
    pub(super) to: SocketAddr,
    /// A number that tells this run's calls from those of other runs.
    pub(super) run: u64,
}

/// The fields that later requests of the call need (RFC 3261 §12.1.2).
pub(super) struct Dialog {
    target: String,
    /// The recorded route, nearest entry first.
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

/// The parts that differ between the requests of a call.
struct Ask<'a> {
    method: &'a str,
    sequence: u32,
    /// Each method has its own transaction; a copy has the same branch, and the ACK to a failure has the INVITE's branch.
    transaction: &'a str,
    uri: &'a str,
    to: &'a str,
    routes: &'a [String],
    body: &'a str,
}

fn request(ends: Ends, number: u64, ask: &Ask<'_>) -> String {
    let (Ends { own, run, .. }, Ask { transaction, .. }) = (ends, ask);
    let mut bytes = Vec::with_capacity(512);
    let begun = Writer::request(&mut bytes, ask.method, ask.uri)
        .via(format_args!("SIP/2.0/UDP {own};branch=z9hG4bK{run:x}{transaction}{number};rport"));
    let routed = ask.routes.iter().fold(begun, |text, route| text.route(route)).max_forwards(MAX_FORWARDS);
    let whole = routed
        .from(format_args!("<sip:caller@{own}>;tag=c{number}"))
        .to(ask.to)
        .call_id(format_args!("{number}-{run:x}@demo"))
        .cseq(ask.sequence)
        .contact(format_args!("<sip:caller@{own}>"));
    match ask.body {
        "" => whole.finish(),
        body => whole.finish_with("application/sdp", body.as_bytes()),
    };
    // The text may hold fields of an answer; in a demo, bytes that are not text may be replaced.
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn invite(ends: Ends, number: u64) -> String {
    let own = ends.own;
    let (kind, ip) = (if own.is_ipv4() { "IP4" } else { "IP6" }, own.ip());
    let body = format!(
        "v=0\r\no=caller 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=sendonly\r\n"
    );
    let uri = format!("sip:demo@{}", ends.to);
    let (to, method) = (format!("<{uri}>"), "INVITE");
    let ask = Ask { method, sequence: 1, transaction: method, uri: &uri, to: &to, routes: &[], body: &body };
    request(ends, number, &ask)
}

/// The dialog that a 2xx makes; otherwise the error in the 2xx.
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
    let Dialog { target: uri, routes, to, .. } = dialog;
    request(ends, number, &Ask { method, sequence, transaction: method, uri, to, routes, body: "" })
}

/// The ACK to a failure: the INVITE's branch and target, the answer's To (RFC 3261 §17.1.1.3).
pub(super) fn ack_of_failure(ends: Ends, number: u64, response: &Message<'_>) -> String {
    let to = String::from_utf8_lossy(response.first_value(Name::To).unwrap_or_default()).into_owned();
    let uri = format!("sip:demo@{}", ends.to);
    let ask =
        Ask { method: "ACK", sequence: 1, transaction: "INVITE", uri: &uri, to: &to, routes: &[], body: "" };
    request(ends, number, &ask)
}
