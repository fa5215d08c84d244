//! Requests that a client transaction makes by itself for one hop: the ACK to a failure (RFC 3261 §17.1.1.3) and the
//! CANCEL of an INVITE (RFC 3261 §9.1).
//!
//! Both are made from the response that calls for them, since it repeats the From, Call-ID and CSeq of the INVITE. The owner
//! has to remember only the [`RequestLine`], which a response does not repeat. The caller passes the Via: it must equal the
//! INVITE's Via, and a response may have added parameters to it or changed its form.

use sip::headers::{address, cseq, via};
use sip::{Message, Name, Start, Writer};

/// Hops left to the request. It is meant for the next hop; RFC 3261 §8.1.1.6 recommends 70.
const MAX_FORWARDS: u8 = 70;

/// Request-URI, version, and Route fields of an INVITE as it was forwarded: the part that is kept when its body is freed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestLine(Box<[u8]>);

impl RequestLine {
    /// `request`: any bytes whose first line is a request line. `route_fields`: whole lines with their ends, usually none.
    /// `None` if there is no request line.
    pub fn of(request: &[u8], route_fields: &[u8]) -> Option<RequestLine> {
        // Line ends before the request line are ignored (RFC 3261 §7.5).
        let start = request.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
        let request = &request[start..];
        let method_end = request.iter().position(|byte| *byte == b' ')?;
        let line_end = request.iter().position(|byte| *byte == b'\n')?;
        let line = request.get(method_end..line_end)?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(RequestLine([line, b"\r\n", route_fields].concat().into()))
    }

    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// For another process; [`RequestLine::from_bytes`] reads it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn from_bytes(bytes: &[u8]) -> RequestLine {
        RequestLine(bytes.into())
    }

    /// The Request-URI of the INVITE.
    fn uri(&self) -> &[u8] {
        let line = self.0.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let last = line.iter().rposition(|byte| *byte == b' ').unwrap_or_default();
        line.get(1..last).unwrap_or_default()
    }

    /// The values of the INVITE's Route fields.
    fn routes(&self) -> impl Iterator<Item = &[u8]> {
        let line = self.0.iter().position(|byte| *byte == b'\n').map_or(self.0.len(), |end| end + 1);
        let mut rest = &self.0[line..];
        std::iter::from_fn(move || {
            let mut end = 0;
            loop {
                end = sip::text::line_end(rest, end)?;
                // A folded line belongs to its field.
                if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                    break;
                }
            }
            let (field, behind) = rest.split_at(end);
            rest = behind;
            let colon = field.iter().position(|byte| *byte == b':')?;
            Some(field[colon + 1..].trim_ascii())
        })
    }
}

/// The part of the To field that the request carries.
enum To {
    /// The whole field of the response: the ACK names the dialog that the failure would have made.
    AsAnswered,
    /// The field without the tag that the answer added: the CANCEL repeats the INVITE's field.
    WithoutTag,
}

/// Appends the ACK to the failure `response`, with this Via. Returns false and appends nothing if the response lacks a field.
pub fn acknowledge(line: &RequestLine, via: &[u8], response: &Message<'_>, out: &mut Vec<u8>) -> bool {
    write("ACK", line, To::AsAnswered, via, response, out)
}

/// Appends the CANCEL of the INVITE that the provisional `response` answers, with this Via. `in_dialog`: the INVITE had a To
/// tag itself, which then stays. Returns false and appends nothing if the response lacks a field.
pub fn cancel(
    line: &RequestLine,
    in_dialog: bool,
    via: &[u8],
    response: &Message<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let to = if in_dialog { To::AsAnswered } else { To::WithoutTag };
    write("CANCEL", line, to, via, response, out)
}

