//! Certificates of a running load manager: read again when an operator asks, and used for new connections if they are good.
//! Open connections keep their certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use config::{Checked, Problems, Shown, Tls};
use net::{Identities, Identity};
use tracing::{error, info};

/// What new connections use.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// Shared with the workers.
    pub(crate) identities: Arc<Identities>,
    running: ArcSwapOption<Tls>,
}

impl Certificates {
    pub(crate) fn new(tls: Option<Tls>) -> Certificates {
        let identities = Arc::new(Identities::new(tls.clone().map(identity)));
        Certificates { identities, running: ArcSwapOption::from_pointee(tls) }
    }

    /// The certificates in use.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        self.running.load().as_ref().map_or_else(Vec::new, |tls| tls.shown.clone())
    }

    /// Uses these certificates for new connections.
    pub(crate) fn change(&self, tls: Option<Tls>) {
        let Some(tls) = tls else { return info!("certificates: none is configured, so none was read again") };
        let last_day = tls.last_day();
        self.identities.change(Some(identity(tls.clone())));
        self.running.store(Some(Arc::new(tls)));
        // The line comes after the change: a connection that is made after the line uses the new certificate.
        info!("certificates: new connections use the certificate that is valid until {last_day}");
    }

    /// Writes a line for each certificate that has ended, for operators who read only the end of a log.
    pub(crate) fn complain(&self, now: SystemTime) {
        complaints(&self.shown(), now).iter().for_each(|line| error!("{}", line));
    }

    /// Takes the certificates of a configuration that was read again. After an error, nothing changes.
    pub(crate) fn read_again(&self, read: Result<Checked, Problems>) {
        match read {
            Ok(checked) => self.change(checked.process.tls),
            Err(problems) => error!("certificates not changed\n{problems}"),
        }
    }

    /// Reads a file for a reload. A certificate that has ended is refused, unless it is already in use: then it must not
    /// stop all other changes.
    pub(crate) fn reload(&self, file: &Path) -> Result<Checked, Problems> {
        config::load(file).or_else(|problems| {
            let running = self.shown();
            match config::load_to_start(file) {
                Ok(next) if shown_in(&next).all(|shown| running.contains(shown)) => Ok(next),
                _ => Err(problems),
            }
        })
    }
}

fn shown_in(checked: &Checked) -> impl Iterator<Item = &Shown> {
    checked.process.tls.iter().flat_map(|tls| &tls.shown)
}

fn complaints(shown: &[Shown], now: SystemTime) -> Vec<String> {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let ended = shown.iter().filter(|shown| shown.ends < now);
    let line = |shown: &Shown| {
        format!(
            "certificate in {} ended on {}, and clients refuse it; remedy: put a new certificate in place and send SIGHUP",
            shown.file.display(),
            shown.last_day()
        )
    };
    ended.map(line).collect()
}

pub(crate) fn identity(tls: Tls) -> Identity {
    let Tls { accepting, client, server_name, server_verifier, shown: _, sources: _ } = tls;
    Identity {
        accepting,
        client,
        server_name,
        server_verifier: server_verifier.map(|verifier| verifier as _),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_has_ended_is_complained_of() {
        let day = |number: i64| number * 86_400;
        let shown = [("a.pem", day(19_000)), ("b.pem", day(20_000))].map(|(file, ends)| Shown {
            file: file.into(),
            chain: Vec::new(),
            ends,
        });
        let at = |days: i64| UNIX_EPOCH + Duration::from_secs(day(days) as u64);
        assert!(complaints(&shown, at(19_000)).is_empty());
        let said = complaints(&shown, at(19_001));
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("certificate in a.pem ended on 2022-01-08"), "{said:?}");
        assert_eq!(complaints(&shown, at(20_001)).len(), 2);
    }
}
