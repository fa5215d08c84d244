//! What is written in a file, and what comes of it: settings, or every mistake with its place and remedy.

use std::time::Duration;
use strowger_config as config;

use lb::settings::{Affinity, HashKind, HoldSetup, Probe, Selection, Threads};
use sip::Transport;
use strowger_config::{Checked, Faults};

const LEAST: &str =
    "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[server]]\naddress = \"127.0.0.1:7000\"\n";

fn good(text: &str) -> Checked {
    config::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Each expected line must appear, as `LINE:COLUMN: what` and its remedy, and no other problem.
fn bad(text: &str, expected: &[(&str, &str)]) {
    let problems = config::parse(text).expect_err("mistakes that were not found");
    let shown = problems.to_string();
    for (what, remedy) in expected {
        let at = shown.find(what).unwrap_or_else(|| panic!("no `{what}` in:\n{shown}"));
        let line = shown[at..].lines().find(|line| line.contains("remedy:")).unwrap_or_default();
        assert!(line.contains(remedy), "no `{remedy}` after `{what}` in:\n{shown}");
    }
    assert_eq!(problems.list.iter().filter(|problem| !problem.warning).count(), expected.len(), "{shown}");
}

#[test]
fn the_least_file_gives_the_defaults() {
    let checked = good(LEAST);
    let settings = &checked.settings;
    assert_eq!(settings.affinity, Affinity::Tag);
    assert_eq!(settings.selection, Selection::RoundRobin);
    assert_eq!(settings.hash, HashKind::Consistent);
    assert_eq!(settings.hold_setup, HoldSetup::Stream);
    assert_eq!(settings.probe, Probe::Traffic);
    assert_eq!(settings.new_call_time, Duration::from_secs(32));
    assert_eq!(settings.invite_weight_percent, 175);
    assert_eq!(settings.datagram_bytes_max, 1300);
    assert_eq!(settings.heartbeat.decay_periods, 3);
    assert_eq!(settings.heartbeat.table_size, None);
    assert_eq!(settings.servers[0].weight, 1);
    assert_eq!(settings.listeners[0].bind, settings.listeners[0].advertise);
    assert!(matches!(settings.threads, Threads::PerCore { workers: 1.. }));
    assert_eq!(checked.process.faults, Faults::Stderr);
    assert_eq!(settings.keys.tag.len(), 1, "a random key");
    assert!(checked.notices.iter().any(|notice| notice.contains("no shared key")), "{:?}", checked.notices);
}

#[test]
fn http_is_read_and_what_is_wrong_with_it_is_named() {
    let server = LEAST.to_owned() + "http = \"127.0.0.1:7080\"\n";
    let http =
        good(&(server.clone() + "[http]\nlisten = \"127.0.0.1:8080\"\nheader = \"X-Call\"\n")).http.unwrap();
    assert_eq!((http.names.cookie.as_str(), http.names.header.as_str()), ("strowger", "x-call"));
    assert_eq!(http.places.named.values().collect::<Vec<_>>(), [&"127.0.0.1:7080".parse().unwrap()]);
    assert_eq!((http.places.port, http.idle), (None, Duration::from_secs(60)));
    assert_eq!(good(LEAST).http, None);
    let port = LEAST.to_owned() + "[http]\nlisten = \"127.0.0.1:8080\"\nserver_port = 80\n";
    assert_eq!(good(&port).http.unwrap().places.port, Some(80));
    bad(&server, &[("5:8: a server has `http`, but http.listen is not set", "add [http] with `listen`")]);
    bad(
        &(LEAST.to_owned() + "[http]\nlisten = \"127.0.0.1:8080\"\ncookie = \"a b\"\n"),
        &[
            ("6:10: no server can ever have HTTP", "http.server_port"),
            ("7:10: `a b` is not a name for a cookie", "letters"),
        ],
    );
    let clash = "[[listen]]\naddress = \"tcp:127.0.0.1:8080\"\n[http]\nlisten = \"127.0.0.1:8080\"\n";
    bad(
        &(server.replace("7080", "8080") + clash + "[api]\nlisten = \"127.0.0.1:8080\"\n"),
        &[
            (
                "http.listen 127.0.0.1:8080 is already used by the listener tcp:127.0.0.1:8080",
                "another port for HTTP",
            ),
            ("http.listen 127.0.0.1:8080 is already used by api.listen", "api.listen"),
            ("127.0.0.1:8080 is the load manager's own http.listen", "the server's own address"),
        ],
    );
}

#[test]
fn names_that_no_route_can_have_are_named() {
    let with = |names: &str| LEAST.replace("[[server]]", &format!("names = [{names}]\n[[server]]"));
    for (name, what, remedy) in [
        ("sip:sip.example.com", "is not a host name", "write \"sip.example.com\""),
        ("sips:alice@sip.example.com;lr", "is not a host name", "write \"sip.example.com\""),
        ("sip:203.0.113.9:5060", "is not a host name", "write \"203.0.113.9:5060\""),
        ("sip.example.com:5060", "has a port", "write \"sip.example.com\""),
        ("203.0.113.9", "has no port", "write the address with its port: \"203.0.113.9:5060\""),
        ("[2001:db8::1]", "has no port", "write the address with its port: \"[2001:db8::1]:5060\""),
        ("203.0.113.9:0", "is not an address that a Route can name", "address"),
        ("0.0.0.0:5060", "is not an address that a Route can name", "address"),
        ("*.example.com", "is a pattern", "write out each name"),
        ("m\u{fc}nchen.example", "is not a host name", "xn--"),
        ("", "is not a host name", "write a host name"),
        (".", "is not a host name", "write a host name"),
    ] {
        bad(&with(&format!("\"{name}\"")), &[(&format!(":3:9: `names`: `{name}` {what}"), remedy)]);
    }
    let names =
        good(&with("\"SIP.Example.com.\", \"192.0.2.9:5060\", \"[2001:DB8::1]:5062\"")).settings.names;
    assert_eq!(names, ["192.0.2.9:5060", "[2001:db8::1]:5062", "sip.example.com"]);
}

#[test]
fn a_performance_server_that_answers_anybody_is_warned_of() {
    let at = |place: &str, keys: &str| {
        let measure = "[[measure]]\nby = \"agent\"\naddress = \"10.0.0.1:5778\"\n";
        good(&format!("{LEAST}{measure}[perf]\nlisten = \"{place}\"\n{keys}")).notices.join("\n")
    };
    let key = "[keys]\nheartbeat = \"00112233445566778899aabbccddeeff\"\n";
    assert!(
        at("0.0.0.0:5779", "").contains(":9:10: the performance server answers everyone"),
        "{}",
        at("0.0.0.0:5779", "")
    );
    assert!(!at("0.0.0.0:5779", key).contains("answers everyone"));
    assert!(!at("127.0.0.1:5779", "").contains("answers everyone"));
}

#[test]
fn settings_without_effect_are_named() {
    let warned = |text: &str| good(&format!("{LEAST}{text}")).notices.join("\n");
    for (text, what) in [
        (
            "[affinity]\nkind = \"hash\"\nhash = \"modulo\"\n[[server]]\naddress = \"127.0.0.1:7001\"\nweight = 2\n",
            "weight",
        ),
        ("[affinity]\nkind = \"hash\"\n[health]\nslow_start_ms = 1000\n", "slow_start_ms"),
        ("[limits]\nsession_idle_seconds = 60\n", "session_idle_seconds"),
        ("[connections]\ntcp_alias = true\n", "tcp_alias"),
        ("[threads]\nmodel = \"one\"\nworkers = 2\n", "workers"),
        ("[heartbeat]\nperiod_ms = 100\n", "period_ms"),
        ("[perf]\nlisten = \"127.0.0.1:5779\"\n", "listen"),
        ("[health]\nprobe = \"off\"\nfail_after = 3\n", "fail_after"),
        ("[register]\naccept = \"all\"\n", "accept"),
        ("[register]\nwait_ms = 500\n", "wait_ms"),
        ("[hold_setup]\nkind = \"all\"\nheld_max = 0\n", "kind"),
        ("[drain]\nseconds = 0\nnew_calls = \"serve\"\n", "new_calls"),
        ("[api]\nopen_metrics = false\n", "open_metrics"),
        ("[http]\ncookie = \"a\"\n", "cookie"),
    ] {
        let said = warned(text);
        let line = said.lines().find(|line| line.contains(&format!("`{what}` has no effect: ")));
        assert!(line.is_some_and(|line| line.starts_with("warning: configuration:")), "{text}\n{said}");
    }
    let streams =
        LEAST.replace("udp:", "tcp:") + "[limits]\nsegments_max = 1\n[connections]\ntcp_alias = true\n";
    let said = good(&streams).notices.join("\n");
    assert!(said.contains("`segments_max` has no effect") && !said.contains("`tcp_alias`"), "{said}");
    let used = "[affinity]\nkind = \"session\"\n[limits]\nsession_idle_seconds = 60\n[health]\nslow_start_ms = 1000\n\
                [heartbeat]\nlisten = \"127.0.0.1:5777\"\nperiod_ms = 100\n[register]\nto = \"all\"\naccept = \"all\"\nwait_ms = 500\n";
    assert!(!warned(used).contains("has no effect"), "{}", warned(used));
}

#[test]
fn nothing_is_waited_for_at_the_end_where_the_next_start_knows_all() {
    let key = "[keys]\ntag = [\"1 00112233445566778899aabbccddeeff\"]\n";
    for (given, seconds) in [
        (key.to_owned(), 0),
        (key.to_owned() + "[affinity]\nkind = \"hash\"\n", 0),
        (key.to_owned() + "[affinity]\nkind = \"session\"\n", 10),
        (key.to_owned() + "[drain]\nseconds = 7\n", 7),
        (String::new(), 10),
        ("[drain]\nseconds = 0\n".into(), 0),
    ] {
        assert_eq!(good(&format!("{LEAST}{given}")).drain.time, Duration::from_secs(seconds), "{given}");
    }
}

#[test]
fn a_limit_of_calls_makes_the_load_manager_count_them() {
    let limited = |limits: &str| {
        let settings = good(&format!("{LEAST}{limits}")).settings;
        let server = &settings.servers[0];
        (server.priority, server.calls_max, server.calls_per_second_max, settings.count_calls)
    };
    assert_eq!(limited(""), (0, None, None, false));
    assert_eq!(limited("priority = 3\ncalls_per_second_max = 5\n"), (3, None, Some(5), false));
    assert_eq!(limited("calls_max = 10\n"), (0, Some(10), None, true));
    bad(&format!("{LEAST}calls_max = 0\n"), &[("calls_max", "write a number, 1 … 10000000")]);
}

#[test]
fn the_example_is_good() {
    let checked = good(include_str!("../../../docs/example.toml"));
    assert_eq!(checked.settings.listeners.len(), 2);
    assert_eq!(checked.settings.listeners[1].advertise, "192.0.2.1:5060".parse().unwrap());
    let named = |name: &str| LEAST.replace("[[server]]", &format!("advertise = \"{name}\"\n[[server]]"));
    for (written, known_as) in [("SBC.example.net.", "sbc.example.net"), ("sbc:5070", "sbc:5070")] {
        let checked = good(&named(written).replace("127.0.0.1:5060", "0.0.0.0:5060"));
        assert_eq!(checked.settings.listeners[0].known_as(), known_as);
        assert!(!checked.notices.join("").contains("advertise"), "{:?}", checked.notices);
    }
    let warned = good(&named("sbc.example.net").replace("127.0.0.1:5060", "127.0.0.1:5070")).notices.join("");
    assert!(warned.contains("write \"sbc.example.net:5070\""), "{warned}");
    bad(&named("10.0.0.300"), &[("`10.0.0.300` is not an address", "10.0.0.1:5060")]);
    assert_eq!(checked.settings.servers[1].weight, 2);
    assert_eq!(checked.settings.selection, Selection::Tlwl);
}

#[test]
fn a_server_without_transport_goes_by_udp_if_there_is_a_udp_listener() {
    assert_eq!(good(LEAST).settings.servers[0].transport, Transport::Udp);
    assert_eq!(good(&LEAST.replace("udp:", "tcp:")).settings.servers[0].transport, Transport::Tcp);
}

#[test]
fn all_mistakes_are_shown_at_once() {
    bad(
        "[[listen]]\nadress = \"udp:0.0.0.0:5060\"\n[[listen]]\naddress = \"udp:0.0.0.0:5060\"\n\
         [[server]]\naddress = \"10.0.0.1\"\nweight = 0\n[heartbeat]\ndecay_periods = 9\nperiod_ms = \"long\"\n[healt]\n",
        &[
            (":2:1: unknown key `adress` in [[listen]]", "did you mean `address`?"),
            (":1:1: `address` is missing in [[listen]]", "add `address"),
            (":4:11: 0.0.0.0 is not an address", "advertise"),
            (":7:10: `weight`: 0 is out of range", "1 … 1000"),
            (":9:17: `decay_periods`: 9 is out of range", "3 … 5"),
            (":10:13: `period_ms`: the value is a string", "number, 10 … 60000"),
            (":11:2: unknown section [healt]", "did you mean [health]?"),
        ],
    );
}

#[test]
fn one_mistake_one_message() {
    for (given, what, remedy) in [
        ("[affinity]\nkind = \"tga\"\n", ":6:8: `kind`: `tga` is not a known value", "did you mean `tag`?"),
        ("[affinity]\nkind = \"xyz\"\n", "`xyz` is not a known value", "tag, session, hash"),
        ("[affinity]\ntag_header = \"yes\"\n", "the value is a string", "true or false without quotes"),
        (
            "[affinity]\nkind = \"hash\"\n[selection]\nkind = \"cjsq\"\n",
            ":8:8: with affinity `hash`",
            "leave selection.kind",
        ),
        (
            "[[server]]\naddress = \"127.0.0.1:7000\"\n",
            ":6:11: server 127.0.0.1:7000 is written twice (first in line 4)",
            "once",
        ),
        ("[[server]]\naddress = \"127.0.0.1:5060\"\n", "own listener", "circles"),
        ("[[server]]\naddress = \"tcp:127.0.0.1:7001\"\n", "and there is none", "add a listener tcp:"),
        ("[[server]]\naddress = \"[::1]:7001\"\n", "for udp over IPv6", "IPv6 address"),
        (
            "[[server]]\naddress = \"sip..example.com\"\n",
            "neither an address nor a host name",
            "sip1.example.net",
        ),
        (
            "[[server]]\naddress = \"tcp:sip.example.com\"\n",
            "needs a listener for tcp",
            "add a listener tcp:",
        ),
        (
            "[[server]]\naddress = \"a.example\"\n[[server]]\naddress = \"A.example\"\n",
            "is written twice",
            "once",
        ),
        (
            "[[server]]\naddress = \"a.example\"\nhttp = \"10.0.0.1:80\"\n[http]\nlisten = \"10.0.0.9:80\"\nserver_port = 8080\n",
            "`http` is one address",
            "http.server_port",
        ),
        (
            "[[server]]\naddress = \"a.example\"\n[resolver]\nname_servers = [\"ns\"]\n",
            "`ns` is a name",
            "IP address",
        ),
        (
            "[[server]]\naddress = \"a.example\"\n[resolver]\nttl_min_seconds = 9\nttl_max_seconds = 8\n",
            "is more than `ttl_max_seconds`",
            "no more than ttl_max_seconds",
        ),
        ("[[server]]\naddress = \"127.0.0.1:0\"\n", "has port 0", "1 to 65535"),
        ("[[server]]\naddress = \"sctp:127.0.0.1:1\"\n", "transport `sctp` is not supported", "tcp: or tls:"),
        ("[[server]]\naddress = \"sip:127.0.0.1\"\n", "is a URI", "udp:127.0.0.1"),
        (
            "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n",
            "UDP 127.0.0.1:5060 is already used",
            "another port or address",
        ),
        (
            "[[listen]]\naddress = \"udp:0.0.0.0:5060\"\nadvertise = \"127.0.0.2\"\n",
            "is already used",
            "another port or address",
        ),
        (
            "[[listen]]\naddress = \"udp:127.0.0.1:5061\"\nadvertise = \"::1\"\n",
            "different IP versions",
            "each IP version",
        ),
        (
            "[heartbeat]\nlisten = \"127.0.0.1:5060\"\n",
            "is already used by the listener udp:",
            "choose another port",
        ),
        (
            "[heartbeat]\nlisten = \"127.0.0.1:5777\"\ngroup = \"10.0.0.1\"\n",
            "not a multicast address",
            "224.0.0.0/4",
        ),
        ("[heartbeat]\ngroup = \"224.0.0.1\"\n", "without `listen`", "add `listen`"),
        ("[keys]\nfile = \"/nonexistent\"\n", "/nonexistent cannot be read", "strowger key"),
        ("[keys]\ntag = [\"1 abcd\"]\n", "a tag key has 4 hex digits", "32 hex digits"),
        ("[keys]\ntag = [\"300 00112233445566778899aabbccddeeff\"]\n", "`300` is not a key id", "0 to 255"),
        (
            "[keys]\ntag = [\"1 00112233445566778899aabbccddeeff\", \"1 10112233445566778899aabbccddeeff\"]\n",
            "two tag keys have the id 1",
            "--id N",
        ),
        ("[server]\nweight = 1\n", "", ""),
        ("[limits]\nnew_calls_max = 99999999999999999999\n", "", ""),
    ] {
        let text = format!("{LEAST}{given}");
        // A section head that clashes with another is a matter of TOML itself, as is a number beyond 64 bits.
        if what.is_empty() {
            assert!(config::parse(&text).is_err(), "{given}");
        } else {
            bad(&text, &[(what, remedy)]);
        }
    }
}

#[test]
fn nothing_to_listen_on_and_nobody_to_serve() {
    bad("", &[("there is no listener", "add [[listen]]")]);
    bad("[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n", &[("can never know a server", "--server")]);
}

#[test]
fn single_brackets_where_double_ones_belong() {
    bad(
        "[listen]\naddress = \"udp:127.0.0.1:5060\"\n",
        &[("[listen] may be repeated", "write [[listen]]"), ("there is no listener", "add [[listen]]")],
    );
}

#[test]
fn broken_syntax_has_its_line() {
    bad("[[listen]]\naddress = \n", &[(":2:11:", "TOML")]);
    for (line, remedy) in [
        ("kind = tag", "write text in quotes: kind = \"tag\""),
        ("address = udp:10.0.0.1:5060 # ours", "write text in quotes: address = \"udp:10.0.0.1:5060\""),
        ("listen = 10.0.0.1:5777", "write text in quotes: listen = \"10.0.0.1:5777\""),
        ("listen { udp }", "lines such as `key = \"value\"`"),
        (
            "kind = \"tag\"\nkind = \"hash\"",
            "only [[listen]], [[server]], [[certificate]], [[measure]] may be repeated",
        ),
    ] {
        let shown = config::parse(&format!("[affinity]\n{line}\n")).unwrap_err().to_string();
        assert!(shown.contains(remedy), "{shown}");
    }
}

#[test]
fn a_key_file_is_read_and_its_permissions_looked_at() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("strowger-config-{}.keys", std::process::id()));
    let text = "# farm\ntag 7 00112233445566778899aabbccddeeff\ntag 6 ffeeddccbbaa99887766554433221100 # old\n\
                heartbeat 00112233445566778899aabbccddeeff\n";
    std::fs::write(&path, text).unwrap();
    let file = format!("{LEAST}[keys]\nfile = {path:?}\n");

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let checked = good(&file);
    assert_eq!(checked.settings.keys.tag.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [7, 6]);
    assert_eq!(checked.settings.keys.heartbeat.as_ref().map(|key| key.len()), Some(16));
    assert!(checked.notices.is_empty(), "{:?}", checked.notices);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(good(&file).notices[0].contains("others can read the key file"));

    std::fs::write(&path, "tag 7 00\n").unwrap();
    bad(&file, &[(".keys:1: a tag key has 2 hex digits", "strowger key")]);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn fresh_keys_are_good_and_different() {
    let (one, other) = (config::fresh_tag_line(Some(3)).unwrap(), config::fresh_tag_line(Some(3)).unwrap());
    assert_ne!(one, other);
    let text = format!("{one}\n{}\n", config::fresh_heartbeat_line().unwrap());
    let keys = config::KeyFile::parse(&text).unwrap_or_else(|(line, what, _)| panic!("{line}: {what}"));
    assert_eq!(keys.tag[0].0, 3);
    assert_eq!(keys.heartbeat.map(|key| key.len()), Some(32));
}

