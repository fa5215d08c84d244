//! How whole sections differ, key by key in the words of the file: registrations, scores, polls, certificates.

use config::{Http, Tls, word};
use heartbeat::measure::{Measured, Measures};
use lb::farm::score::ScoreSettings;
use lb::register::settings::{RegisterSettings, RegisterTo};

use super::change::{Difference, quoted};

pub(super) fn register(old: &RegisterSettings, new: &RegisterSettings, found: &mut Difference) {
    let RegisterSettings { to, accept, wait, path, in_progress_max, bytes_max } = old;
    found.reworded("register.to", written(to), written(&new.to));
    found.reworded("register.accept", word(*accept), word(new.accept));
    found.changed("register.wait_ms", wait.as_millis(), new.wait.as_millis());
    found.reworded("register.path", word(*path), word(new.path));
    found.fixed("register.in_progress_max", in_progress_max, &new.in_progress_max);
    found.fixed("register.bytes_max", bytes_max, &new.bytes_max);
}

fn written(to: &RegisterTo) -> String {
    match to {
        RegisterTo::Hash => "hash".into(),
        RegisterTo::All => "all".into(),
        RegisterTo::Registrar(registrars) => {
            let one =
                |at: &lb::register::settings::Registrar| format!("{}:{}", at.transport.word(), at.address);
            format!("registrar:{}", registrars.iter().map(one).collect::<Vec<_>>().join(","))
        }
    }
}

pub(super) fn http(old: Option<&Http>, new: Option<&Http>, found: &mut Difference) {
    let (Some(old), Some(new)) = (old, new) else {
        return found.fixed("http.listen", &old.is_some(), &new.is_some());
    };
    let Http { listen, names, places, connections_max, head_bytes_max, body_bytes_max, .. } = old;
    let Http { head_time, idle, upgraded_idle, connect_time, .. } = old;
    found.fixed("http.listen", listen, &new.listen);
    found.fixed("http.connections_max", connections_max, &new.connections_max);
    found.reworded("http.cookie", &names.cookie, &new.names.cookie);
    found.reworded("http.header", &names.header, &new.names.header);
    found.reworded("http.parameter", &names.parameter, &new.names.parameter);
    found.changed("http.server_port", places.port.unwrap_or(0), new.places.port.unwrap_or(0));
    found.note(places.named != new.places.named, "HTTP of servers: other places from now on");
    found.changed("http.head_bytes_max", *head_bytes_max, new.head_bytes_max);
    found.changed("http.body_bytes_max", *body_bytes_max, new.body_bytes_max);
    found.changed("http.head_seconds", head_time.as_secs(), new.head_time.as_secs());
    found.changed("http.idle_seconds", idle.as_secs(), new.idle.as_secs());
    found.changed("http.upgraded_idle_seconds", upgraded_idle.as_secs(), new.upgraded_idle.as_secs());
    found.changed("http.connect_ms", connect_time.as_millis(), new.connect_time.as_millis());
}

pub(super) fn score(old: &ScoreSettings, new: &ScoreSettings, found: &mut Difference) {
    let ScoreSettings {
        cpu_weight,
        memory_weight,
        network_weight,
        calls_weight,
        failures_weight,
        latency_weight,
        latency_half_us,
        cpu_max_permille,
        memory_min_kib,
    } = old;
    found.changed("score.cpu_weight", *cpu_weight, new.cpu_weight);
    found.changed("score.memory_weight", *memory_weight, new.memory_weight);
    found.changed("score.network_weight", *network_weight, new.network_weight);
    found.changed("score.calls_weight", *calls_weight, new.calls_weight);
    found.changed("score.failures_weight", *failures_weight, new.failures_weight);
    found.changed("score.latency_weight", *latency_weight, new.latency_weight);
    found.changed("score.latency_half_ms", latency_half_us / 1000, new.latency_half_us / 1000);
    found.changed("score.cpu_max_percent", cpu_max_permille / 10, new.cpu_max_permille / 10);
    found.changed("score.memory_min_kib", *memory_min_kib, new.memory_min_kib);
}

