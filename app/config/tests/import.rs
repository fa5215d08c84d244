//! Files of Kamailio and OpenSIPS with everything in them that such files have: what is written, and what is said of the rest.
//! `STROWGER_GOLDEN=1` writes the expected files anew.

use std::fmt::Write as _;

use proptest::prelude::*;
use strowger_config as config;

use config::import::{Imported, Options, Program, import};

const LIST: &str = include_str!("import/dispatcher.list");
const CSV: &str = include_str!("import/dispatcher.csv");
const DBTEXT: &str = include_str!("import/dispatcher.dbtext");
const SQL: &str = include_str!("import/load_balancer.sql");

fn listen(text: &str) -> Vec<config::Endpoint> {
    vec![config::parse_endpoint(text).unwrap()]
}

/// The configuration, and all remarks behind it.
fn told(program: Program, text: &str, options: &Options) -> String {
    let Imported { text, remarks } = import(program, text, options);
    let mut told = match text {
        Ok(text) => text,
        Err((what, remedy)) => format!("error: {what}\n  remedy: {remedy}\n"),
    };
    told.push_str("\n--- remarks ---\n");
    for remark in remarks {
        let _ = writeln!(told, "{}: {}\n  instead: {}", remark.line, remark.what, remark.instead);
    }
    told
}

