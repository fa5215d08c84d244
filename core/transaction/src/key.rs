//! Keys that match a message with its transaction (RFC 3261 §17.1.3, §17.2.3, §9.2): a text that is the same for all messages
//! of one transaction, made to be the key of a table.
//!
//! A branch with the magic cookie names the transaction, together with its sender and the method; branch and host are compared
//! without regard to case (RFC 3261 §7.3.1), methods with it (§7.1). A sender without the cookie follows RFC 2543; the fields
//! that it must repeat are compared to the letter. The ACK to a failure has the key of its INVITE.

use sip::headers::{address, cseq, via};
use sip::{Host, Message, Method, Name, Start};

/// RFC 3261 §8.1.1.7: a branch with this beginning is unique in space and time.
const COOKIE: &[u8] = b"z9hG4bK";

/// The key by which a response finds its client transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey(Box<[u8]>);

/// The key by which a request finds its server transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerKey {
    text: Box<[u8]>,
    /// The sender follows RFC 2543 and makes no unique branches.
    by_rfc_2543: bool,
}

impl ClientKey {
    /// The key of a request as it leaves, or of a response as it comes: the branch of the topmost Via and the method in CSeq,
    /// since a CANCEL has the branch of its INVITE. `None`: the message lacks one of the two.
    pub fn of(message: &Message<'_>) -> Option<ClientKey> {
        let branch = via::top(message)?.ok()?.branch?;
        let sequence = cseq::parse(message.first_value(Name::CSeq)?)?;
        let mut text = branch.to_ascii_lowercase();
        text.push(b' ');
        text.extend_from_slice(sequence.token);
        Some(ClientKey(text.into()))
    }

    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

impl ServerKey {
    /// The key of a request as it came; an ACK has the key of the INVITE whose failure it acknowledges. The ACK to a 2xx has
    /// its own branch and finds nothing (RFC 3261 §17.1.1.3). `None`: a field that every request has is missing or bad.
    pub fn of(request: &Message<'_>) -> Option<ServerKey> {
        let sequence = cseq::parse(request.first_value(Name::CSeq)?)?;
        match sequence.method {
            Method::Ack | Method::Invite => ServerKey::with_method(request, b"INVITE"),
            _ => ServerKey::with_method(request, sequence.token),
        }
    }

    /// The key of the INVITE that this CANCEL is to end (RFC 3261 §9.2). Other requests cannot be cancelled (§9.1).
    pub fn of_cancelled(cancel: &Message<'_>) -> Option<ServerKey> {
        ServerKey::with_method(cancel, b"INVITE")
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether the ACK that found an INVITE by its key acknowledges the failure that was sent with this To tag. Only with an
    /// RFC 2543 sender is there more to compare than the key (RFC 3261 §17.2.3).
    pub fn acknowledges(&self, ack: &Message<'_>, to_tag: &[u8]) -> bool {
        let said = ack.first_value(Name::To).and_then(|to| address::tag(to).ok()).flatten();
        !self.by_rfc_2543 || said.unwrap_or_default() == to_tag
    }

    fn with_method(request: &Message<'_>, method: &[u8]) -> Option<ServerKey> {
        let via = via::top(request)?.ok()?;
        let mut text = Vec::with_capacity(128);
        let unique = via.branch.filter(|branch| {
            branch.get(..COOKIE.len()).is_some_and(|front| front.eq_ignore_ascii_case(COOKIE))
                && branch.len() > COOKIE.len()
        });
        if let Some(branch) = unique {
            // Each part ends with a space, since no part contains a space.
            text.extend(branch.iter().map(u8::to_ascii_lowercase));
            text.push(b' ');
            match via.host {
                Host::Ip(ip) => sip::text::write_ip(ip, &mut text),
                Host::Name(name) => text.extend(name.iter().map(u8::to_ascii_lowercase)),
            }
            text.push(b':');
            if let Some(port) = via.port {
                sip::text::write_decimal(u64::from(port), &mut text);
            }
            text.push(b' ');
            text.extend_from_slice(method);
            return Some(ServerKey { text: text.into(), by_rfc_2543: false });
        }
        let Start::Request { uri, .. } = request.start() else { return None };
        let tag = |name| Some(address::tag(request.first_value(name)?).ok()?.unwrap_or_default());
        let sequence = cseq::parse(request.first_value(Name::CSeq)?)?;
        // The To tag of an ACK is the failure's tag; an INVITE that differs only in its To tag is the same INVITE.
        let to_tag = if method == b"INVITE" { Some(&b""[..]) } else { tag(Name::To) };
        let number = sequence.number.to_string();
        let parts = [
            uri,
            to_tag?,
            tag(Name::From)?,
            request.first_value(Name::CallId)?,
            number.as_bytes(),
            via.bytes,
        ];
        for part in parts {
            // Each part follows its length: a Via may contain white space.
            text.extend_from_slice(&(part.len() as u32).to_be_bytes());
            text.extend_from_slice(part);
        }
        text.extend_from_slice(method);
        Some(ServerKey { text: text.into(), by_rfc_2543: true })
    }
}

#[cfg(test)]
mod tests {
    use sip::Parser;

    use super::*;

    const COOKIE_VIA: &str = "SIP/2.0/UDP Host.Example:5060;branch=z9hG4bKabc";
    const OLD_VIA: &str = "SIP/2.0/UDP host:5060;branch=1";

