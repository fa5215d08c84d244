//! SIP as callers and servers write it, and the few things that they read of it.

use std::fmt::Write;
use std::net::SocketAddr;

use sip::headers::{address, cseq, via};
use sip::{Host, Message, Method, Name, Uri};

/// What a caller or server looks at in a message that it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Of a response.
    pub status: Option<u16>,
    /// Of a request its own, of a response that of its CSeq.
    pub method: Method,
    pub call_id: String,
    pub branch: String,
    /// Where the topmost Via wants a response: its host and port, or `received` and `rport`.
    pub via: Option<SocketAddr>,
    pub from_tag: String,
    pub to_tag: Option<String>,
    pub sequence: u32,
    /// The URI of the Contact.
    pub contact: Option<String>,
    /// The whole values, from the topmost down.
    pub record_routes: Vec<String>,
}

impl Read {
    /// `None`: something that a caller or server cannot do without is missing.
    pub fn of(message: &Message<'_>) -> Option<Read> {
        let sequence = cseq::parse(message.first_value(Name::CSeq)?)?;
        let top = via::top(message)?.ok()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tag = |name| {
            let value = message.first_value(name)?;
            Some(address::parse(value).ok()?.tag().map(text))
        };
        let port = top.rport.flatten().or(top.port).unwrap_or(5060);
        let host = match (top.received, top.host) {
            (Some(ip), _) | (None, Host::Ip(ip)) => Some(ip),
            (None, Host::Name(_)) => None,
        };
        let record_routes = message.all(Name::RecordRoute).flat_map(|header| {
            address::values(message.value(header)).filter_map(|value| Some(text(value.ok()?.bytes)))
        });
        Some(Read {
            status: message.status(),
            method: message.method().unwrap_or(sequence.method),
            call_id: text(message.first_value(Name::CallId)?),
            branch: text(top.branch?),
            via: host.map(|ip| SocketAddr::new(ip, port)),
            from_tag: tag(Name::From)??,
            to_tag: tag(Name::To)?,
            sequence: sequence.number,
            contact: message
                .first_value(Name::Contact)
                .and_then(|value| address::first(value).ok())
                .map(|contact| text(contact.uri)),
            record_routes: record_routes.collect(),
        })
    }

    /// For a violation: short and readable.
    pub fn name(&self) -> String {
        match self.status {
            Some(status) => format!("{status} ({:?}) of {}", self.method, self.call_id),
            None => format!("{:?} of {}", self.method, self.call_id),
        }
    }
}

/// The address in a SIP URI or in a name-addr such as a Route value.
pub fn address_of(uri: &str) -> Option<SocketAddr> {
    let uri = uri.trim_start_matches('<');
    let uri = Uri::parse(uri.split('>').next()?.as_bytes()).ok()?;
    match uri.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, uri.port.unwrap_or(5060))),
        Host::Name(_) => None,
    }
}

/// A response as a user agent server makes it (RFC 3261 §8.2.6, §12.1.1).
pub fn response(request: &Message<'_>, status: u16, to_tag: &str, contact: Option<SocketAddr>) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status} {}\r\n", if status < 300 { "Fine" } else { "Sorry" });
    let contact_is_listed = request.method() == Some(Method::Register);
    for header in request.headers() {
        let value = String::from_utf8_lossy(request.value(header));
        let _ = match header.name {
            Name::Via => write!(text, "Via: {value}\r\n"),
            Name::From => write!(text, "From: {value}\r\n"),
            Name::CallId => write!(text, "Call-ID: {value}\r\n"),
            Name::CSeq => write!(text, "CSeq: {value}\r\n"),
            // The registrar's answer lists the contact (RFC 3261 §10.3).
            Name::Contact if contact_is_listed => write!(text, "Contact: {value};expires=60\r\n"),
            Name::RecordRoute => write!(text, "Record-Route: {value}\r\n"),
            Name::To => {
                let tagged = address::parse(request.value(header)).is_ok_and(|to| to.tag().is_some());
                let tag = if tagged || status == 100 { String::new() } else { format!(";tag={to_tag}") };
                write!(text, "To: {value}{tag}\r\n")
            }
            _ => Ok(()),
        };
    }
    if let Some(contact) = contact.filter(|_| !contact_is_listed) {
        let _ = write!(text, "Contact: <sip:{contact}>\r\n");
    }
    text += "Content-Length: 0\r\n\r\n";
    text.into_bytes()
}

/// The parts of a request that differ from one to the next.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub transport: sip::Transport,
    pub from: SocketAddr,
    pub branch: &'a str,
    pub from_header: &'a str,
    pub to_header: &'a str,
    pub call_id: &'a str,
    pub sequence: u32,
    pub routes: &'a [String],
    pub body: &'a str,
}

pub fn request(ask: &Ask<'_>) -> Vec<u8> {
    let Ask { method, uri, from, branch, call_id, sequence, body, .. } = ask;
    let mut text = format!("{method} {uri} SIP/2.0\r\n");
    let transport = ask.transport.via_token();
    let _ =
        write!(text, "Via: SIP/2.0/{transport} {from};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n");
    for route in ask.routes {
        let _ = write!(text, "Route: {route}\r\n");
    }
    let _ = write!(
        text,
        "From: {}\r\nTo: {}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} {method}\r\n\
         Contact: <sip:{from};transport={}>\r\nContent-Length: {}\r\n\r\n{body}",
        ask.from_header,
        ask.to_header,
        ask.transport.uri_token(),
        body.len()
    );
    text.into_bytes()
}
