//! A certificate and its key, read from the two files that settings name.

use std::path::PathBuf;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::files::certificates::{certificates, check_validity, explained, private_key};
use crate::files::validity::day;
use crate::language::problem::Problems;
use crate::language::section::Field;

/// A certificate that we show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub file: PathBuf,
    /// In the order of the file: our own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The last second in which the whole chain is valid, since 1970.
    pub ends: i64,
}

impl Shown {
    /// The last day of the chain: `2026-11-21`.
    pub fn last_day(&self) -> String {
        day(self.ends)
    }
}

/// A certificate and the key that belongs to it.
pub(super) struct Pair {
    pub(super) shown: Shown,
    pub(super) key: Zeroizing<PrivateKeyDer<'static>>,
}

pub(super) type FileField = Field<Option<PathBuf>>;

/// `None`: neither is written, or there is an error.
pub(super) fn pair(
    certificate: &FileField,
    key: &FileField,
    prefix: &str,
    problems: &mut Problems,
) -> Option<Pair> {
    let (chain_path, key_path) = match (&certificate.value, &key.value) {
        (Some(chain), Some(key)) => (chain, key),
        (None, None) => return None,
        (Some(_), None) => {
            let remedy = format!("add {prefix}key{}", option("--key", prefix));
            problems.error(&certificate.place, "`certificate` without `key`", remedy);
            return None;
        }
        (None, Some(_)) => {
            let remedy = format!("add {prefix}certificate{}", option("--certificate", prefix));
            problems.error(&key.place, "`key` without `certificate`", remedy);
            return None;
        }
    };
    let chain = certificates(chain_path, &certificate.place, problems);
    let private = private_key(key_path, &key.place, problems);
    let (chain, private) = (chain?, private?);
    let ends = check_validity(&chain, chain_path, &certificate.place, problems)?;
    // Whether the certificate and the key belong together is checked before either is used.
    let provider = aws_lc_rs::default_provider();
    if let Err(error) = CertifiedKey::from_der(chain.clone(), private.clone_key(), &provider) {
        let (what, remedy) = explained(&error, chain_path, key_path);
        problems.error(&key.place, what, remedy);
        return None;
    }
    Some(Pair { shown: Shown { file: chain_path.clone(), chain, ends }, key: private })
}

/// Options of the command line exist only for `[tls]`.
fn option(name: &str, prefix: &str) -> String {
    if prefix == "tls." { format!(" ({name})") } else { String::new() }
}
