//! The certificate of the HTTP API while it runs.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use config::Https;

/// The certificate of new connections. `None`: they are without TLS. A reload changes the certificate, but not whether there is one.
pub(crate) type Certificate = Arc<ArcSwapOption<Https>>;

pub(crate) fn scheme(https: Option<&Https>) -> &'static str {
    if https.is_some() { "https" } else { "http" }
}
