//! From the running configuration to another: what differs, in plain words; what cannot change while running, by name and
//! before anything changes; and the change, whole or not at all.

use std::sync::Arc;

use config::{Checked, quoted};
use lb::farm::server_table::RowView;
use lb::settings::{Selection, ServerEntry, Settings};

use super::difference::Difference;
use super::sections;
use super::{Context, RefusalKind, Refused};

/// What `next` would change. `rows`: all servers of the table, from the configuration or not; `servers`: those that it would have.
pub(crate) fn compare(
    before: &Checked,
    next: &Checked,
    rows: &[RowView],
    servers: &[ServerEntry],
) -> Difference {
    let mut found = Difference::default();
    for differs in before.differences(next) {
        match differs.restart {
            true => found.fixed.push(differs.key),
            false => found.changed(&differs.key, differs.before, differs.after),
        }
    }
    let (old, new) = (&before.settings, &next.settings);
    let forgets = new.selection != old.selection && new.selection == Selection::Cjsq && !old.count_calls;
    found.note(forgets, "calls are counted from now on; calls in progress are not in the queues of cjsq");
    sections::measures(&old.measures.measured, &new.measures.measured, &mut found);
    keys(before, next, &mut found);
    names(before, next, &mut found);
    entries(rows, servers, &mut found);
    let tokens = |checked: &Checked| checked.process.api.as_ref().map(|api| api.tokens.clone());
    found.note(tokens(before) != tokens(next), "api.tokens: other tokens from now on");
    https(before, next, &mut found);
    let named = |checked: &Checked| checked.http.as_ref().map(|http| http.places.named.clone());
    found.note(named(before) != named(next), "HTTP of servers: other addresses from now on");
    sections::certificates(before.process.tls.as_ref(), next.process.tls.as_ref(), &mut found);
    found
}

/// Those who ask the API know whether it speaks HTTPS: only a restart changes that.
fn https(before: &Checked, next: &Checked, found: &mut Difference) {
    let of = |checked: &Checked| checked.process.api.as_ref().and_then(|api| api.https.clone());
    match (of(before), of(next)) {
        (None, None) => {}
        (Some(before), Some(next)) => {
            let day = next.shown.last_day();
            let what = format!("api.certificate: another certificate for new connections, valid until {day}");
            found.note(before != next, &what);
        }
        // Another `listen` needs a restart anyway.
        _ => found.fixed.push("api.certificate".to_owned()),
    }
}

fn keys(before: &Checked, next: &Checked, found: &mut Difference) {
    let old = &before.settings;
    let ids = |settings: &Settings| {
        let ids: Vec<u8> = settings.keys.tag.iter().map(|(id, _)| *id).collect();
        format!("{ids:?}")
    };
    if before.random_keys && next.random_keys {
        // Each reading of the configuration makes another random key: the running key stays.
    } else if old.keys.tag != next.settings.keys.tag {
        let signing = old.keys.tag.first();
        if signing.is_some_and(|key| !next.settings.keys.tag.contains(key)) {
            found.refused.push(
                "keys.tag: the key that signs now is not among the new keys, so every call in progress would lose its \
                 server; put the new key in front, keep the old one, and remove it when the longest call is over",
            );
        }
        found.changed("keys.tag, ids, the first signs", ids(old), ids(&next.settings));
        let oldest = |settings: &Settings| settings.keys.tag.last().cloned();
        found.note(
            oldest(old) != oldest(&next.settings),
            "  the oldest key is removed: remembered calls go on with it; tags that it signed are no longer known",
        );
    }
    found.note(
        old.keys.heartbeat != next.settings.keys.heartbeat,
        "keys.heartbeat: another key; agents need this key, too, or their servers fail after the decay",
    );
}

fn names(before: &Checked, next: &Checked, found: &mut Difference) {
    for named in &next.named_servers {
        let name = |what: &str| format!("servers of {}: {what}", named.written);
        match before.named_servers.iter().find(|old| old.target == named.target) {
            None => found.changes.push(name("found by name from now on")),
            Some(old) => {
                found.changed(&name("weight"), old.weight, named.weight);
                found.changed(&name("priority"), old.priority, named.priority);
            }
        }
    }
    for old in &before.named_servers {
        let gone = next.named_servers.iter().all(|named| named.target != old.target);
        found.note(gone, &format!("servers of {}: no longer found by name", old.written));
    }
}

