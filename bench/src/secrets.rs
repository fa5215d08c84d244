//! TLS for a run: a self-signed certificate for this machine, in files for the measured programs and as configurations for the
//! generator.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The generator speaks only this version and, below, only this cipher suite, so that all subjects encrypt alike.
static VERSIONS: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// The certificate in PEM, which is also its own authority.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Secrets {
    /// Makes a certificate for these addresses and writes it into `directory`.
    pub(crate) fn new(directory: &Path, addresses: Vec<String>) -> io::Result<Secrets> {
        let (certificate, key) = (directory.join("bench.pem"), directory.join("bench.key"));
        let pair = rcgen::generate_simple_self_signed(addresses).map_err(io::Error::other)?;
        fs::write(&certificate, pair.cert.pem())?;
        fs::write(&key, pair.signing_key.serialize_pem())?;
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384],
            ..aws_lc_rs::default_provider()
        });
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone()).map_err(io::Error::other)?;
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&VERSIONS)
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let own_key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der())
            .map_err(io::Error::other)?;
        let server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&VERSIONS)
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![pair.cert.der().clone()], own_key)
            .map_err(io::Error::other)?;
        Ok(Secrets { certificate, key, client: Arc::new(client), server: Arc::new(server) })
    }
}
