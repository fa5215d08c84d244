//! Certificates and keys of TLS: read from their files, checked, and made into what connections use. What is wrong names
//! the key of the configuration, the file, and the remedy.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::definition::{ClientCertificate, Raw, TlsVersion};
use crate::key_file::readable_by_others;
use crate::problem::{Place, Problems};
use crate::section::Field;
use crate::validity::{self, Validity, day};

/// A certificate that ends sooner is worth a warning.
const SOON_SECONDS: i64 = 14 * 24 * 3600;

/// Tickets handed to a client of TLS 1.3, each good for one shorter handshake.
const TICKETS: usize = 1;

/// What TLS connections are made with.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For accepted connections.
    pub server: Arc<ServerConfig>,
    /// For connections to servers; `None`: there is no `server_ca`.
    pub client: Option<Arc<ClientConfig>>,
    /// The name that servers' certificates must bear; `None`: their address.
    pub server_name: Option<ServerName<'static>>,
    /// Last second of the certificate, since 1970.
    pub expires: i64,
}

impl Tls {
    /// The last day of the certificate: `2026-11-21`.
    pub fn last_day(&self) -> String {
        day(self.expires)
    }
}

/// `None`: the configuration names no certificate, or it is wrong.
pub(crate) fn tls(raw: &Raw, problems: &mut Problems) -> Option<Tls> {
    let section = &raw.tls;
    let (certificate, key) = (&section.certificate, &section.key);
    let (chain_path, key_path) = match (&certificate.value, &key.value) {
        (Some(chain), Some(key)) => (chain, key),
        (None, None) => return without_certificate(raw, problems),
        (Some(_), None) => {
            problems.error(&certificate.place, "a certificate without its key", "add tls.key (--key)");
            return None;
        }
        (None, Some(_)) => {
            let remedy = "add tls.certificate (--certificate)";
            problems.error(&key.place, "a key without its certificate", remedy);
            return None;
        }
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let chain = certificates(chain_path, &certificate.place, problems);
    let private = private_key(key_path, &key.place, problems);
    let clients = client_authorities(raw, problems);
    let servers = section.server_ca.value.as_ref();
    let servers = servers.and_then(|path| authorities(path, &section.server_ca.place, problems));
    let server_name = server_name(&section.server_name, problems);
    let (chain, private) = (chain?, private?);
    let expires = check_validity(&chain, chain_path, &certificate.place, problems)?;
    // Whether the two belong together is said before either is used.
    if let Err(error) = CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider) {
        let (what, remedy) = explained(&error, chain_path, key_path);
        problems.error(&key.place, what, remedy);
        return None;
    }
    let versions = versions(section.minimum_version.value);
    let server = server_config(&provider, versions, chain.clone(), private.clone_key(), clients);
    let client = servers.map(|roots| client_config(&provider, versions, chain, private, roots)).transpose();
    match (server, client) {
        (Ok(server), Ok(client)) => {
            Some(Tls { server: Arc::new(server), client: client.map(Arc::new), server_name, expires })
        }
        (Err(error), _) | (_, Err(error)) => {
            let remedy = "the certificate and its key must be of a kind that TLS 1.2 or 1.3 knows: RSA from 2048 bits, \
                          ECDSA P-256 or P-384, Ed25519";
            problems.error(&certificate.place, format!("TLS cannot be set up: {error}"), remedy);
            None
        }
    }
}

/// Whatever else the section says has then no effect, and a listener or a server that needs it is an error elsewhere.
fn without_certificate(raw: &Raw, problems: &mut Problems) -> Option<Tls> {
    let section = &raw.tls;
    let written = [&section.client_ca.place, &section.server_ca.place, &section.server_name.place];
    if let Some(place) = written.into_iter().find(|place| **place != Place::Unwritten) {
        let remedy = "add tls.certificate and tls.key (--certificate, --key)";
        problems.error(place, "TLS without a certificate", remedy);
    }
    None
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<(RootCertStore, ClientCertificate)>,
) -> Result<ServerConfig, rustls::Error> {
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(provider)).with_protocol_versions(versions)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((roots, wanted)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let verifier = match wanted {
                ClientCertificate::Required => verifier,
                ClientCertificate::Off | ClientCertificate::Optional => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    // Sessions are resumed from what the client keeps: nothing here grows with the number of clients. The keys of these
    // tickets end with this configuration, so what an old one allowed is asked anew after a change.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = TICKETS;
    Ok(config)
}

/// Our own certificate is shown to a server that asks for one.
fn client_config(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: RootCertStore,
) -> Result<ClientConfig, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
}

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    static NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    match minimum {
        TlsVersion::V12 => BOTH,
        TlsVersion::V13 => NEW,
    }
}