fn entries(rows: &[RowView], servers: &[ServerEntry], found: &mut Difference) {
    let same = lb::farm::server_table::same;
    for entry in servers {
        match rows.iter().find(|row| same(row.address, entry.address)) {
            None => {
                let line = format!("server {}: added, weight {}", entry.address, entry.weight);
                found.changes.push(line);
            }
            Some(row) => {
                let name = |what: &str| format!("server {}: {what}", row.address);
                found.changed(&name("weight"), row.weight, entry.weight);
                found.changed(&name("priority"), row.priority, entry.priority);
                let limit =
                    |max: Option<u32>| max.map_or_else(|| "no limit".to_owned(), |max| max.to_string());
                found.changed(&name("calls_max"), limit(row.calls_max), limit(entry.calls_max));
                let (now, then) = (row.calls_per_second_max, entry.calls_per_second_max);
                found.changed(&name("calls_per_second_max"), limit(now), limit(then));
                let (now, then) = (row.transport.word(), entry.transport.word());
                found.changed(&name("transport"), quoted(now), quoted(then));
                found.note(row.leaving, &name("stays in the farm after all"));
                found.note(
                    !row.configured && !row.leaving,
                    &name("now in the configuration; known only by heartbeat before"),
                );
            }
        }
    }
    for row in rows.iter().filter(|row| row.configured) {
        if !servers.iter().any(|entry| same(entry.address, row.address)) {
            let what = match row.heartbeat_state {
                Some(_) => "no longer named; the server stays while its heartbeats come",
                None => {
                    "no longer named: the server gets no new calls, and leaves when its known calls are over"
                }
            };
            found.changes.push(format!("server {}: {what}", row.address));
        }
    }
}

/// Changes one key of a configuration, which is then applied.
pub(super) fn set(checked: &mut Checked, key: &str, text: &str) -> Result<(), Refused> {
    checked.set(key, text).map_err(|(what, remedy)| Refused::bad(format!("{key}: {what}"), remedy))
}