pub(super) fn measures(old: &Measures, new: &Measures, found: &mut Difference) {
    let Measures { measured, poll, answer_within, listen } = old;
    found.fixed("perf.listen", listen, &new.listen);
    found.changed("perf.poll_ms", poll.as_millis(), new.poll.as_millis());
    found.changed("perf.answer_within_ms", answer_within.as_millis(), new.answer_within.as_millis());
    for (of, others, what) in
        [(&new.measured, measured, "polled from now on"), (measured, &new.measured, "polled no more")]
    {
        for place in of.iter().filter(|place| !others.contains(place)) {
            found.note(true, &format!("[[measure]] {}: {what}", keys_of(place)));
        }
    }
}

fn keys_of(place: &Measured) -> String {
    let server = place.server.map_or_else(String::new, |server| format!(", server = {}", quoted(server)));
    format!("by = {}, address = {}{server}", quoted(place.by.name()), quoted(place.address))
}

/// They are read anew with each reload: the files may hold others under the same names. Open connections keep what they have.
pub(super) fn certificates(old: Option<&Tls>, new: Option<&Tls>, found: &mut Difference) {
    let (Some(old), Some(new)) = (old, new) else {
        let what = "[tls]: certificates come or go; listeners of TLS stay as they are";
        return found.note(old.is_some() != new.is_some(), what);
    };
    for shown in new.shown.iter().filter(|shown| !old.shown.contains(shown)) {
        let (file, day) = (shown.file.display(), shown.last_day());
        found
            .changes
            .push(format!("certificate in {file}: another one for new connections, good until {day}"));
    }
    for shown in old.shown.iter().filter(|shown| new.shown.iter().all(|other| other.file != shown.file)) {
        found
            .changes
            .push(format!("certificate in {}: no longer used for new connections", shown.file.display()));
    }
    let names = old.sources.keys().chain(new.sources.keys().filter(|name| !old.sources.contains_key(*name)));
    for name in names.filter(|name| old.sources.get(*name) != new.sources.get(*name)) {
        found.changes.push(format!("{name}: another one for new connections"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::testing::TWO;

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
        let said = "certificate in a.pem: another one for new connections, good until 1970-01-03";
        assert_eq!(changes(&old, &renewed), [said]);
        let fewer = tls(vec![shown("a.pem", 86_400)], 2);
        assert_eq!(
            changes(&old, &fewer),
            [
                "certificate in b.pem: no longer used for new connections",
                "tls.client_ca: another one for new connections",
            ]
        );
    }

    #[test]
    fn of_http_all_but_its_listener_can_change() {
        let with =
            |more: &str| config::parse(&format!("{TWO}[http]\nserver_port = 80\n{more}")).unwrap().http;
        let old = with("listen = \"127.0.0.1:8080\"");
        let differs = |new: Option<&Http>| {
            let mut found = Difference::default();
            http(old.as_ref(), new, &mut found);
            (found.text(), found.refusal())
        };
        assert_eq!(differs(old.as_ref()).0, "nothing differs from what runs\n");
        let new = with("listen = \"127.0.0.1:8080\"\ncookie = \"app\"\nidle_seconds = 5\nhead_seconds = 4");
        let text = "http.cookie: \"strowger\" becomes \"app\"\nhttp.head_seconds: 10 becomes 4\nhttp.idle_seconds: 60 becomes 5\n";
        assert_eq!(differs(new.as_ref()), (text.to_owned(), None));
        let elsewhere = with("listen = \"127.0.0.1:8081\"\nconnections_max = 5");
        let restart = "restart needed for: http.listen, http.connections_max";
        assert_eq!(differs(elsewhere.as_ref()).1.as_deref(), Some(restart));
        assert_eq!(differs(None).1.as_deref(), Some("restart needed for: http.listen"));
    }
}
