//! The program as its users meet it: what it says, with which status it ends, and the demo, which loses no call.

mod mistakes;

use std::process::{Command, Output, Stdio};

fn strowger(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strowger")).args(arguments).output().expect("the program can be run")
}

fn check(arguments: &[&str], status: i32, expected: &[&str]) {
    let output = strowger(arguments);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}:\n{said}");
    for what in expected {
        assert!(said.contains(what), "{arguments:?}: no `{what}` in:\n{said}");
    }
}

#[test]
fn alone_it_shows_the_page_of_its_verbs() {
    let verbs = ["demo", "run", "engine", "state", "lb", "agent", "status", "top", "why", "check"];
    let lines: Vec<String> = verbs.iter().map(|verb| format!("\n  {verb} ")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check(&[], 0, &lines);
    for asked in ["help", "--help"] {
        assert_eq!(strowger(&[]).stdout, strowger(&[asked]).stdout, "{asked}");
    }
}

/// What a verb says that prints there, on the other stream, and its status.
fn printing_to(stdout: Stdio, stderr: Stdio, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .output()
        .expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said.into_owned())
}

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into()
}

#[test]
fn no_verb_panics_when_its_output_is_closed_or_full() {
    let folder = std::env::temp_dir().join(format!("strowger-print-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (good, bad) = (folder.join("good.toml"), folder.join("bad.toml"));
    let text = "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[server]]\naddress = \"127.0.0.1:7000\"\n";
    std::fs::write(&good, text).unwrap();
    std::fs::write(&bad, "[[listne]]\n".repeat(100)).unwrap();
    let (good, bad) = (good.to_str().unwrap(), bad.to_str().unwrap());
    for arguments in [
        &[][..],
        &["--help"],
        &["--version"],
        &["lb", "--help"],
        &["check", good],
        &["check", "--reference"],
        &["check", "--openapi"],
        &["check", "--metrics"],
        &["key"],
        &["key", "--token"],
    ] {
        assert_eq!(
            printing_to(closed(), Stdio::piped(), arguments),
            (Some(0), String::new()),
            "{arguments:?}"
        );
        let (status, said) = printing_to(full(), Stdio::piped(), arguments);
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: standard output: No space left"), "{arguments:?}: {said}");
    }
    let nobody = folder.join("nobody.sock");
    let nobody = nobody.to_str().unwrap();
    for (arguments, status) in [
        (&["check", bad][..], 64),
        (&["statsu"], 64),
        (&["lb", "--config", bad], 64),
        (&["perf", "--config", bad], 64),
        (&["answer", "--listen", "nonsense"], 64),
        (&["demo", "--bind", "nonsense"], 64),
        (&["status", "--control", nobody], 1),
        (&["top", "--control", nobody], 1),
        (&["why", "--control", nobody, "a"], 1),
        (&["ctl", "status", "--control", nobody], 1),
        (&["agent", "status", "--control", nobody], 1),
    ] {
        for stderr in [closed(), full()] {
            let (ended, said) = printing_to(Stdio::piped(), stderr, arguments);
            assert_eq!((ended, said.as_str()), (Some(status), ""), "{arguments:?}");
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_role_explains_itself_with_examples() {
    for role in [
        "lb", "agent", "answer", "status", "top", "why", "perf", "ctl", "check", "demo", "key", "run",
        "engine", "state", "import",
    ] {
        check(&[role, "--help"], 0, &["Usage:", "Examples:", &format!("strowger {role}")]);
    }
}

#[test]
fn a_bad_command_line_ends_with_64_and_a_remedy() {
    check(&["statsu"], 64, &["unrecognized subcommand", "status"]);
    check(&["lb"], 64, &["--listen"]);
    check(&["lb", "--listen", "udp:127.0.0.1:5060", "--affinty", "tag"], 64, &["--affinity"]);
    check(
        &[
            "lb",
            "--listen",
            "udp:0.0.0.0:5060",
            "--server",
            "10.0.0.1",
            "--server",
            "10.0.0.1",
            "--affinity",
            "tga",
        ],
        64,
        &["--affinity tga", "did you mean `tag`?"],
    );
    check(&["answer", "--listen", "udp:0.0.0.0:7000"], 64, &["remedy:"]);
    check(
        &["answer", "--listen", "tls:127.0.0.1:7001"],
        64,
        &["tls:127.0.0.1:7001: a listener with TLS needs a certificate", "--certificate FILE --key FILE"],
    );
    check(
        &["answer", "--listen", "tls:127.0.0.1:7001", "--certificate", "missing.pem", "--key", "missing.key"],
        64,
        &["--certificate missing.pem: ", "remedy:"],
    );
    check(
        &["answer", "--listen", "ws:127.0.0.1:7001"],
        64,
        &["ws:127.0.0.1:7001", "remedy: listen on udp, tcp or tls"],
    );
    check(&["answer", "--failure-permille", "1001"], 64, &["0..=1000"]);
    let agent = |sip: &str, to: &str, expected: &[&str]| {
        check(&["agent", "--sip", sip, "--to", to, "--", "true"], 64, expected);
    };
    agent(
        "10.0.0.11",
        "192.0.2.1",
        &["--to", "`192.0.2.1` has no port", "remedy: write the port, too: 192.0.2.1:PORT"],
    );
    agent(
        "sip.example.com",
        "192.0.2.1:5777",
        &["`sip.example.com` is a name", "remedy: write the IP address"],
    );
    check(
        &["ctl", "weight", "10.0.0.11:5060", "0"],
        64,
        &["from 1 to 1000", "remedy: ", "`drain` the server"],
    );
    check(&["demo", "--only", "lb", "--selection", "fastest"], 64, &["--selection fastest", "remedy: "]);
    let listen = ["lb", "--listen", "udp:127.0.0.1:5060", "--server", "10.0.0.1"];
    check(
        &[&listen[..], &["--heartbeat", "::1"]].concat(),
        64,
        &["--heartbeat ::1", "write the port, too: [::1]:PORT"],
    );
}

#[test]
fn a_control_socket_that_cannot_be_had_is_told_with_a_remedy() {
    let folder = std::env::temp_dir();
    let file = folder.join(format!("strowger-no-socket-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    for (path, expected) in [
        ("/nonexistent/x.sock", "remedy: make the folder"),
        (file.to_str().unwrap(), "remedy: choose another path"),
        (&"x".repeat(200), "at most 107 bytes long"),
    ] {
        let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("udp:127.0.0.1:{port}");
        check(
            &["lb", "--listen", &listen, "--server", "127.0.0.1:9", "--control", path],
            1,
            &["control socket ", expected, "(--control)"],
        );
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_file_is_checked_without_starting_anything() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/example.toml");
    check(
        &["check", example],
        0,
        &["good", "listens on UDP 0.0.0.0:5060, known to others as 192.0.2.1:5060", "affinity tag"],
    );
    check(&["check", "/nonexistent"], 64, &["/nonexistent: cannot be read", "remedy:"]);
    check(&["lb", "--config", "/nonexistent"], 64, &["/nonexistent: cannot be read"]);
}

#[test]
fn a_list_of_kamailio_becomes_a_configuration_that_is_good() {
    let folder = std::env::temp_dir();
    let name = |what: &str| {
        let file = folder.join(format!("strowger-import-{}-{what}", std::process::id()));
        file.to_str().expect("a path in UTF-8").to_owned()
    };
    let (list, made) = (name("dispatcher.list"), name("farm.toml"));
    std::fs::write(&list, "1 sip:192.0.2.1 0 0 duid=a\n1 sip:gw.example.com\n")
        .expect("a file can be written");
    let _ = std::fs::remove_file(&made);
    let names = ["dispatcher.list:1: duid=a", "dispatcher.list:2: `gw.example.com` is a name", "  instead: "];
    check(&["import", "kamailio", &list, "-o", &made, "--listen", "udp:192.0.2.9:5060"], 0, &names);
    check(&["check", &made], 0, &["farm.toml: good", "server 192.0.2.1:5060 by UDP, weight 1, priority 0"]);
    check(&["import", "kamailio", &list], 0, &["address = \"udp:192.0.2.1:5060\""]);
    check(
        &["import", "kamailio", &list, "-o", &made],
        64,
        &["cannot be written", "remedy: choose another name"],
    );
    check(&["import", "opensips", &list], 64, &["neither the columns", "remedy: "]);
    check(
        &["import", "kamailio", &list, "--set", "9"],
        64,
        &["there is no set 9", "the file has the sets 1"],
    );
    for file in [list, made] {
        std::fs::remove_file(file).expect("the file is there");
    }
}

#[test]
fn a_file_and_the_short_form_exclude_each_other() {
    for (role, option, value) in [
        ("lb", "--listen", "udp:127.0.0.1:5060"),
        ("lb", "--server", "127.0.0.1:7000"),
        ("lb", "--hold-setup", "all"),
        ("perf", "--agent", "127.0.0.1:5778"),
        ("perf", "--poll-ms", "1000"),
    ] {
        let expected = ["'--config <FILE>' cannot be used with", option];
        check(&[role, "--config", "/nonexistent", option, value], 64, &expected);
    }
}

#[test]
fn keys_are_lines_of_a_key_file() {
    check(&["key", "--id", "7"], 0, &["tag 7 "]);
    check(&["key", "--heartbeat"], 0, &["heartbeat "]);
    check(&["key", "--token"], 0, &["change "]);
    check(&["key", "--token", "--read"], 0, &["read "]);
    assert_ne!(strowger(&["key"]).stdout, strowger(&["key"]).stdout);
}

#[test]
fn status_without_a_load_manager_says_what_to_do() {
    check(&["status", "--control", "/nonexistent/x.sock"], 1, &["/nonexistent/x.sock", "remedy:"]);
}

#[test]
fn the_demo_loses_no_call() {
    for kill in ["server", "machine"] {
        let arguments =
            ["demo", "--only", "lb", "--seconds", "5", "--calls-per-second", "40", "--kill", kill];
        check(&arguments, 0, &["took the server out of the farm after", "No call was lost."]);
    }
    let arguments = ["demo", "--seconds", "8", "--calls-per-second", "20"];
    check(&arguments, 0, &["2 engines were killed with -9", "No call was lost, and none rang twice."]);
}

#[test]
fn the_demo_loses_no_call_with_a_primary_that_dies() {
    check(
        &["demo", "--redis", "--seconds", "8", "--calls-per-second", "20"],
        0,
        &[
            "2 engines were killed with -9",
            "A primary of 3 was killed with -9; its replica took over after",
            "No call was lost, and none rang twice.",
        ],
    );
}

#[test]
fn a_demo_without_redis_says_how_to_get_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(["demo", "--redis"])
        .env("PATH", "/nonexistent")
        .output()
        .expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no redis-server") && said.contains("remedy: install one"), "{said}");
}

#[test]
fn each_port_that_is_taken_is_told_by_its_key() {
    let file = std::env::temp_dir().join(format!("strowger-taken-{}.toml", std::process::id()));
    let (datagrams, stream) = (
        std::net::UdpSocket::bind("127.0.0.1:0").unwrap(),
        std::net::TcpListener::bind("127.0.0.1:0").unwrap(),
    );
    let (udp, tcp) = (datagrams.local_addr().unwrap(), stream.local_addr().unwrap());
    for (section, taken) in [("heartbeat", udp), ("peers", udp), ("api", tcp), ("perf", tcp)] {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            "[[listen]]\naddress = \"udp:{free}\"\n[[server]]\naddress = \"127.0.0.1:9\"\n\
             [{section}]\nlisten = \"{taken}\"\n[control]\npath = \"{}.sock\"\n\
             [keys]\ntag = [\"7 00112233445566778899aabbccddeeff\"]\n",
            file.display()
        );
        std::fs::write(&file, text).unwrap();
        let place = format!("cannot listen on {taken} ({section}.listen)");
        check(&["lb", "--config", file.to_str().unwrap()], 1, &[&place, "remedy: ", "ss -ln"]);
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_an_agent_cannot_have_is_told_with_a_remedy() {
    let holder = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (option, value, remedy) in [
        ("--state-file", "/nonexistent/state", "remedy: make the folder"),
        ("--control", "/nonexistent/agent.sock", "remedy: make the folder"),
        ("--query", "192.0.2.77:5778", "remedy: `ip address`"),
        ("--query", &taken, "remedy: stop the program that uses it"),
    ] {
        let arguments = ["agent", "--sip", "127.0.0.1:9", "--to", "127.0.0.1:9", option, value, "--", "true"];
        check(&arguments, 2, &[&format!("{option} {value}: "), remedy]);
    }
}
