//! The messages of the call flow: templates into which a call's number is written, and copies of received fields.
//!
//! A call's number stands as 16 hexadecimal digits in Call-ID, From tag and branch, so that the receiver of a message finds the
//! call by reading the number, without a table of strings. It is the user in From, too: that is all of the caller's names that a
//! back-to-back user agent passes on.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::head::{Head, in_brackets, value};

const MARK: &[u8; 16] = b"IIIIIIIIIIIIIIII";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A call's number: its slot, and how often that slot was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Number {
    pub(crate) fn digits(self) -> [u8; 16] {
        let bytes = (u64::from(self.generation) << 32 | u64::from(self.slot)).to_be_bytes();
        let mut digits = [0; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        digits
    }

    /// Reads the number at the front of a Call-ID.
    pub(crate) fn read(text: &[u8]) -> Option<Number> {
        let mut number = 0u64;
        for &digit in text.get(..16)? {
            let nibble = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            number = number << 4 | u64::from(nibble);
        }
        Some(Number { slot: number as u32, generation: (number >> 32) as u32 })
    }
}

/// Text with the places for a call's number.
#[derive(Debug)]
struct Template {
    text: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    fn new(text: String) -> Template {
        let text = text.into_bytes();
        let places = memchr::memmem::find_iter(&text, MARK).collect();
        Template { text, places }
    }

    fn write(&self, digits: &[u8; 16], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.text);
        for place in &self.places {
            out[start + place..start + place + 16].copy_from_slice(digits);
        }
    }
}

/// The transaction, named by the last character of a client's branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    Invite = b'1' as isize,
    Ack = b'2' as isize,
    Bye = b'3' as isize,
}

/// All texts of one run.
#[derive(Debug)]
pub(crate) struct Texts {
    invite: Template,
    /// The Vias of ACK and BYE.
    within_dialog: [Template; 2],
    /// The text after the To line of ACK and BYE.
    rest: [Template; 2],
    /// Contact lines and bodies of the servers' 200, by server.
    answer: Vec<Vec<u8>>,
}

fn sdp(address: Ipv4Addr) -> String {
    format!(
        "v=0\r\no=- 2890844526 2890844526 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio 49170 RTP/AVP 8 0 96 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n\
         a=sendrecv\r\n"
    )
}

/// The first line of each INVITE to `target`.
pub(crate) fn invite_line(target: SocketAddrV4, parameter: &str) -> String {
    format!("INVITE sip:+15550100@{target}{parameter} SIP/2.0\r\n")
}

