//! SIP messages that callers write, and the fields that callers and checkers read.

use std::fmt::Write;
use std::net::SocketAddr;

use sip::headers::{address, cseq, via};
use sip::{Host, Message, Method, Name, Uri};

/// The fields of a message that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The status of a response.
    pub status: Option<u16>,
    /// A request's method, or a response's method in CSeq.
    pub method: Method,
    pub call_id: String,
    pub branch: String,
    pub from_tag: String,
    pub to_tag: Option<String>,
    pub sequence: u32,
    /// The URI of the Contact.
    pub contact: Option<String>,
    /// The whole values, from the topmost down.
    pub record_routes: Vec<String>,
}

impl Read {
    /// `None`: an indispensable field is missing.
    pub fn of(message: &Message<'_>) -> Option<Read> {
        let sequence = cseq::parse(message.first_value(Name::CSeq)?)?;
        let top = via::top(message)?.ok()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tag = |name| {
            let value = message.first_value(name)?;
            Some(address::parse(value).ok()?.tag().map(text))
        };
        let record_routes = message.all(Name::RecordRoute).flat_map(|header| {
            address::values(message.value(header)).filter_map(|value| Some(text(value.ok()?.bytes)))
        });
        Some(Read {
            status: message.status(),
            method: message.method().unwrap_or(sequence.method),
            call_id: text(message.first_value(Name::CallId)?),
            branch: text(top.branch?),
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

    /// A short name for reports of violations.
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

/// The parts that differ between requests.
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