fn certificates(path: &Path, place: &Place, problems: &mut Problems) -> Option<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let wrong = match read {
        Ok(list) if !list.is_empty() => return Some(list),
        Ok(_) => pem::Error::NoItemsFound,
        Err(error) => error,
    };
    let (what, remedy) = unreadable(&wrong, "certificate", path);
    problems.error(place, what, remedy);
    None
}

fn private_key(path: &Path, place: &Place, problems: &mut Problems) -> Option<PrivateKeyDer<'static>> {
    if std::fs::metadata(path).is_ok_and(|metadata| readable_by_others(&metadata)) {
        let remedy = format!("chmod 600 {}", path.display());
        problems.warn(place, format!("others can read the key file {}", path.display()), remedy);
    }
    match PrivateKeyDer::from_pem_file(path) {
        Ok(key) => Some(key),
        Err(error) => {
            let (what, remedy) = unreadable(&error, "private key", path);
            problems.error(place, what, remedy);
            None
        }
    }
}

fn unreadable(error: &pem::Error, wanted: &str, path: &Path) -> (String, String) {
    let path = path.display();
    match error {
        pem::Error::Io(error) => {
            (format!("{path} cannot be read: {error}"), "check the path, and who may read the file".into())
        }
        pem::Error::NoItemsFound => (
            format!("{path} holds no {wanted}"),
            format!("it must be PEM, with a line `-----BEGIN {}-----`", wanted.to_uppercase()),
        ),
        other => (format!("{path} is not PEM: {other:?}"), "write the file anew: it is damaged".into()),
    }
}

fn authorities(path: &Path, place: &Place, problems: &mut Problems) -> Option<RootCertStore> {
    let list = certificates(path, place, problems)?;
    let mut roots = RootCertStore::empty();
    for certificate in list {
        if let Err(error) = roots.add(certificate) {
            let what = format!("{} holds what is no certificate of an authority: {error}", path.display());
            problems.error(place, what, "write the certificates of authorities into it, in PEM");
            return None;
        }
    }
    Some(roots)
}

fn client_authorities(raw: &Raw, problems: &mut Problems) -> Option<(RootCertStore, ClientCertificate)> {
    let (ca, wanted) = (&raw.tls.client_ca, &raw.tls.client_certificate);
    match (&ca.value, wanted.value) {
        (None, ClientCertificate::Off) => None,
        (None, ClientCertificate::Optional | ClientCertificate::Required) => {
            let what = "clients are asked for a certificate, and no authority is named to judge it by";
            problems.error(&wanted.place, what, "add tls.client_ca");
            None
        }
        (Some(_), ClientCertificate::Off) => {
            let what = "`client_ca` has no effect: clients are not asked for a certificate";
            problems.warn(&ca.place, what, "add client_certificate = \"required\" (or \"optional\")");
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
            problems.error(&field.place, what, "write the name that the servers' certificates bear");
            None
        }
    }
}

/// The last second of the chain; `None`: it is over, or has not begun.
fn check_validity(
    chain: &[CertificateDer<'_>],
    path: &Path,
    place: &Place,
    problems: &mut Problems,
) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let mut last = i64::MAX;
    for certificate in chain {
        let Some(Validity { from, to }) = validity::read(certificate) else {
            let what = format!("{} holds a certificate that cannot be read", path.display());
            problems.error(place, what, "write the file anew: it is damaged");
            return None;
        };
        if to < now {
            let what = format!("the certificate in {} ended on {}", path.display(), day(to));
            problems.error(place, what, "get a new one: clients refuse this one");
            return None;
        }
        if from > now {
            let what = format!("the certificate in {} begins only on {}", path.display(), day(from));
            problems.error(place, what, "wait, or set this machine's clock");
            return None;
        }
        last = last.min(to);
    }
    if last - now < SOON_SECONDS {
        let what = format!("the certificate in {} ends on {}", path.display(), day(last));
        problems.warn(place, what, "get a new one, put it in place, and send SIGHUP");
    }
    Some(last)
}

fn explained(error: &rustls::Error, chain: &Path, key: &Path) -> (String, String) {
    let (chain, key) = (chain.display(), key.display());
    match error {
        rustls::Error::InconsistentKeys(_) => (
            format!("the key in {key} is not that of the certificate in {chain}"),
            "the certificate must be the first in its file, before those that signed it; or write the right key".into(),
        ),
        error => (
            format!("the key in {key} cannot be used: {error}"),
            "use RSA from 2048 bits, ECDSA P-256 or P-384, or Ed25519, without a password".into(),
        ),
    }
}
