//! Certificates and keys of TLS, checked and made into what connections use: those of [tls], and those of single listeners.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use sip::Transport;

use crate::checks::by_name::{ByName, further};
use crate::checks::pair::{FileField, Pair, Shown, pair};
use crate::files::certificates::authorities;
use crate::files::validity::day;
use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::Field;
use crate::sections::shared::{CertificateSection, Listen, TlsSection};
use crate::sections::words::{ClientCertificate, TlsVersion};

/// How many tickets a client of TLS 1.3 gets. Each ticket allows one shorter handshake.
const TICKETS: usize = 1;

/// The contexts from which TLS connections are made.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For accepted connections, by the index of the listener. `None`: a listener without TLS.
    pub accepting: Vec<Option<Arc<ServerConfig>>>,
    /// For connections to servers. `None`: `server_ca` is not set.
    pub client: Option<Arc<ClientConfig>>,
    /// The name that servers' certificates must contain. `None`: the server's address.
    pub server_name: Option<ServerName<'static>>,
    /// Verifies the certificates of servers, for `client`.
    pub server_verifier: Option<Arc<WebPkiServerVerifier>>,
    /// Every certificate that is used, once.
    pub shown: Vec<Shown>,
    /// The settings behind these contexts. Each has a mark of its value and of the content of its file; a reload compares the
    /// marks. The certificates that we show are not among them.
    pub sources: BTreeMap<String, u64>,
}

impl Tls {
    /// The last day on which all certificates are valid: `2026-11-21`.
    pub fn last_day(&self) -> String {
        day(self.shown.iter().map(|shown| shown.ends).min().unwrap_or_default())
    }
}

/// `None`: the configuration names no certificate, or a certificate has an error.
pub(crate) fn tls(
    listen: &[Listen],
    section: &TlsSection,
    more: &[CertificateSection],
    problems: &mut Problems,
) -> Option<Tls> {
    let shared = pair(&section.certificate, &section.key, "tls.", problems);
    let own: Vec<Option<Pair>> =
        listen.iter().map(|listen| pair(&listen.certificate, &listen.key, "", problems)).collect();
    let more = further(more, listen.iter().any(is_secure), problems);
    let servers = section.server_ca.value.as_ref();
    let servers = servers.and_then(|path| authorities(path, &section.server_ca.place, problems));
    let server_name = server_name(&section.server_name, problems);
    without_effect(listen, section, shared.is_some(), problems);
    let setup = Setup::of(section.minimum_version.value);
    let mut accepting = Vec::new();
    for (one, own) in listen.iter().zip(&own) {
        let pair = own.as_ref().or(shared.as_ref()).filter(|_| is_secure(one));
        accepting.push(pair.and_then(|pair| {
            let clients = client_authorities(one, section, problems);
            let config = setup.accepting(pair, &more, clients);
            usable(config, &one.address.place, problems).map(Arc::new)
        }));
    }
    let opening = servers
        .and_then(|roots| usable(setup.opening(shared.as_ref(), roots), &section.server_ca.place, problems));
    let (client, server_verifier) = opening.unzip();
    let mut shown: Vec<Shown> = Vec::new();
    for pair in shared.into_iter().chain(own.into_iter().flatten()).chain(more) {
        if !shown.contains(&pair.shown) {
            shown.push(pair.shown);
        }
    }
    let sources = sources(listen, section);
    (!shown.is_empty()).then_some(Tls { accepting, client, server_name, server_verifier, shown, sources })
}

fn sources(listen: &[Listen], section: &TlsSection) -> BTreeMap<String, u64> {
    let mut sources = BTreeMap::new();
    let mut add = |name: String, value: &dyn std::fmt::Debug, file: Option<&PathBuf>| {
        let mut mark = DefaultHasher::new();
        format!("{value:?}").hash(&mut mark);
        // The reader of the file reports that it cannot be read.
        file.and_then(|path| std::fs::read(path).ok()).hash(&mut mark);
        sources.insert(name, mark.finish());
    };
    for (name, field) in
        [("key", &section.key), ("client_ca", &section.client_ca), ("server_ca", &section.server_ca)]
    {
        add(format!("tls.{name}"), &field.value, field.value.as_ref());
    }
    for listen in listen.iter().filter(|listen| is_secure(listen)) {
        let name = |key: &str| format!("{key} of listener {}", listen.address.value.address);
        add(name("client_certificate"), &listen.client_certificate.value, None);
        for (key, field) in [("key", &listen.key), ("client_ca", &listen.client_ca)] {
            add(name(key), &field.value, field.value.as_ref());
        }
    }
    sources
}

pub(crate) fn is_secure(listen: &Listen) -> bool {
    listen.address.value.transport.is_some_and(Transport::is_secure)
}

