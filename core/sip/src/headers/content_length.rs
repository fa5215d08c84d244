//! Content-Length (RFC 3261 §20.14).

use crate::text::decimal;

/// The number of octets; `None` for a sign, a word, or a list (RFC 4475 §3.1.2.3). What does not fit stays at
/// `u32::MAX`, more than any message holds.
pub fn parse(value: &[u8]) -> Option<u32> {
    decimal(value)
}

#[cfg(test)]
mod tests {
    fn check(given: &str, expected: Option<u32>) {
        assert_eq!(super::parse(given.as_bytes()), expected, "{given}");
    }

    #[test]
    fn numbers_only() {
        check("0", Some(0));
        check("0150", Some(150));
        check("99999999999999999999", Some(u32::MAX));
        for bad in ["", "-999", "+1", "five", "13, 13", "0x10", "1 0"] {
            check(bad, None);
        }
    }
}
