//! Several certificates at one listener: a client gets the one that contains the name that it asks for (SNI, RFC 6066 §3).

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::checks::pair::{Pair, pair};
use crate::language::problem::Problems;
use crate::sections::shared::CertificateSection;

/// Each handshake may look at all of them.
const CERTIFICATES_MAX: usize = 64;

/// The certificates of a listener: its own first.
#[derive(Debug)]
pub(super) struct ByName(Vec<Arc<CertifiedKey>>);

impl ByName {
    pub(super) fn new(own: &Pair, more: &[Pair], provider: &CryptoProvider) -> Result<ByName, rustls::Error> {
        let usable = |pair: &Pair| {
            CertifiedKey::from_der(pair.shown.chain.clone(), pair.key.clone_key(), provider).map(Arc::new)
        };
        std::iter::once(own).chain(more).map(usable).collect::<Result<_, _>>().map(ByName)
    }

    fn chosen(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|key| contains(key, &name)));
        named.or(self.0.first())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.chosen(hello.server_name()).cloned()
    }
}

fn contains(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let own = key.cert.first().and_then(|own| ParsedCertificate::try_from(own).ok());
    own.is_some_and(|own| verify_server_name(&own, name).is_ok())
}

/// The certificates of these sections.
pub(super) fn further(sections: &[CertificateSection], has_tls: bool, problems: &mut Problems) -> Vec<Pair> {
    if let Some(first) = sections.first() {
        let place = &first.certificate.place;
        if !has_tls {
            let what = "[[certificate]] has no effect: no listener has TLS";
            problems.warn(place, what, "listen on `tls:` or `wss:`, or remove the section");
        }
        if sections.len() > CERTIFICATES_MAX {
            let what = format!("there are {} sections [[certificate]]", sections.len());
            let remedy =
                format!("write at most {CERTIFICATES_MAX}; one certificate may contain several names");
            problems.error(place, what, remedy);
        }
    }
    for section in sections.iter().filter(|one| one.certificate.value.is_none() && one.key.value.is_none()) {
        problems.error(
            &section.certificate.place,
            "[[certificate]] names no files",
            "add `certificate` and `key`",
        );
    }
    sections.iter().filter_map(|one| pair(&one.certificate, &one.key, "", problems)).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;
    use crate::checks::pair::Shown;
    use crate::language::problem::Source;

    /// A certificate that contains these names.
    fn of(file: &str, names: &[&str]) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Pair {
            shown: Shown { file: file.into(), chain: vec![certificate.der().clone()], ends: 0 },
            key: key.into(),
        }
    }

    #[test]
    fn a_client_gets_the_first_certificate_that_contains_its_name_or_that_of_the_listener() {
        let own = of("own", &["sip.example.com", "192.0.2.1"]);
        let more = [
            of("one", &["pbx.example.org"]),
            of("wild", &["*.example.net", "example.net"]),
            of("late", &["pbx.example.org", "other.example.net"]),
        ];
        let all = ByName::new(&own, &more, &aws_lc_rs::default_provider()).unwrap();
        for (name, wanted) in [
            (None, &own),
            (Some("sip.example.com"), &own),
            (Some("pbx.example.org"), &more[0]),
            (Some("PBX.Example.ORG"), &more[0]),
            (Some("a.example.net"), &more[1]),
            (Some("other.example.net"), &more[1]),
            (Some("a.b.example.net"), &own),
            (Some("nobody.example.org"), &own),
            (Some("no name"), &own),
        ] {
            let chosen = all.chosen(name).unwrap();
            assert!(chosen.cert == wanted.shown.chain, "{name:?}");
        }
    }

    #[test]
    fn sections_without_files_or_without_effect_are_named() {
        let mut problems = Problems::new(Source::default());
        let empty = || crate::language::role::unwritten::<CertificateSection>();
        assert!(further(&[empty()], false, &mut problems).is_empty());
        let said = problems.to_string();
        assert!(said.contains("names no files") && said.contains("no listener has TLS"), "{said}");
        let mut problems = Problems::new(Source::default());
        let many: Vec<_> = (0..=CERTIFICATES_MAX).map(|_| empty()).collect();
        further(&many, false, &mut problems);
        assert!(problems.to_string().contains("write at most 64"), "{problems}");
    }
}