/// Changes everything, or refuses everything.
pub(crate) fn apply(context: &mut Context<'_>, mut next: Checked, dry: bool) -> Result<Difference, Refused> {
    let (now, shared) = (context.now, context.control.shared());
    let Some(before) = context.control.checked() else {
        return Err(Refused::new(
            RefusalKind::Busy,
            "the load manager is still starting",
            "ask again in a moment",
        ));
    };
    if before.random_keys && next.random_keys {
        next.settings.keys.tag.clone_from(&shared.settings.keys.tag);
    }
    let servers = context.control.servers_under(&next);
    let difference = compare(&before, &next, &context.control.rows(now), &servers);
    if let Some(what) = difference.refusal() {
        let remedy = "nothing was changed; leave these keys as they were, or restart the load manager with the new file";
        return Err(Refused::new(RefusalKind::Impossible, what, remedy));
    }
    if let Some(refusal) = context.control.table_mut().would_refuse(&servers) {
        return Err(Refused::new(RefusalKind::Conflict, refusal.to_string(), "nothing was changed"));
    }
    if dry {
        return Ok(difference);
    }
    // Steps that can fail come first.
    if next.choices != before.choices {
        context.host.choices.write_to(&next.choices).map_err(|error| {
            let remedy = "nothing was changed; let the load manager write there, or choose another file";
            Refused::new(RefusalKind::Impossible, format!("log.choices: {error}"), remedy)
        })?;
    }
    let key = next.settings.keys.heartbeat.clone();
    let polled = (&shared.settings.measures, &shared.settings.keys.heartbeat);
    if polled != (&next.settings.measures, &key) {
        let clock = context.host.clock;
        context.control.measure(next.settings.measures.clone(), key, clock).map_err(|error| {
            Refused::new(
                RefusalKind::Impossible,
                format!("[[measure]]: {error}"),
                "nothing was changed; try again",
            )
        })?;
    }
    context.control.reconfigure(now, &next);
    crate::process::log::write_as(next.process.log_format);
    if next.process.log_filter != before.process.log_filter {
        crate::process::log::filter_by(&next.process.log_filter);
    }
    context.control.set_terms(now, shared.terms().with(next.settings.clone()));
    // A new certificate goes to connections that are made from now on.
    if next.process.tls.is_some() || before.process.tls.is_some() {
        context.host.certificates.change(next.process.tls.clone());
    }
    if let Some(api) = &next.process.api {
        context.host.tokens.store(Arc::new(api.tokens.clone()));
        context.host.https.store(api.https.clone().map(Arc::new));
    }
    if let (Some(front), Some(http)) = (&context.host.converged, &next.http) {
        front.set(http.clone());
    }
    context.control.run_as(next);
    for change in &difference.changes {
        context.control.note(change);
    }
    Ok(difference)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ctl::RefusalKind;
    use crate::ctl::testing::{Owner, TWO};

    fn written(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("strowger-reload-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn servers(owner: &Owner) -> Vec<(String, String, u64)> {
        let report = owner.ask("status", json!({})).unwrap().document;
        let server = |row: &serde_json::Value| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            (text("address"), text("state"), row["weight"].as_u64().unwrap())
        };
        report["servers"].as_array().unwrap().iter().map(server).collect()
    }

    #[test]
    fn a_reload_swaps_whole_and_says_what_differs() {
        let path = written("whole", TWO);
        let owner = Owner::of(config::load(&path).unwrap());
        assert!(
            owner
                .ask("reload", json!({}))
                .unwrap()
                .text
                .contains("nothing differs from the running configuration")
        );
        let more = TWO
            .replace("127.0.0.1:7001\"", "127.0.0.1:7002\"\nweight = 3")
            .replace("127.0.0.1:7000\"", "127.0.0.1:7000\"\npriority = 1\ncalls_max = 20")
            + "[selection]\nkind = \"tlwl\"\n[limits]\nretry_after_seconds = 9\n";
        std::fs::write(&path, &more).unwrap();
        let dry = owner.ask("reload", json!({ "dry-run": true })).unwrap();
        assert_eq!(servers(&owner).len(), 2, "only looked at");
        let done = owner.ask("reload", json!({})).unwrap();
        assert_eq!(done.text, dry.text);
        for what in [
            "server 127.0.0.1:7002: added, weight 3",
            "127.0.0.1:7001: no longer named",
            "server 127.0.0.1:7000: priority: 0 becomes 1",
            "server 127.0.0.1:7000: calls_max: no limit becomes 20",
            "selection.kind: \"round-robin\" becomes \"tlwl\"",
            "limits.retry_after_seconds: 5 becomes 9",
        ] {
            assert!(done.text.contains(what), "no `{what}` in:\n{}", done.text);
        }
        let now = servers(&owner);
        assert_eq!(now[0], ("127.0.0.1:7000".into(), "active".into(), 1));
        assert!(now.contains(&("127.0.0.1:7002".into(), "active".into(), 3)), "{now:?}");
        let report = owner.ask("status", json!({})).unwrap().document;
        assert_eq!(report["selection"], "tlwl");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_cannot_change_or_is_wrong_is_named_and_nothing_is_touched() {
        let path = written("refused", TWO);
        let owner = Owner::of(config::load(&path).unwrap());
        let before = servers(&owner);
        let other_key =
            TWO.replace("1 00112233445566778899aabbccddeeff", "2 ffeeddccbbaa99887766554433221100");
        let with = |more: &str| TWO.replace(":7001", ":7003") + more;
        for (text, what) in [
            (with("[threads]\nmodel = \"one\"\n"), "restart needed for: [threads]"),
            (with("[limits]\nsessions_max = 5000\n"), "limits.sessions_max"),
            (with("").replace("udp:127.0.0.1:5060", "udp:127.0.0.1:5061"), "restart needed for: [[listen]]"),
            (with("[register]\nin_progress_max = 7\n"), "restart needed for: register.in_progress_max"),
            (with("[affinity]\nkind = \"session\"\n"), "affinity.kind"),
            (other_key, "the key that signs now"),
            (with("[selection]\nkind = \"roundrobin\"\n"), "refused.toml:10"),
        ] {
            std::fs::write(&path, &text).unwrap();
            let refused = owner.ask("reload", json!({})).err().unwrap_or_else(|| panic!("taken: {text}"));
            assert_eq!(refused.why, RefusalKind::Impossible);
            assert!(refused.what.contains(what), "no `{what}` in: {}", refused.what);
            assert_eq!(servers(&owner), before, "{what}");
        }
        std::fs::remove_file(path).unwrap();
        let short = Owner::of(config::parse(TWO).unwrap());
        assert_eq!(short.ask("reload", json!({})).err().unwrap().why, RefusalKind::Conflict);
    }

    #[test]
    fn registrations_polls_and_logs_change_too_and_are_said_as_the_file_says_them() {
        let path = written("more", TWO);
        let owner = Owner::of(config::load(&path).unwrap());
        let more = "[register]\nto = \"all\"\naccept = \"majority\"\nwait_ms = 500\n[score]\ncpu_max_percent = 90\n\
             [[measure]]\nby = \"agent\"\naddress = \"127.0.0.1:9\"\n[perf]\npoll_ms = 5000\n[log]\nformat = \"text\"\n\
             [drain]\nseconds = 3\nnew_calls = \"serve\"\n[hold_setup]\nkind = \"all\"\n";
        std::fs::write(&path, format!("{TWO}{more}")).unwrap();
        let done = owner.ask("reload", json!({})).unwrap().text;
        for line in [
            "register.to: \"hash\" becomes \"all\"",
            "register.accept: \"any\" becomes \"majority\"",
            "register.wait_ms: 2000 becomes 500",
            "score.cpu_max_percent: 95 becomes 90",
            "[[measure]] by = \"agent\", address = \"127.0.0.1:9\": polled from now on",
            "perf.poll_ms: 1000 becomes 5000",
            "drain.seconds: 0 becomes 3",
            "drain.new_calls: \"refuse\" becomes \"serve\"",
            "hold_setup.kind: \"stream\" becomes \"all\"",
        ] {
            assert!(done.lines().any(|said| said == line), "no `{line}` in:\n{done}");
        }
        assert_eq!(done.lines().count(), 9, "{done}");
        let counters = owner.ask("counters", json!({})).unwrap().document.to_string();
        assert!(counters.contains("perf_polls"), "the poll loop runs: {counters}");
        std::fs::write(&path, TWO).unwrap();
        let done = owner.ask("reload", json!({})).unwrap().text;
        assert!(done.contains("address = \"127.0.0.1:9\": no longer polled"), "{done}");
        assert!(
            owner
                .ask("reload", json!({}))
                .unwrap()
                .text
                .contains("nothing differs from the running configuration")
        );
        std::fs::write(&path, format!("{TWO}[perf]\nlisten = \"127.0.0.1:9\"\n")).unwrap();
        let refused = owner.ask("reload", json!({})).err().unwrap();
        assert_eq!(refused.what, "restart needed for: perf.listen");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn policy_and_limits_change_what_they_name_and_no_more() {
        let owner = Owner::of_two();
        let done = owner.ask("policy", json!({ "selection": "least-loaded" })).unwrap();
        assert_eq!(done.text, "selection.kind: \"round-robin\" becomes \"least-loaded\"\n");
        assert_eq!(owner.ask("policy", json!({ "selection": "best" })).err().unwrap().why, RefusalKind::Bad);
        assert_eq!(
            owner.ask("policy", json!({ "selection": "hash" })).err().unwrap().why,
            RefusalKind::Impossible
        );
        let done = owner.ask("limits", json!({ "retry-after-seconds": 9 })).unwrap();
        assert_eq!(done.text, "limits.retry_after_seconds: 5 becomes 9\n");
        assert_eq!(
            owner.ask("limits", json!({ "retry-after-seconds": 0 })).err().unwrap().why,
            RefusalKind::Bad
        );
        assert_eq!(owner.ask("limits", json!({})).err().unwrap().why, RefusalKind::Bad);
    }
}