    fn message(start: &str, via: &str, to_tag: &str, sequence: &str) -> String {
        format!(
            "{start}\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@c>{to_tag}\r\nCall-ID: x\r\nCSeq: {sequence}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    fn request(method: &str, via: &str, to_tag: &str) -> String {
        message(&format!("{method} sip:b@c SIP/2.0"), via, to_tag, &format!("7 {method}"))
    }

    fn server(text: &str) -> ServerKey {
        ServerKey::of(&Parser::new().parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn client(text: &str) -> ClientKey {
        ClientKey::of(&Parser::new().parse(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_response_is_found_by_branch_and_method() {
        let asked = client(&request("INVITE", COOKIE_VIA, ""));
        let answer = |via: &str, sequence: &str| client(&message("SIP/2.0 200 OK", via, ";tag=9", sequence));
        assert_eq!(answer(COOKIE_VIA, "7 INVITE"), asked);
        assert_eq!(answer("SIP/2.0/TCP other;branch=Z9HG4BKABC;received=192.0.2.1", "8 INVITE"), asked);
        assert_ne!(answer(COOKIE_VIA, "7 CANCEL"), asked);
        assert_ne!(answer(COOKIE_VIA, "7 invite"), asked);
        assert_ne!(answer("SIP/2.0/UDP Host.Example:5060;branch=z9hG4bKabcd", "7 INVITE"), asked);
        let none = message("SIP/2.0 200 OK", "SIP/2.0/UDP h", "", "7 INVITE");
        assert_eq!(ClientKey::of(&Parser::new().parse(none.as_bytes()).unwrap()), None);
    }

    #[test]
    fn with_the_cookie_a_request_is_found_by_branch_sender_and_method() {
        let invite = server(&request("INVITE", COOKIE_VIA, ""));
        for same in [
            request("INVITE", COOKIE_VIA, ""),
            request("INVITE", "SIP/2.0/TCP HOST.example:5060;rport;branch=Z9hg4bkABC", ""),
            request("ACK", COOKIE_VIA, ";tag=failed"),
            message("INVITE sip:elsewhere SIP/2.0", COOKIE_VIA, ";tag=2", "99 INVITE"),
        ] {
            assert_eq!(server(&same), invite, "{same}");
        }
        for other in [
            request("CANCEL", COOKIE_VIA, ""),
            request("invite", COOKIE_VIA, ""),
            request("INVITE", "SIP/2.0/UDP host.example;branch=z9hG4bKabc", ""),
            request("INVITE", "SIP/2.0/UDP host.example:5061;branch=z9hG4bKabc", ""),
            request("INVITE", "SIP/2.0/UDP other.example:5060;branch=z9hG4bKabc", ""),
            request("INVITE", "SIP/2.0/UDP host.example:5060;branch=z9hG4bKabcd", ""),
        ] {
            assert_ne!(server(&other), invite, "{other}");
        }
        let ipv6 = |host: &str| server(&request("BYE", &format!("SIP/2.0/UDP {host};branch=z9hG4bK1"), ""));
        assert_eq!(ipv6("[2001:DB8::1]:5060"), ipv6("[2001:db8:0::1]:5060"));
    }

    #[test]
    fn a_cancel_finds_its_invite() {
        for via in [COOKIE_VIA, OLD_VIA, "SIP/2.0/UDP host"] {
            let cancel = request("CANCEL", via, "");
            let cancelled = ServerKey::of_cancelled(&Parser::new().parse(cancel.as_bytes()).unwrap());
            assert_eq!(cancelled, Some(server(&request("INVITE", via, ""))), "{via}");
            assert_ne!(Some(server(&cancel)), cancelled, "a CANCEL is a transaction of its own");
        }
    }

    #[test]
    fn without_the_cookie_all_that_a_sender_repeats_is_compared() {
        for via in [OLD_VIA, "SIP/2.0/UDP host:5060", "SIP/2.0/UDP host;branch=z9hG4bK"] {
            let invite = request("INVITE", via, "");
            assert_eq!(server(&invite), server(&invite));
            assert_eq!(server(&request("ACK", via, ";tag=failed")), server(&invite));
            for (from, to) in [
                ("sip:b@c SIP", "sip:b@d SIP"),
                ("tag=1", "tag=2"),
                ("Call-ID: x", "Call-ID: X"),
                ("CSeq: 7", "CSeq: 8"),
                (via, "SIP/2.0/UDP other"),
            ] {
                assert_ne!(server(&invite.replacen(from, to, 1)), server(&invite), "{from} {via}");
            }
            let bye = request("BYE", via, ";tag=2");
            assert_ne!(server(&bye.replace("<sip:b@c>;tag=2", "<sip:b@c>;tag=3")), server(&bye));
        }
    }

    #[test]
    fn the_ack_of_an_old_sender_must_have_the_tag_of_the_failure() {
        let acknowledges = |via: &str, tag: &str| {
            let text = request("ACK", via, tag);
            let (mut parser, invite) = (Parser::new(), server(&request("INVITE", via, "")));
            invite.acknowledges(&parser.parse(text.as_bytes()).unwrap(), b"failed")
        };
        assert!(acknowledges(COOKIE_VIA, ";tag=any"));
        assert!(acknowledges(OLD_VIA, ";tag=failed"));
        assert!(!acknowledges(OLD_VIA, ";tag=other") && !acknowledges(OLD_VIA, ""));
    }

    #[test]
    fn what_lacks_a_field_has_no_key() {
        for (via, field) in
            [(COOKIE_VIA, "Via"), (COOKIE_VIA, "CSeq"), (OLD_VIA, "From"), (OLD_VIA, "Call-ID")]
        {
            let text = request("BYE", via, "").replace(&format!("\r\n{field}: "), "\r\nX: ");
            assert_eq!(ServerKey::of(&Parser::new().parse(text.as_bytes()).unwrap()), None, "{field}");
        }
    }
}