fn check(name: &str, program: Program, text: &str, options: &Options) {
    let told = told(program, text, options);
    let path = format!("{}/tests/import/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("STROWGER_GOLDEN").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(told == expected, "{name} is otherwise now; if that is right: STROWGER_GOLDEN=1\n{told}");
    if let Some((written, _)) = told.split_once("\n--- remarks ---\n").filter(|_| !told.starts_with("error"))
    {
        config::parse(written).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    }
}

#[test]
fn kamailios_list_with_everything_in_it() {
    check("list.expected", Program::Kamailio, LIST, &Options::default());
}

#[test]
fn a_set_by_its_number_with_an_algorithm_and_a_listener() {
    let options = Options {
        set: Some(2),
        algorithm: Some(8),
        listen: listen("udp:198.51.100.9:5060"),
        ..Options::default()
    };
    check("list_set_2.expected", Program::Kamailio, LIST, &options);
}

#[test]
fn kamailios_table_with_call_load() {
    let options = Options { set: Some(9), algorithm: Some(10), ..Options::default() };
    check("csv_set_9.expected", Program::Kamailio, CSV, &options);
    check("csv.expected", Program::Kamailio, CSV, &Options::default());
}

#[test]
fn opensipss_dispatcher_in_dbtext() {
    check("dbtext.expected", Program::OpenSips, DBTEXT, &Options::default());
}

#[test]
fn opensipss_load_balancer_in_a_dump() {
    check("sql.expected", Program::OpenSips, SQL, &Options { set: Some(1), ..Options::default() });
    let options = Options { set: Some(1), resource: Some("pstn".into()), ..Options::default() };
    check("sql_pstn.expected", Program::OpenSips, SQL, &options);
}

#[test]
fn settings_of_a_server_come_through() {
    let list = "1 sip:192.0.2.1 0 20 maxload=7\n1 sip:192.0.2.2 0 10\n1 sip:192.0.2.3 0 20\n";
    let servers = |algorithm| {
        let options = Options { algorithm: Some(algorithm), ..Options::default() };
        let text = import(Program::Kamailio, list, &options).text.unwrap();
        let servers = config::parse(&text).unwrap().settings.servers;
        servers.iter().map(|server| (server.priority, server.calls_max)).collect::<Vec<_>>()
    };
    assert_eq!(servers(8), [(0, None), (1, None), (0, None)], "the highest is the first");
    assert_eq!(servers(10), [(0, Some(7)), (0, None), (0, None)]);
    assert_eq!(servers(4), [(0, None), (0, None), (0, None)]);
}

#[test]
fn a_file_without_destinations_says_what_is_missing() {
    for (program, text, expected) in [
        (Program::Kamailio, "", "the file has no destinations"),
        (Program::Kamailio, "# nothing\n", "the file has no destinations"),
        (Program::Kamailio, "1 sip:gw.example.com\n", "no destination of set 1 can be a server"),
        (Program::Kamailio, "setid,destiny\n1,2\n", "no destinations of Kamailio's dispatcher"),
        (Program::OpenSips, "", "the file has no rows"),
        (Program::OpenSips, "a,b\n1,2\n", "neither the columns of dispatcher nor those of load_balancer"),
        (
            Program::OpenSips,
            "INSERT INTO load_balancer VALUES (1,2);",
            "does not name the columns of load_balancer",
        ),
    ] {
        let (what, remedy) = import(program, text, &Options::default()).text.unwrap_err();
        assert!(what.contains(expected) && !remedy.is_empty(), "{text:?}: {what}; {remedy}");
    }
    let options = Options { set: Some(3), ..Options::default() };
    let (what, remedy) = import(Program::Kamailio, LIST, &options).text.unwrap_err();
    assert_eq!((what.as_str(), remedy.as_str()), ("there is no set 3", "the file has the sets 1, 2, 7"));
}

#[test]
fn columns_come_from_the_insert_itself_too() {
    let text = "INSERT INTO `opensips`.`dispatcher` (`destination`, setid, \"weight\") VALUES\n\
        ('sip:192.0.2.1', 4, 3), ('sip:192.0.2.2', 4, NULL);";
    let written = import(Program::OpenSips, text, &Options::default()).text.unwrap();
    let servers = config::parse(&written).unwrap().settings.servers;
    assert_eq!(servers.iter().map(|server| server.weight).collect::<Vec<_>>(), [3, 1]);
}

fn any_options() -> impl Strategy<Value = Options> {
    (prop::option::of(-2i64..10), prop::option::of(0u64..16), prop::option::of("[a-z]{0,5}"))
        .prop_map(|(set, algorithm, resource)| Options { set, algorithm, resource, listen: Vec::new() })
}

/// Whatever comes: a configuration that passes the checks, or an error that is about the file.
fn answers(text: &str, options: &Options) {
    for program in [Program::Kamailio, Program::OpenSips] {
        let Imported { text: written, remarks } = import(program, text, options);
        if let Err((what, remedy)) = written {
            assert!(!what.contains("would not be good") && !remedy.is_empty(), "{text:?}: {what}");
        }
        for remark in remarks {
            assert!(remark.line <= text.lines().count().max(1), "{remark:?}");
            assert!(!remark.what.is_empty() && !remark.instead.is_empty(), "{remark:?}");
            assert!(!remark.what.chars().chain(remark.instead.chars()).any(char::is_control), "{remark:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text_gives_an_answer(text in "\\PC{0,200}", options in any_options()) {
        answers(&text, &options);
    }

    #[test]
    fn any_characters_of_such_files_give_an_answer(text in "[0-9a-z:;,.()'\"`\\\\=# \\n@\\[\\]?-]{0,200}", options in any_options()) {
        answers(&text, &options);
        answers(&format!("1 {text}"), &options);
        answers(&format!("INSERT INTO dispatcher (setid,destination,weight) VALUES ({text}"), &options);
        answers(&format!("setid(int) destination(string) weight(string)\n{text}"), &options);
        answers(&format!("setid,destination,weight,priority,socket,attrs\n{text}"), &options);
    }

    #[test]
    fn any_piece_replaced_gives_an_answer(
        file in prop::sample::select(vec![LIST, CSV, DBTEXT, SQL]),
        (at, length) in (0usize..6000, 0usize..60),
        with in "[ -~\\n\u{e9}]{0,20}",
        options in any_options(),
    ) {
        let mut bytes = file.as_bytes().to_vec();
        let at = at.min(bytes.len());
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        answers(&String::from_utf8_lossy(&bytes), &options);
    }
}
