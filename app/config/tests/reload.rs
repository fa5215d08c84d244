//! What a reload would change: told key by key, as the file writes it, with what only a start can change told apart.

use strowger_config::{Checked, Differs, parse};

const BASE: &str = "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[server]]\naddress = \"127.0.0.1:7000\"\n\
    [keys]\ntag = [\"1 00112233445566778899aabbccddeeff\"]\n";

fn good(text: &str) -> Checked {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// Each line as a reload tells it; with `!` what needs a start.
fn between(before: &str, after: &str) -> Vec<String> {
    let line = |differs: Differs| match differs.restart {
        true => format!("! {}", differs.key),
        false => format!("{}: {} becomes {}", differs.key, differs.before, differs.after),
    };
    good(before).differences(&good(after)).into_iter().map(line).collect()
}

fn added(more: &str) -> Vec<String> {
    between(BASE, &format!("{BASE}{more}"))
}

#[test]
fn what_means_the_same_does_not_differ() {
    for same in [
        "[selection]\nkind = \"round-robin\"\n",
        "[drain]\nseconds = 0\n",
        "[limits]\nretry_after_seconds = 5\n",
        "[threads]\nmodel = \"per-core\"\n",
        // Nothing listens there: these are idle.
        "[api]\nopen_metrics = false\n",
        "[http]\nconnections_max = 5\n",
    ] {
        assert_eq!(added(same), [""; 0], "{same}");
    }
    let advertised =
        BASE.replace("5060\"", "5060\"\nadvertise = \"127.0.0.1\"\nnames = [\"B.example\", \"a.example\"]");
    let otherwise = advertised.replace("\"B.example\", \"a.example\"", "\"a.example\", \"b.example\"");
    assert_eq!(between(&advertised, &otherwise), [""; 0]);
    assert_eq!(between(BASE, &advertised), ["! names of [[listen]]"]);
}

#[test]
fn keys_are_told_as_the_file_writes_them() {
    assert_eq!(
        added(
            "[selection]\nkind = \"tlwl\"\n[limits]\nretry_after_seconds = 9\n[register]\nto = \"registrar:10.0.0.5,10.0.0.6:5070\"\n"
        ),
        [
            "selection.kind: \"round-robin\" becomes \"tlwl\"",
            "register.to: \"hash\" becomes \"registrar:udp:10.0.0.5:5060,udp:10.0.0.6:5070\"",
            "limits.retry_after_seconds: 5 becomes 9",
        ]
    );
    let http = format!("{BASE}[http]\nserver_port = 80\nlisten = \"127.0.0.1:8080\"\n");
    assert_eq!(
        between(&http, &format!("{http}cookie = \"app\"\nidle_seconds = 5\n")),
        ["http.cookie: \"strowger\" becomes \"app\"", "http.idle_seconds: 60 becomes 5"]
    );
}

#[test]
fn what_only_a_start_can_change_is_named() {
    let http = format!("{BASE}[http]\nserver_port = 80\nlisten = \"127.0.0.1:8080\"\n");
    let elsewhere = http.replace("8080", "8081") + "connections_max = 5\n";
    assert_eq!(between(&http, &elsewhere), ["! http.listen", "! http.connections_max"]);
    assert_eq!(added("[threads]\nmodel = \"one\"\n"), ["! [threads]"]);
    assert_eq!(added("[limits]\nsessions_max = 5000\n"), ["! limits.sessions_max"]);
    assert_eq!(between(BASE, &BASE.replace("5060", "5061")), ["! [[listen]]"]);
    let written = good(&format!("{BASE}[limits]\nsessions_max = 5000\nretry_after_seconds = 9\n"));
    assert_eq!(written.written_for_a_start(), ["[[listen]]", "limits.sessions_max"]);
}

#[test]
fn keys_are_not_told() {
    let two = BASE.replace("[\"1 00", "[\"2 ffeeddccbbaa99887766554433221100\", \"1 00");
    assert_eq!(between(BASE, &two), [""; 0]);
    assert_eq!(between(BASE, &format!("{BASE}heartbeat = \"{}\"\n", "ab".repeat(16))), [""; 0]);
}

#[test]
fn a_configuration_prints_no_key() {
    let heartbeat = "ab".repeat(16);
    let checked = good(&format!("{BASE}heartbeat = \"{heartbeat}\"\n"));
    let file =
        strowger_config::KeyFile::parse(&format!("tag 7 {heartbeat}\nheartbeat {heartbeat}\n")).unwrap();
    let printed = format!("{checked:?} {file:?}");
    // 0xAB and 0x11, as bytes are printed, and both in hexadecimal.
    for key in [heartbeat.as_str(), "112233", "171, 171", "17, 34, 51"] {
        assert!(!printed.contains(key), "{key} in {printed}");
    }
}

#[test]
fn one_key_is_changed_by_its_text_within_its_range() {
    let mut checked = good(BASE);
    checked.set("limits.retry_after_seconds", "9").unwrap();
    assert_eq!(checked.settings.retry_after, 9);
    assert_eq!(checked.settings.servers.len(), 1);
    let (what, remedy) = checked.set("limits.retry_after_seconds", "0").unwrap_err();
    assert_eq!((what.as_str(), remedy.as_str()), ("0 is out of range", "write a number, 1 … 3600"));
    assert!(checked.set("limits.retry_after", "9").unwrap_err().0.contains("no key"));
}
