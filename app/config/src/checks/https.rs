//! The certificate of the HTTP API, made into what its connections use.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::checks::pair::{Shown, pair};
use crate::checks::tls::{Setup, usable};
use crate::language::problem::Problems;
use crate::sections::shared::ApiSection;
use crate::sections::words::TlsVersion;

/// The only protocol that the API speaks (RFC 7301).
const HTTP: &[u8] = b"http/1.1";

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct Https {
    pub config: Arc<ServerConfig>,
    pub shown: Shown,
}

impl PartialEq for Https {
    fn eq(&self, other: &Https) -> bool {
        self.shown == other.shown
    }
}

impl Eq for Https {}

/// `None`: neither is written, or there is an error.
pub(crate) fn https(section: &ApiSection, problems: &mut Problems) -> Option<Https> {
    let pair = pair(&section.certificate, &section.key, "api.", problems)?;
    let config = Setup::of(TlsVersion::V12).accepting(&pair, &[], None);
    let mut config = usable(config, &section.certificate.place, problems)?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    Some(Https { config: Arc::new(config), shown: pair.shown })
}