#[test]
fn heartbeats_from_afar_without_a_key_are_warned_of() {
    let checked = good(&format!("{LEAST}[heartbeat]\nlisten = \"0.0.0.0:5777\"\n"));
    assert!(checked.notices.iter().any(|notice| notice.contains("not signed")), "{:?}", checked.notices);
}

#[test]
fn keys_in_a_file_that_others_can_read_are_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = std::env::temp_dir().join(format!("strowger-config-{}.toml", std::process::id()));
    std::fs::write(&path, format!("{LEAST}[keys]\ntag = [\"1 00112233445566778899aabbccddeeff\"]\n"))
        .unwrap();
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let checked = config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(
            checked.notices.iter().any(|notice| notice.contains("others can read")),
            warned,
            "{mode:o}"
        );
        assert_eq!(checked.settings.keys.tag[0].0, 1);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_without_end_is_no_configuration() {
    let problems = config::load(std::path::Path::new("/dev/zero")).expect_err("no configuration");
    assert!(problems.to_string().contains("larger than 4 MiB"), "{problems}");
}

#[test]
fn load_managers_that_tell_each_other_need_a_port_and_a_key() {
    let keys = "[keys]\ntag = [\"1 00112233445566778899aabbccddeeff\"]\n";
    let to = "to = [\"192.0.2.2:5778\", \"[2001:db8::1]:5778\", \"here\"]\n";
    let peers =
        good(&format!("{LEAST}{keys}[peers]\nlisten = \"127.0.0.1:5778\"\nto = [\"127.0.0.1:5779\"]\n"))
            .settings
            .peers;
    assert_eq!(peers.map(|peers| peers.to), Some(vec!["127.0.0.1:5779".parse().unwrap()]));
    assert_eq!(good(LEAST).settings.peers, None);
    bad(&format!("{LEAST}[peers]\n{to}"), &[(":6:6: `peers` without `listen`", "add `listen`")]);
    bad(
        &format!("{LEAST}[peers]\nlisten = \"127.0.0.1:5060\"\n{to}group = \"192.0.2.9\"\n"),
        &[
            ("is already used by the listener udp:", "another port for peers.listen"),
            ("only with a shared key", "strowger key"),
            ("different IP versions", "the same IP version"),
            ("`here` is not an address", "192.0.2.2:5778"),
            ("is not a multicast address", "224.0.0.0/4"),
        ],
    );
}
