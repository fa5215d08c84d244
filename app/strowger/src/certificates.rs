//! Certificates of a running load manager: read again when somebody says so, and taken for new connections when they
//! are good. Connections that are open go on with what they have.

use net::{Identities, Identity};

use crate::control::log;
use crate::roles::Args;

pub(crate) fn identity(tls: config::Tls) -> Identity {
    let config::Tls { server, client, server_name, expires: _ } = tls;
    Identity { server, client, server_name }
}

/// Reads the configuration again and changes the certificates; when anything in it is wrong, nothing changes.
pub(crate) fn read_again(args: &Args, identities: &Identities) {
    match args.checked() {
        Ok(checked) => change(checked.tls, identities),
        Err(problems) => log(&format!("the certificates stay as they were:\n{problems}")),
    }
}

/// Has new connections use these.
pub(crate) fn change(tls: Option<config::Tls>, identities: &Identities) {
    match tls {
        Some(tls) => {
            let last_day = tls.last_day();
            identities.change(Some(identity(tls)));
            // Whoever reads this line and connects then finds it so.
            log(&format!("new connections use the certificate that is good until {last_day}"));
        }
        None => log("no certificate is named: nothing to read again"),
    }
}
