//! The messages of the parties. The number of a call stands in the caller's URI, which the farm leaves as it is in From and To of
//! both dialogs, and in the tag and the branches of each party.

use std::net::SocketAddrV4;

use crate::head::{Head, in_brackets, parameter, value};

const BODY: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 101\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n";

/// What a party needs for its requests within a dialog: remote target; then Route, From, To and Call-ID as lines.
#[derive(Debug, Default)]
pub(crate) struct Dialog {
    text: Box<[u8]>,
    target: u16,
}

impl Dialog {
    fn new(target: &[u8], lines: impl FnOnce(&mut Vec<u8>)) -> Dialog {
        let mut text = target.to_vec();
        lines(&mut text);
        Dialog { target: target.len() as u16, text: text.into() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether its lines have this To line: a 2xx of another dialog has another one.
    pub(crate) fn has_to(&self, to: &[u8]) -> bool {
        memchr::memmem::find(&self.text, to).is_some()
    }
}

/// How the caller writes itself into Via and Contact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) address: SocketAddrV4,
    pub(crate) stream: bool,
}

impl Own {
    fn transport(self) -> (&'static str, &'static str) {
        if self.stream { ("TCP", ";transport=tcp") } else { ("UDP", "") }
    }
}

/// Texts of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts {
    /// Differs from run to run, so that no branch or Call-ID comes again.
    pub(crate) run: u32,
    /// The farm's address for UDP, as callees see it.
    pub(crate) farm: SocketAddrV4,
    pub(crate) callee: SocketAddrV4,
}

impl Texts {
    pub(crate) fn invite(&self, number: u32, own: Own) -> Vec<u8> {
        let Own { address, .. } = own;
        let parameter = own.transport().1;
        let mut out = self.of_the_invite(number, "INVITE", own, b"");
        let rest = format!(
            "Contact: <sip:c{number}@{address}{parameter}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{BODY}",
            BODY.len()
        );
        out.extend_from_slice(rest.as_bytes());
        out
    }

    pub(crate) fn cancel(&self, number: u32, own: Own) -> Vec<u8> {
        let mut out = self.of_the_invite(number, "CANCEL", own, b"");
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        out
    }

    /// The ACK to a failure; `to`: the To line of the failure.
    pub(crate) fn ack_to_failure(&self, number: u32, own: Own, to: &[u8]) -> Vec<u8> {
        let mut out = self.of_the_invite(number, "ACK", own, to);
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        out
    }

    /// INVITE, CANCEL and the ACK to a failure have one branch and one start (RFC 3261 §9.1, §17.1.1.3).
    fn of_the_invite(&self, number: u32, method: &str, own: Own, to: &[u8]) -> Vec<u8> {
        let Texts { run, farm, .. } = self;
        let (transport, _) = own.transport();
        let mut out = format!(
            "{method} sip:callee@{farm} SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch=z9hG4bK{run:x}-{number}-i\r\n\
             Max-Forwards: 70\r\nFrom: <sip:c{number}@strowger.test>;tag=a{number}\r\n",
            own.address
        )
        .into_bytes();
        match to {
            b"" => out.extend_from_slice(format!("To: <sip:callee@{farm}>\r\n").as_bytes()),
            to => out.extend_from_slice(to),
        }
        out.extend_from_slice(format!("Call-ID: {run:x}-{number}\r\nCSeq: 1 {method}\r\n").as_bytes());
        out
    }

    /// The caller's dialog, from the 2xx.
    pub(crate) fn caller_dialog(&self, head: &Head<'_>) -> Option<Dialog> {
        Some(Dialog::new(in_brackets(value(head.contact))?, |out| {
            head.record_routes.lines().iter().rev().for_each(|line| route(line, out));
            [head.from, head.to, head.call_id].iter().for_each(|line| out.extend_from_slice(line));
        }))
    }

    /// The callee's dialog, from the INVITE.
    pub(crate) fn callee_dialog(&self, number: u32, head: &Head<'_>) -> Option<Dialog> {
        Some(Dialog::new(in_brackets(value(head.contact))?, |out| {
            head.record_routes.lines().iter().for_each(|line| route(line, out));
            out.extend_from_slice(b"From: ");
            out.extend_from_slice(value(head.to));
            out.extend_from_slice(format!(";tag=b{number}\r\nTo: ").as_bytes());
            out.extend_from_slice(value(head.from));
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(head.call_id);
        }))
    }

