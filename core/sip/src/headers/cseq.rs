//! CSeq (RFC 3261 §20.16).

use crate::message::Method;
use crate::scan::token_end;
use crate::text::{decimal, is_lws, skip_lws};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Less than 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    pub method: Method,
    pub token: &'a [u8],
}

/// `None` when it is not a number and a method, or the number is too large.
pub fn parse(value: &[u8]) -> Option<CSeq<'_>> {
    let space = value.iter().position(|&byte| is_lws(byte))?;
    let number = decimal(&value[..space])?;
    let token = &value[skip_lws(value, space)..];
    let valid = number < 1 << 31 && !token.is_empty() && token_end(token, 0) == token.len();
    valid.then(|| CSeq { number, method: Method::of(token), token })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: Option<(u32, Method)>) {
        assert_eq!(parse(given.as_bytes()).map(|cseq| (cseq.number, cseq.method)), expected, "{given}");
    }

    #[test]
    fn number_and_method() {
        check("1 INVITE", Some((1, Method::Invite)));
        check("0009\r\n  INVITE", Some((9, Method::Invite)));
        check("0\tBYE", Some((0, Method::Bye)));
        check("2147483647 ACK", Some((i32::MAX as u32, Method::Ack)));
        check("139122385 !interesting-Method0123456789_*+`.%indeed'~", Some((139_122_385, Method::Other)));
    }

    #[test]
    fn what_is_no_cseq() {
        for bad in [
            "",
            "1",
            "1 ",
            "INVITE",
            "1INVITE",
            "-1 INVITE",
            "2147483648 INVITE",
            "36893488147419103232 REGISTER",
            "1 IN VITE",
            "1 INVITE;a=b",
        ] {
            check(bad, None);
        }
    }
}
