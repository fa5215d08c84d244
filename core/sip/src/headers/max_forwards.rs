//! Max-Forwards (RFC 3261 §20.22).

use crate::text::decimal;

/// What a request without the field is given (RFC 3261 §16.6, step 3).
pub const DEFAULT: u8 = 70;

/// The hops left; `None` when it is no number. More than 255, the most that the grammar means, counts as 255
/// (RFC 4475 §3.1.2.4).
pub fn parse(value: &[u8]) -> Option<u8> {
    Some(decimal(value)?.min(255) as u8)
}

#[cfg(test)]
mod tests {
    fn check(given: &str, expected: Option<u8>) {
        assert_eq!(super::parse(given.as_bytes()), expected, "{given}");
    }

    #[test]
    fn hops() {
        check("0", Some(0));
        check("0068", Some(68));
        check("70", Some(70));
        check("300", Some(255));
        check("", None);
        check("-1", None);
        check("70 70", None);
    }
}
