//! The time in which a certificate is valid (RFC 5280 §4.1.2.5). The TLS library checks that time but does not show it.

/// Seconds since 1970, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub from: i64,
    pub to: i64,
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version field. All certificates but the oldest begin with it.
const VERSION: u8 = 0xA0;

/// `None`: this is not a certificate in DER.
pub(crate) fn read(certificate: &[u8]) -> Option<Validity> {
    let (inside, _) = expect(certificate, SEQUENCE)?;
    let (mut fields, _) = expect(inside, SEQUENCE)?;
    if let (VERSION, _, rest) = element(fields)? {
        fields = rest;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (validity, _) = expect(fields, SEQUENCE)?;
    let (kind, from, rest) = element(validity)?;
    let from = seconds(kind, from)?;
    let (kind, to, _) = element(rest)?;
    Some(Validity { from, to: seconds(kind, to)? })
}

/// Tag, content, and the rest after them.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        // The length is more than four gigabytes, or it is not given.
        0x80 | 0x85.. => return None,
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(kind, ..)| *kind == wanted).map(|(_, content, rest)| (content, rest))
}

/// `YYMMDDHHMMSSZ`, with years from 1950 to 2049, or `YYYYMMDDHHMMSSZ`.
fn seconds(kind: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (kind, text.len()) {
        (UTC_TIME, 12) => {
            let year: i64 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days(year, month, day) * 86_400 + part(4)? * 3600 + part(6)? * 60 + part(8)?)
}

/// Days since 1970 in the Gregorian calendar. Years are counted from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468
}

/// `2026-11-21`.
pub(crate) fn day(seconds: i64) -> String {
    let (year, month, day) = base::date(seconds.div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_forms_are_seconds_since_1970() {
        for (kind, text, expected) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (GENERALIZED_TIME, "20240229120000Z", Some(1_709_208_000)),
            (GENERALIZED_TIME, "21000301000000Z", Some(4_107_542_400)),
            (UTC_TIME, "991332000000Z", None),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "70010100000+Z", None),
            (SEQUENCE, "700101000000Z", None),
        ] {
            assert_eq!(seconds(kind, text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn days_are_written_as_they_are_read() {
        for (text, year) in
            [("2024-02-29", 2024), ("2026-11-21", 2026), ("2100-03-01", 2100), ("1970-01-01", 1970)]
        {
            let (month, date) = (text[5..7].parse().unwrap(), text[8..].parse().unwrap());
            let start = days(year, month, date) * 86_400;
            assert_eq!((day(start), day(start + 86_399)), (text.into(), text.into()));
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_at_any_length() {
        let bytes = [SEQUENCE, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, SEQUENCE, 0x82, 1, 0, 2, 1, 1];
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None);
        }
    }
}
