//! Files in PEM: certificates, keys, authorities; and when a certificate ends. Each error has the place of the setting that
//! names the file, and a remedy.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::files::keys::readable_by_others;
use crate::files::validity::{self, Validity, day};
use crate::language::problem::{Problems, SourcePosition};

/// A certificate that ends within this time gives a warning.
const SOON_SECONDS: i64 = 14 * 24 * 3600;

pub(crate) fn certificates(
    path: &Path,
    place: &SourcePosition,
    problems: &mut Problems,
) -> Option<Vec<CertificateDer<'static>>> {
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

pub(crate) fn private_key(
    path: &Path,
    place: &SourcePosition,
    problems: &mut Problems,
) -> Option<Zeroizing<PrivateKeyDer<'static>>> {
    if std::fs::metadata(path).is_ok_and(|metadata| readable_by_others(&metadata)) {
        let remedy = format!("chmod 600 {}", path.display());
        problems.warn(place, format!("others can read the key file {}", path.display()), remedy);
    }
    match PrivateKeyDer::from_pem_file(path) {
        Ok(key) => Some(key.into()),
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
            (format!("{path} cannot be read: {error}"), "check the path and the permissions".into())
        }
        pem::Error::NoItemsFound => (
            format!("{path} has no {wanted} in it"),
            format!("it must be PEM, with a line `-----BEGIN {}-----`", wanted.to_uppercase()),
        ),
        other => (format!("{path} is not PEM: {other:?}"), "the file is damaged: make it anew".into()),
    }
}

pub(crate) fn authorities(
    path: &Path,
    place: &SourcePosition,
    problems: &mut Problems,
) -> Option<RootCertStore> {
    let list = certificates(path, place, problems)?;
    let mut roots = RootCertStore::empty();
    for certificate in list {
        if let Err(error) = roots.add(certificate) {
            let what = format!(
                "{} has something other than certificates of authorities in it: {error}",
                path.display()
            );
            problems.error(place, what, "write only certificates of authorities into the file, in PEM");
            return None;
        }
    }
    Some(roots)
}

/// The last second of the chain. `None`: it cannot be read. A certificate that has ended, or has not begun, does not stop a
/// start: everything without certificates works, and so do clients that do not check.
pub(crate) fn check_validity(
    chain: &[CertificateDer<'_>],
    path: &Path,
    place: &SourcePosition,
    problems: &mut Problems,
) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let mut last = i64::MAX;
    for certificate in chain {
        let Some(Validity { from, to }) = validity::read(certificate) else {
            let what = format!("{} has a certificate in it that cannot be read", path.display());
            problems.error(place, what, "the file is damaged: make it anew");
            return None;
        };
        if to < now {
            let what = format!("the certificate in {} ended on {}", path.display(), day(to));
            problems.error_unless_starting(place, what, "get a new certificate: clients refuse this one");
        }
        if from > now {
            let what = format!("the certificate in {} is not valid before {}", path.display(), day(from));
            problems.error_unless_starting(place, what, "wait, or correct the clock of this machine");
        }
        last = last.min(to);
    }
    if (0..SOON_SECONDS).contains(&(last - now)) {
        let what = format!("the certificate in {} ends on {}", path.display(), day(last));
        problems.warn(place, what, "get a new certificate, put it in place, and send SIGHUP");
    }
    Some(last)
}

pub(crate) fn explained(error: &rustls::Error, chain: &Path, key: &Path) -> (String, String) {
    let (chain, key) = (chain.display(), key.display());
    match error {
        rustls::Error::InconsistentKeys(_) => (
            format!("the key in {key} does not belong to the certificate in {chain}"),
            "put the certificate first in its file, before those of its signers; or write the right key"
                .into(),
        ),
        error => (
            format!("the key in {key} cannot be used: {error}"),
            "use RSA from 2048 bits, ECDSA P-256 or P-384, or Ed25519, without a password".into(),
        ),
    }
}