    /// A request within a dialog.
    pub(crate) fn within(
        &self,
        number: u32,
        method: &str,
        own: Own,
        sequence: u32,
        dialog: &Dialog,
    ) -> Vec<u8> {
        let (target, lines) = dialog.text.split_at(usize::from(dialog.target));
        let (transport, _) = own.transport();
        // Caller and callee differ in their address, so that their branches may be equal.
        let branch = format!("z9hG4bK{:x}-{number}-{}{sequence}", self.run, &method[..1]);
        let mut out = format!("{method} ").into_bytes();
        out.extend_from_slice(target);
        let via = format!(" SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch={branch}\r\n", own.address);
        out.extend_from_slice(via.as_bytes());
        out.extend_from_slice(b"Max-Forwards: 70\r\n");
        out.extend_from_slice(lines);
        out.extend_from_slice(format!("CSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        out
    }

    /// A response. `number`: of the call whose callee gives the response its tag.
    pub(crate) fn response(&self, status: &str, head: &Head<'_>, number: Option<u32>) -> Vec<u8> {
        let mut out = format!("SIP/2.0 {status}\r\n").into_bytes();
        head.vias.lines().iter().for_each(|line| out.extend_from_slice(line));
        head.record_routes.lines().iter().for_each(|line| out.extend_from_slice(line));
        out.extend_from_slice(head.from);
        match number {
            Some(number) if !has_tag(head.to) => {
                out.extend_from_slice(head.to.trim_ascii_end());
                out.extend_from_slice(format!(";tag=b{number}\r\n").as_bytes());
            }
            _ => out.extend_from_slice(head.to),
        }
        out.extend_from_slice(head.call_id);
        out.extend_from_slice(head.cseq);
        if value(head.cseq).ends_with(b"INVITE") {
            out.extend_from_slice(format!("Contact: <sip:callee@{}>\r\n", self.callee).as_bytes());
        }
        if status.starts_with('2') && value(head.cseq).ends_with(b"INVITE") {
            let head =
                format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{BODY}", BODY.len());
            out.extend_from_slice(head.as_bytes());
        } else {
            out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
        out
    }
}

fn route(record_route: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Route: ");
    out.extend_from_slice(value(record_route));
    out.extend_from_slice(b"\r\n");
}

fn has_tag(line: &[u8]) -> bool {
    parameter(line, b";tag=").is_some()
}

/// The number of the call that a message belongs to: it stands in From or in To.
pub(crate) fn number(head: &Head<'_>) -> Option<u32> {
    [head.from, head.to].into_iter().find_map(|line| {
        let start = memchr::memmem::find(line, b"<sip:c")? + b"<sip:c".len();
        let digits = line[start..].split(|byte| *byte == b'@').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

/// Branch and sender of the topmost Via: what tells the copies of a request (RFC 3261 §17.2.3).
pub(crate) fn transaction<'a>(head: &Head<'a>) -> (&'a [u8], &'a [u8]) {
    let top = head.vias.lines().first().copied().unwrap_or_default();
    let sent_by = value(top).split(|byte| *byte == b';').next().unwrap_or_default();
    (sent_by, parameter(value(top), b"branch=").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Texts {
        Texts {
            run: 0xAB,
            farm: "127.0.0.1:5060".parse().unwrap(),
            callee: "127.0.0.1:7000".parse().unwrap(),
        }
    }

    fn own(stream: bool) -> Own {
        Own { address: "127.0.0.1:7100".parse().unwrap(), stream }
    }

    #[test]
    fn both_dialogs_have_the_tags_of_both() {
        let bytes = texts().invite(42, own(true));
        let with_route =
            String::from_utf8(bytes).unwrap().replace("CSeq", "Record-Route: <sip:lb;lr>\r\nCSeq");
        let invite = Head::scan(with_route.as_bytes()).unwrap();
        assert_eq!(number(&invite), Some(42));
        let answer = texts().response("200 OK", &invite, Some(42));
        let answer = Head::scan(&answer).unwrap();
        let caller = texts().caller_dialog(&answer).unwrap();
        assert!(caller.has_to(answer.to) && value(answer.to).ends_with(b";tag=b42"));
        let bye = texts().within(42, "BYE", own(true), 2, &caller);
        let expected = "BYE sip:callee@127.0.0.1:7000 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:7100;branch=z9hG4bKab-42-B2\r\n\
            Max-Forwards: 70\r\nRoute: <sip:lb;lr>\r\nFrom: <sip:c42@strowger.test>;tag=a42\r\n\
            To: <sip:callee@127.0.0.1:5060>;tag=b42\r\nCall-ID: ab-42\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(String::from_utf8(bye).unwrap(), expected);
        let callee = texts().callee_dialog(42, &invite).unwrap();
        let bye = String::from_utf8(texts().within(42, "BYE", own(false), 1, &callee)).unwrap();
        assert!(bye.starts_with("BYE sip:c42@127.0.0.1:7100;transport=tcp SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains(
            "From: <sip:callee@127.0.0.1:5060>;tag=b42\r\nTo: <sip:c42@strowger.test>;tag=a42\r\n"
        ));
        assert_eq!(number(&Head::scan(bye.as_bytes()).unwrap()), Some(42));
    }

    #[test]
    fn a_cancel_has_the_branch_of_its_invite_and_the_ack_to_a_failure_its_tag() {
        let invite = texts().invite(7, own(false));
        let invite = Head::scan(&invite).unwrap();
        let cancel = texts().cancel(7, own(false));
        let cancel = Head::scan(&cancel).unwrap();
        assert_eq!(transaction(&invite), transaction(&cancel));
        assert_eq!(transaction(&invite).1, b"z9hG4bKab-7-i");
        let busy = texts().response("486 Busy Here", &invite, Some(7));
        let busy = Head::scan(&busy).unwrap();
        let ack = texts().ack_to_failure(7, own(false), busy.to);
        let ack = Head::scan(&ack).unwrap();
        assert_eq!(
            (transaction(&ack), ack.to, value(ack.cseq)),
            (transaction(&invite), busy.to, &b"1 ACK"[..])
        );
    }
}
