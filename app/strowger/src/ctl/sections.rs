//! Differences that are more than the value of a key: polled places, and certificates in the files.

use config::{Tls, quoted};
use heartbeat::measure::Measured;

use super::difference::Difference;

pub(super) fn measures(old: &[Measured], new: &[Measured], found: &mut Difference) {
    for (of, others, what) in [(new, old, "polled from now on"), (old, new, "no longer polled")] {
        for place in of.iter().filter(|place| !others.contains(place)) {
            found.note(true, &format!("[[measure]] {}: {what}", keys_of(place)));
        }
    }
}

fn keys_of(place: &Measured) -> String {
    let server = place.server.map_or_else(String::new, |server| format!(", server = {}", quoted(server)));
    format!("by = {}, address = {}{server}", quoted(place.by.name()), quoted(place.address))
}

/// Each reload reads the files again: they may hold other certificates under the same names. Open connections keep theirs.
pub(super) fn certificates(old: Option<&Tls>, new: Option<&Tls>, found: &mut Difference) {
    let (Some(old), Some(new)) = (old, new) else {
        let what = "[tls]: certificates are added or removed; TLS listeners stay as they are";
        return found.note(old.is_some() != new.is_some(), what);
    };
    for shown in new.shown.iter().filter(|shown| !old.shown.contains(shown)) {
        let (file, day) = (shown.file.display(), shown.last_day());
        found.changes.push(format!(
            "certificate in {file}: another certificate for new connections, valid until {day}"
        ));
    }
    for shown in old.shown.iter().filter(|shown| new.shown.iter().all(|other| other.file != shown.file)) {
        found
            .changes
            .push(format!("certificate in {}: no longer used for new connections", shown.file.display()));
    }
    let names = old.sources.keys().chain(new.sources.keys().filter(|name| !old.sources.contains_key(*name)));
    for name in names.filter(|name| old.sources.get(*name) != new.sources.get(*name)) {
        found.changes.push(format!("{name}: another file for new connections"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_differ_are_named() {
        let shown = |file: &str, ends: i64| config::Shown { file: file.into(), chain: Vec::new(), ends };
        let tls = |shown: Vec<config::Shown>, authority: u64| Tls {
            accepting: Vec::new(),
            client: None,
            server_name: None,
            server_verifier: None,
            shown,
            sources: [("tls.client_ca".to_owned(), authority), ("tls.key".to_owned(), 1)].into(),
        };
        let changes = |old: &Tls, new: &Tls| {
            let mut found = Difference::default();
            certificates(Some(old), Some(new), &mut found);
            found.changes
        };
        let old = tls(vec![shown("a.pem", 86_400), shown("b.pem", 86_400)], 1);
        assert!(changes(&old, &old).is_empty());
        let renewed = tls(vec![shown("a.pem", 2 * 86_400), shown("b.pem", 86_400)], 1);
        let said = "certificate in a.pem: another certificate for new connections, valid until 1970-01-03";
        assert_eq!(changes(&old, &renewed), [said]);
        let fewer = tls(vec![shown("a.pem", 86_400)], 2);
        assert_eq!(
            changes(&old, &fewer),
            [
                "certificate in b.pem: no longer used for new connections",
                "tls.client_ca: another file for new connections",
            ]
        );
    }
}