/// TLS settings that have no effect where they are written.
fn without_effect(listen: &[Listen], section: &TlsSection, has_shared: bool, problems: &mut Problems) {
    let written = |fields: &[&FileField]| {
        fields.iter().find(|field| field.is_written()).map(|field| field.place.clone())
    };
    for listen in listen.iter().filter(|listen| !is_secure(listen)) {
        if let Some(place) = written(&[&listen.certificate, &listen.key, &listen.client_ca]) {
            let remedy = "remove the setting, or listen on `tls:` or `wss:`";
            problems.error(&place, "a listener without TLS uses no certificates", remedy);
        }
    }
    let named = has_shared
        || section.certificate.is_written()
        || section.key.is_written()
        || listen.iter().any(|listen| listen.certificate.is_written());
    let name = section.server_name.is_written().then(|| section.server_name.place.clone());
    if let (false, Some(place)) = (named, written(&[&section.client_ca, &section.server_ca]).or(name)) {
        let remedy = "add tls.certificate and tls.key (--certificate, --key)";
        problems.error(&place, "section tls has no certificate", remedy);
    }
    let asked =
        |listen: &Listen| is_secure(listen) && wanted(listen, section).value != ClientCertificate::Off;
    if section.client_ca.is_written() && named && !listen.iter().any(asked) {
        let what = "`client_ca` has no effect: clients are not asked for a certificate";
        let remedy = "add client_certificate = \"required\" (or \"optional\")";
        problems.warn(&section.client_ca.place, what, remedy);
    }
}

/// Connections of one range of versions and one provider.
pub(super) struct Setup {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Setup {
    pub(super) fn of(minimum: TlsVersion) -> Setup {
        Setup { provider: Arc::new(aws_lc_rs::default_provider()), versions: versions(minimum) }
    }

    pub(super) fn accepting(
        &self,
        pair: &Pair,
        more: &[Pair],
        clients: Option<(RootCertStore, ClientCertificate)>,
    ) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions)?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some((roots, wanted)) => {
                let provider = Arc::clone(&self.provider);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match wanted {
                    ClientCertificate::Required => verifier,
                    ClientCertificate::Off | ClientCertificate::Optional => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let by_name = ByName::new(pair, more, &self.provider)?;
        let mut config = builder.with_cert_resolver(Arc::new(by_name));
        // The client keeps the state of a session that can be resumed, so no memory here grows with the number of clients.
        // The keys of the tickets end with this configuration, so the rules of an old configuration are not carried over.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = TICKETS;
        Ok(config)
    }

    /// Our own certificate is shown to a server that asks for a certificate.
    fn opening(
        &self,
        own: Option<&Pair>,
        roots: RootCertStore,
    ) -> Result<(Arc<ClientConfig>, Arc<WebPkiServerVerifier>), rustls::Error> {
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions)?
            .with_webpki_verifier(Arc::clone(&verifier));
        let config = match own {
            Some(pair) => builder.with_client_auth_cert(pair.shown.chain.clone(), pair.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        Ok((Arc::new(config), verifier))
    }
}

pub(super) fn usable<T>(
    made: Result<T, rustls::Error>,
    place: &SourcePosition,
    problems: &mut Problems,
) -> Option<T> {
    match made {
        Ok(config) => Some(config),
        Err(error) => {
            let remedy = "the certificate and its key must be of a kind that TLS 1.2 or 1.3 knows: RSA from 2048 bits, \
                          ECDSA P-256 or P-384, Ed25519";
            problems.error(place, format!("TLS cannot be set up: {error}"), remedy);
            None
        }
    }
}

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    static NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match minimum {
        TlsVersion::V12 => BOTH,
        TlsVersion::V13 => NEW,
    }
}

/// Whether clients of a listener must show a certificate.
fn wanted(listen: &Listen, section: &TlsSection) -> Field<ClientCertificate> {
    match listen.client_certificate.value {
        Some(value) => Field { value, place: listen.client_certificate.place.clone() },
        None => section.client_certificate.clone(),
    }
}

fn client_authorities(
    listen: &Listen,
    section: &TlsSection,
    problems: &mut Problems,
) -> Option<(RootCertStore, ClientCertificate)> {
    let ca = if listen.client_ca.is_written() { &listen.client_ca } else { &section.client_ca };
    let wanted = wanted(listen, section);
    match (&ca.value, wanted.value) {
        (None, ClientCertificate::Off) => None,
        (None, ClientCertificate::Optional | ClientCertificate::Required) => {
            let what = "clients are asked for a certificate, but no authority is set to verify it";
            problems.error(&wanted.place, what, "set tls.client_ca, or `client_ca` of the listener");
            None
        }
        (Some(_), ClientCertificate::Off) => {
            if listen.client_ca.is_written() {
                let what = "`client_ca` has no effect: clients are not asked for a certificate";
                problems.warn(&ca.place, what, "add client_certificate = \"required\" (or \"optional\")");
            }
            None
        }
        (Some(path), wanted) => Some((authorities(path, &ca.place, problems)?, wanted)),
    }
}

fn server_name(field: &Field<Option<String>>, problems: &mut Problems) -> Option<ServerName<'static>> {
    let text = field.value.as_ref()?;
    match ServerName::try_from(text.clone()) {
        Ok(name) => Some(name),
        Err(_) => {
            let what = format!("`server_name`: `{text}` is neither a host name nor an address");
            problems.error(&field.place, what, "write the name that the servers' certificates contain");
            None
        }
    }
}

/// Listeners that need a certificate which `tls` does not give.
pub(crate) fn listeners_need_of_tls(listen: &[Listen], section: &TlsSection, problems: &mut Problems) {
    let named = section.certificate.is_written() || section.key.is_written();
    for listen in listen {
        let own = listen.certificate.is_written() || listen.key.is_written();
        if is_secure(listen) && !own && !named {
            let remedy = "add [tls] with `certificate` and `key` (--certificate FILE --key FILE), or both to the listener";
            problems.error(&listen.address.place, "a listener with TLS needs a certificate", remedy);
        }
    }
}