/// Appends the CANCEL that the sender of `invite` would send: with its topmost Via and its Route fields, so that the CANCEL
/// takes the same way (RFC 3261 §9.1). Returns false and appends nothing if the INVITE lacks a field.
pub fn cancel_of(invite: &Message<'_>, out: &mut Vec<u8>) -> bool {
    let value = |name| invite.first_value(name);
    let (Start::Request { uri, .. }, Some(Ok(via)), Some(from), Some(to), Some(call_id), Some(sequence)) = (
        invite.start(),
        via::top(invite),
        value(Name::From),
        value(Name::To),
        value(Name::CallId),
        value(Name::CSeq).and_then(cseq::parse),
    ) else {
        return false;
    };
    let begun = Writer::request(out, "CANCEL", uri).via(via.bytes);
    let routed = invite.all(Name::Route).fold(begun, |text, route| text.route(invite.value(route)));
    let to_whom = routed.max_forwards(MAX_FORWARDS).from(from).to(to);
    to_whom.call_id(call_id).cseq(sequence.number).finish()
}

fn write(
    method: &str,
    line: &RequestLine,
    to: To,
    via: &[u8],
    response: &Message<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let value = |name| response.first_value(name);
    let (Some(from), Some(answered), Some(call_id), Some(sequence)) =
        (value(Name::From), value(Name::To), value(Name::CallId), value(Name::CSeq).and_then(cseq::parse))
    else {
        return false;
    };
    let (to, after) = match to {
        To::AsAnswered => (answered, &b""[..]),
        To::WithoutTag => without_tag(answered),
    };
    let begun = Writer::request(out, method, line.uri()).via(via);
    let routed = line.routes().fold(begun, |text, route| text.route(route));
    let to_whom = routed.max_forwards(MAX_FORWARDS).from(from).to((to, after));
    to_whom.call_id(call_id).cseq(sequence.number).finish()
}

/// The parts of the field before and after the tag parameter with its semicolon.
fn without_tag(field: &[u8]) -> (&[u8], &[u8]) {
    let whole = (field, &b""[..]);
    let Some(tag) = address::parse(field).ok().and_then(|address| address.tag()) else { return whole };
    let at = (tag.as_ptr() as usize).wrapping_sub(field.as_ptr() as usize);
    let (Some(before), Some(after)) = (field.get(..at), field.get(at.saturating_add(tag.len())..)) else {
        return whole;
    };
    before.iter().rposition(|byte| *byte == b';').map_or(whole, |semicolon| (&field[..semicolon], after))
}

#[cfg(test)]
mod tests {
    use sip::Parser;

    use super::*;

    const INVITE: &str = "INVITE sip:bob@192.0.2.4 SIP/2.0\r\n\r\n";
    const VIA: &[u8] = b"SIP/2.0/UDP lb:5060;branch=z9hG4bKours";
    const ROUTES: &str = "Route: <sip:p1;lr>\r\nroute:<sip:p2;lr>,\r\n <sip:p3;lr>\r\n";

