//! The short form of the command line ends in the same checks as a file.

use lb::settings::{Affinity, Selection, Threads};
use sip::Transport;
use strowger_config::{ShortForm, short_form};

fn given(listen: &[&str], server: &[&str]) -> ShortForm {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    ShortForm { listen: owned(listen), server: owned(server), ..ShortForm::default() }
}

fn bad(form: &ShortForm, expected: &[&str]) {
    let problems = short_form(form).expect_err("mistakes that were not found");
    let shown = problems.to_string();
    for what in expected {
        assert!(shown.contains(what), "no `{what}` in:\n{shown}");
    }
}

#[test]
fn the_shortest_form() {
    let checked = short_form(&given(&["udp:127.0.0.1:5060"], &["127.0.0.1:7000", "127.0.0.1:7001"])).unwrap();
    assert_eq!(checked.settings.servers.len(), 2);
    assert_eq!(checked.settings.servers[0].transport, Transport::Udp);
    assert_eq!(checked.settings.affinity, Affinity::Tag);
}

#[test]
fn every_option_reaches_its_setting() {
    let form = given(&["tcp:[::1]:5060"], &["tcp:[::1]:7000"])
        .with("affinity", "session")
        .with("selection", "tjsq")
        .with("workers", "3")
        .with("heartbeat", "127.0.0.1:5777")
        .with("control", "/tmp/x.sock");
    let checked = short_form(&form).unwrap();
    assert_eq!(checked.settings.affinity, Affinity::Session);
    assert_eq!(checked.settings.selection, Selection::Tjsq);
    assert_eq!(checked.settings.threads, Threads::PerCore { workers: 3 });
    assert_eq!(checked.settings.heartbeat.listen, Some("127.0.0.1:5777".parse().unwrap()));
    assert_eq!(checked.process.control.to_str(), Some("/tmp/x.sock"));
}

#[test]
fn mistakes_name_their_option() {
    let form = given(&["udp:x"], &[]).with("affinity", "tga").with("workers", "99");
    bad(
        &form,
        &[
            "--listen udp:x: `x` is a name",
            "--affinity tga: `tga` is not a known value",
            "did you mean `tag`?",
            "--workers 99: 99 is out of range",
        ],
    );
    let form = given(&["udp:0.0.0.0:5060"], &["10.0.0.1", "10.0.0.1"])
        .with("affinity", "hash")
        .with("selection", "score");
    bad(
        &form,
        &[
            "--selection score: with affinity `hash`",
            "--listen udp:0.0.0.0:5060: 0.0.0.0 is not an address",
            "--server 10.0.0.1: server 10.0.0.1:5060 is written twice",
        ],
    );
}
