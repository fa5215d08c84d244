//! The validity of a certificate (RFC 5280 §4.1.2.5). The TLS library checks the validity but does not report it.

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;
use x509_cert::time::Time;

/// Seconds since 1970, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub from: i64,
    pub to: i64,
}

/// `None`: the bytes are not a certificate in DER.
pub(crate) fn read(certificate: &[u8]) -> Option<Validity> {
    // Raw: the TLS library judges certificates that break rules other than those on validity.
    let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: Time| time.to_unix_duration().as_secs() as i64;
    Some(Validity { from: seconds(validity.not_before), to: seconds(validity.not_after) })
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
    fn validity_is_read_in_both_forms_of_time_and_no_part_is_taken_for_a_whole() {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
        // RFC 5280 §4.1.2.5: UTCTime until 2049, GeneralizedTime after that.
        params.not_before = rcgen::date_time_ymd(2024, 2, 29);
        params.not_after = rcgen::date_time_ymd(2100, 3, 1);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let bytes = certificate.der();
        assert_eq!(read(bytes), Some(Validity { from: 1_709_164_800, to: 4_107_542_400 }));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None);
        }
    }

    #[test]
    fn days_are_written_as_people_write_them() {
        for (seconds, text) in
            [(0, "1970-01-01"), (1_709_208_000, "2024-02-29"), (4_107_542_399, "2100-02-28")]
        {
            assert_eq!(day(seconds), text);
        }
    }
}