impl Texts {
    /// `run` tells this run's calls from another run's; `target` is the address that clients call.
    pub(crate) fn new(
        transport: &str,
        run: u32,
        client: SocketAddrV4,
        target: SocketAddrV4,
        servers: &[SocketAddrV4],
    ) -> Texts {
        let via = |kind: Transaction| {
            format!(
                "Via: SIP/2.0/{transport} {client};branch=z9hG4bKIIIIIIIIIIIIIIII{};rport\r\n",
                kind as u8 as char
            )
        };
        let who = "From: \"Alice\" <sip:IIIIIIIIIIIIIIII@example.test>;tag=IIIIIIIIIIIIIIII\r\n";
        let call_id = format!("Call-ID: IIIIIIIIIIIIIIII-{run:08x}@127.0.0.1\r\n");
        let parameter = match transport {
            "TCP" => ";transport=tcp",
            "TLS" => ";transport=tls",
            _ => "",
        };
        let body = sdp(*client.ip());
        let invite = format!(
            "{}{}Max-Forwards: 70\r\n{who}\
             To: <sip:+15550100@example.test>\r\n{call_id}CSeq: 1 INVITE\r\n\
             Contact: <sip:+15550111@{client}{parameter}>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n\
             Supported: replaces, timer\r\nUser-Agent: strowger-bench\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            invite_line(target, parameter),
            via(Transaction::Invite),
            body.len(),
        );
        let rest = |number: u32, method: &str| {
            format!(
                "Max-Forwards: 70\r\n{who}{call_id}CSeq: {number} {method}\r\nUser-Agent: strowger-bench\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        let answer = |server: &SocketAddrV4| {
            let body = sdp(*server.ip());
            format!(
                "Contact: <sip:server@{server}{parameter}>\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Texts {
            invite: Template::new(invite),
            within_dialog: [Template::new(via(Transaction::Ack)), Template::new(via(Transaction::Bye))],
            rest: [Template::new(rest(1, "ACK")), Template::new(rest(2, "BYE"))],
            answer: servers.iter().map(answer).collect(),
        }
    }

    pub(crate) fn invite(&self, digits: &[u8; 16], out: &mut Vec<u8>) {
        self.invite.write(digits, out);
    }

    /// ACK or BYE to the remote target, with the dialog's route set and To (RFC 3261 §12.2.1.1).
    pub(crate) fn within_dialog(
        &self,
        kind: Transaction,
        digits: &[u8; 16],
        dialog: Dialog<'_>,
        out: &mut Vec<u8>,
    ) {
        let (method, index): (&[u8], usize) = match kind {
            Transaction::Invite | Transaction::Ack => (b"ACK ", 0),
            Transaction::Bye => (b"BYE ", 1),
        };
        out.extend_from_slice(method);
        out.extend_from_slice(dialog.target);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.within_dialog[index].write(digits, out);
        out.extend_from_slice(dialog.route_and_to);
        self.rest[index].write(digits, out);
    }

    /// A server's 180 (RFC 3261 §8.2.6.2, §12.1.1: Record-Route is copied).
    pub(crate) fn ringing(&self, head: &Head<'_>, digits: &[u8; 16], out: &mut Vec<u8>) {
        copy("SIP/2.0 180 Ringing\r\n", head, Some(digits), out);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }

    pub(crate) fn answer(&self, server: usize, head: &Head<'_>, digits: &[u8; 16], out: &mut Vec<u8>) {
        copy("SIP/2.0 200 OK\r\n", head, Some(digits), out);
        out.extend_from_slice(&self.answer[server]);
    }

    pub(crate) fn bye_done(&self, head: &Head<'_>, out: &mut Vec<u8>) {
        copy("SIP/2.0 200 OK\r\n", head, None, out);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

/// What stands in To before a call's number in the tag of a server.
pub(crate) const SERVER_TAG: &[u8] = b";tag=s";

/// The start line and the fields that a response copies from its request; `tag` is added to a To without a tag.
fn copy(start: &str, head: &Head<'_>, tag: Option<&[u8; 16]>, out: &mut Vec<u8>) {
    out.extend_from_slice(start.as_bytes());
    for line in head.vias.lines() {
        out.extend_from_slice(line);
    }
    for line in head.record_routes.lines() {
        out.extend_from_slice(line);
    }
    out.extend_from_slice(head.from);
    match tag {
        Some(digits) => {
            out.extend_from_slice(head.to.trim_ascii_end());
            out.extend_from_slice(SERVER_TAG);
            out.extend_from_slice(digits);
            out.extend_from_slice(b"\r\n");
        }
        None => out.extend_from_slice(head.to),
    }
    out.extend_from_slice(head.call_id);
    out.extend_from_slice(head.cseq);
}

/// A client's data of a dialog, to write its later requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialog<'a> {
    pub(crate) target: &'a [u8],
    pub(crate) route_and_to: &'a [u8],
}

/// Appends remote target, Route lines (the Record-Route values in reverse order, RFC 3261 §12.1.2) and the To line of a 200;
/// returns the end of the target. `None` without a Contact.
pub(crate) fn write_dialog(head: &Head<'_>, out: &mut Vec<u8>) -> Option<usize> {
    let start = out.len();
    out.extend_from_slice(in_brackets(value(head.contact))?);
    let target = out.len() - start;
    for line in head.record_routes.lines().iter().rev() {
        for route in value(line).rsplit(|&byte| byte == b',') {
            out.extend_from_slice(b"Route: ");
            out.extend_from_slice(route.trim_ascii());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(head.to);
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_was_written() {
        let number = Number { slot: 0xdead, generation: 7 };
        assert_eq!(&number.digits(), b"000000070000dead");
        assert_eq!(Number::read(b"000000070000dead-rest"), Some(number));
        assert_eq!(Number::read(b"000000070000deaX"), None);
    }

    #[test]
    fn the_route_set_of_a_client_is_reversed() {
        let answer =
            b"SIP/2.0 200 OK\r\nRecord-Route: <sip:b;lr>, <sip:c;lr>\r\nRecord-Route: <sip:a;lr>\r\n\
            To: <sip:x>;tag=1\r\nContact: <sip:server@127.0.1.1>\r\n\r\n";
        let mut dialog = Vec::new();
        let target = write_dialog(&Head::scan(answer).unwrap(), &mut dialog).unwrap();
        assert_eq!(&dialog[..target], b"sip:server@127.0.1.1");
        let lines = "Route: <sip:a;lr>\r\nRoute: <sip:c;lr>\r\nRoute: <sip:b;lr>\r\nTo: <sip:x>;tag=1\r\n";
        assert_eq!(std::str::from_utf8(&dialog[target..]).unwrap(), lines);
    }
}
