//! Option tags of Proxy-Require (RFC 3261 §20.29): extensions that a proxy must know, or refuse the request with 420. Those that an
//! operator lets pass are left to the servers behind.

use crate::message::{Message, Name};
use crate::text::{is_token, trim};

/// The option tags that pass, without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passing(Vec<Box<[u8]>>);

impl Passing {
    /// No tag passes.
    pub const NONE: Passing = Passing(Vec::new());

    pub fn new<'a>(tags: impl IntoIterator<Item = &'a str>) -> Passing {
        Passing(tags.into_iter().map(|tag| tag.as_bytes().into()).collect())
    }

    /// Whether a request could name this extension: an option tag is a token (RFC 3261 §25.1).
    pub fn is_tag(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(is_token)
    }

    fn has(&self, tag: &[u8]) -> bool {
        self.0.iter().any(|passing| passing.eq_ignore_ascii_case(tag))
    }
}

/// The tags of Proxy-Require that do not pass (RFC 3261 §16.3, step 5).
pub(crate) fn refused<'a>(request: &Message<'a>, passing: &Passing) -> impl Iterator<Item = &'a [u8]> {
    let request = *request;
    let fields = request.all(Name::ProxyRequire).map(move |header| request.value(header));
    let tags = fields.flat_map(|value| value.split(|&byte| byte == b',')).map(trim);
    tags.filter(move |tag| !tag.is_empty() && !passing.has(tag))
}

#[cfg(test)]
mod tests {
    use crate::message::Parser;
    use crate::validate;

    use super::*;

    fn request(fields: &str) -> String {
        format!(
            "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n{fields}\
             From: <sip:a@example.com>;tag=a\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
        )
    }

    #[test]
    fn only_the_tags_that_do_not_pass_are_refused_and_named() {
        let passing = Passing::new(["privacy", "com.example.firewall"]);
        for (fields, refused) in [
            ("", None),
            ("Proxy-Require: privacy\r\n", None),
            ("Proxy-Require: PRIVACY, com.example.firewall\r\nProxy-Require: ,\r\n", None),
            ("Proxy-Require: privacy, foo\r\nProxy-Require: bar\r\n", Some("foo, bar")),
            ("Proxy-Require: privac\r\n", Some("privac")),
        ] {
            let text = request(fields);
            let mut parser = Parser::new();
            let message = parser.parse(text.as_bytes()).unwrap();
            let judged = validate::request_with(&message, &passing);
            assert_eq!(judged.as_ref().err().map(|reject| reject.status()), refused.map(|_| 420), "{fields}");
            let Err(reject) = judged else { continue };
            let mut answer = Vec::new();
            let remote = "192.0.2.1:5060".parse().unwrap();
            crate::answer::write_with(&message, &reject, remote, 1, &passing, &mut answer);
            let answer = String::from_utf8(answer).unwrap();
            let unsupported = answer.lines().find_map(|line| line.strip_prefix("Unsupported: "));
            assert_eq!(unsupported, refused, "{answer}");
        }
        let text = request("Proxy-Require: privacy\r\n");
        let mut parser = Parser::new();
        assert!(validate::request(&parser.parse(text.as_bytes()).unwrap()).is_err());
    }
}