    fn response(to: &str) -> String {
        format!(
            "SIP/2.0 486 Busy Here\r\n\
             Via: SIP/2.0/UDP lb:5060;branch=z9hG4bKours;received=192.0.2.9, SIP/2.0/TCP caller;branch=z9hG4bK1\r\n\
             Via: SIP/2.0/TCP before;branch=z9hG4bK0\r\n\
             From: \"A\" <sip:a@b>;tag=1\r\nTo: {to}\r\nCall-ID: x@y\r\nCSeq: 7 INVITE\r\n\
             Contact: <sip:c>\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn made(to: &str, make: impl FnOnce(&RequestLine, &Message<'_>, &mut Vec<u8>) -> bool) -> Option<String> {
        let line = RequestLine::of(INVITE.as_bytes(), ROUTES.as_bytes()).unwrap();
        let (response, mut parser, mut out) = (response(to), Parser::new(), Vec::new());
        let done = make(&line, &parser.parse(response.as_bytes()).unwrap(), &mut out);
        assert_eq!(done, !out.is_empty());
        done.then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn an_ack_has_one_via_and_the_to_of_the_answer() {
        let expected = "ACK sip:bob@192.0.2.4 SIP/2.0\r\nVia: SIP/2.0/UDP lb:5060;branch=z9hG4bKours\r\n\
            Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>, <sip:p3;lr>\r\nMax-Forwards: 70\r\n\
            From: \"A\" <sip:a@b>;tag=1\r\nTo: <sip:bob@b>;tag=9;x=y\r\nCall-ID: x@y\r\nCSeq: 7 ACK\r\n\
            Content-Length: 0\r\n\r\n";
        let ack = |line: &RequestLine, response: &Message<'_>, out: &mut Vec<u8>| {
            acknowledge(line, VIA, response, out)
        };
        assert_eq!(made("<sip:bob@b>;tag=9;x=y", ack).unwrap(), expected);
    }

    #[test]
    fn a_cancel_has_the_to_of_its_invite() {
        let to = |answered: &str, in_dialog| {
            let cancel =
                made(answered, |line, response, out| cancel(line, in_dialog, VIA, response, out)).unwrap();
            assert!(
                cancel.starts_with("CANCEL sip:bob@192.0.2.4 SIP/2.0\r\n")
                    && cancel.contains("CSeq: 7 CANCEL\r\n")
            );
            cancel.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned()
        };
        assert_eq!(to("<sip:bob@b>;tag=9", false), "<sip:bob@b>");
        assert_eq!(to("<sip:bob@b>;tag=9", true), "<sip:bob@b>;tag=9");
        assert_eq!(to("<sip:bob@b;tag=no>;a=1 ;tag = 9;b=2", false), "<sip:bob@b;tag=no>;a=1 ;b=2");
        assert_eq!(to("sip:bob@b;tag=9", false), "sip:bob@b");
        assert_eq!(to("<sip:bob@b>", false), "<sip:bob@b>");
        assert_eq!(to("not an address;tag=9", false), "not an address;tag=9");
    }

    #[test]
    fn the_cancel_of_an_invite_takes_its_way() {
        let invite = "INVITE sip:bob@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1, SIP/2.0/UDP d;branch=z9hG4bK2\r\n\
            Route: <sip:p1;lr>\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:bob@b>\r\nCall-ID: x\r\nCSeq: 7 INVITE\r\n\
            Contact: <sip:c>\r\nContent-Length: 4\r\n\r\nbody";
        let (mut parser, mut out) = (Parser::new(), Vec::new());
        assert!(cancel_of(&parser.parse(invite.as_bytes()).unwrap(), &mut out));
        let expected = "CANCEL sip:bob@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\n\
            Route: <sip:p1;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:bob@b>\r\nCall-ID: x\r\nCSeq: 7 CANCEL\r\n\
            Content-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_lacks_a_field_makes_nothing() {
        let mut parser = Parser::new();
        let whole = response("<sip:bob@b>;tag=9");
        for field in ["From", "To", "Call-ID", "CSeq"] {
            let without = whole.replace(&format!("\r\n{field}: "), "\r\nX: ");
            let line = RequestLine::of(INVITE.as_bytes(), b"").unwrap();
            let mut out = Vec::new();
            assert!(
                !acknowledge(&line, VIA, &parser.parse(without.as_bytes()).unwrap(), &mut out),
                "{field}"
            );
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_request_line_is_found_or_it_is_none() {
        let bytes = |request: &str| RequestLine::of(request.as_bytes(), b"").map(|line| line.0.to_vec());
        assert_eq!(bytes("INVITE a SIP/2.0\nX: y\n\n").unwrap(), b" a SIP/2.0\r\n");
        assert_eq!(bytes("INVITE a SIP/2.0"), None);
        assert_eq!(bytes("\r\n\r\nINVITE a SIP/2.0\r\n").unwrap(), b" a SIP/2.0\r\n");
        assert_eq!(bytes("INVITE\r\na b\r\n"), None);
        assert_eq!(bytes("\r\n"), None);
        assert_eq!(bytes(""), None);
    }
}
