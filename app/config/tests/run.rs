//! The configuration of `strowger run`: what is left out is added, what is written stays, and every mistake has its place.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use strowger_config::{Generated, RunForm, fresh_heartbeat_line, fresh_tag_line, load_run, parse, run_form};

/// A folder with a key file in it, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("strowger-config-run-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let keys = path.join("farm.keys");
        fs::write(&keys, format!("{}\n{}\n", fresh_tag_line(None).unwrap(), fresh_heartbeat_line().unwrap()))
            .unwrap();
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
        Folder(path)
    }

    fn generated(&self) -> Generated {
        let heartbeat = "127.0.0.1:15060".parse().unwrap();
        Generated { heartbeat, key_file: self.0.join("farm.keys"), control: self.0.join("control.sock") }
    }

    /// The problems of this file.
    fn refused(&self, text: &str) -> String {
        let path = self.0.join("farm.toml");
        fs::write(&path, text).unwrap();
        load_run(&path, &self.generated()).expect_err("mistakes that were not found").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn form(listen: &[&str], to: &[&str]) -> RunForm {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    RunForm { listen: owned(listen), to: owned(to), ..RunForm::default() }
}

#[test]
fn two_options_are_a_farm() {
    let folder = Folder::new("options");
    let run = run_form(&form(&["udp:127.0.0.1:5060"], &["sip:192.0.2.9"]), &folder.generated()).unwrap();
    assert_eq!((run.engines, run.workers, run.state.len()), (3, 1, 0));
    assert_eq!(run.to, ["sip:192.0.2.9"]);
    assert_eq!(run.through, ("127.0.0.1:5060".parse().unwrap(), "127.0.0.1:5060".parse().unwrap()));
    assert_eq!(run.heartbeats, ("127.0.0.1:15060".parse().unwrap(), Duration::from_millis(200)));
    assert_eq!(run.key_file, Some(folder.0.join("farm.keys")));
    // The load manager reads the same.
    let lb = parse(&run.lb_text).unwrap();
    assert_eq!(lb.process.control, folder.0.join("control.sock"));
    assert!(!lb.random_keys);
}

#[test]
fn what_is_written_stays() {
    let folder = Folder::new("written");
    let path = folder.0.join("own.toml");
    let text = "[[listen]]\naddress = \"tcp:127.0.0.1:5060\"\n[[listen]]\naddress = \"udp:127.0.0.1:5070\"\n\
                [heartbeat]\nlisten = \"0.0.0.0:5777\"\n[run]\nto = [\"sip:a@192.0.2.9\", \"sip:192.0.2.10\"]\n\
                engines = 5\nstate = [\"192.0.2.20:6379\"]\n[hold_setup]\nheld_max = 7";
    fs::write(&path, text).unwrap();
    let run = load_run(&path, &folder.generated()).unwrap();
    assert_eq!((run.engines, run.state.len(), run.to.len()), (5, 1, 2));
    assert_eq!(run.through.0, "127.0.0.1:5070".parse().unwrap());
    assert_eq!(run.heartbeats, ("127.0.0.1:5777".parse().unwrap(), Duration::from_secs(1)));
    assert_eq!(run.lb.settings.held_max, 7);
    assert!(run.lb_text.starts_with(text));
}

#[test]
fn mistakes_have_their_place() {
    let folder = Folder::new("mistakes");
    let udp = "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n";
    for (text, named) in [
        (format!("{udp}[run]\nto = [\"192.0.2.9\"]\n"), "farm.toml:4:6: 192.0.2.9: not a SIP URI"),
        (
            format!("{udp}[run]\nto = [\"sip:a\"]\nengines = 0\n"),
            "farm.toml:5:11: `engines`: 0 is out of range",
        ),
        (format!("{udp}[run]\nfrom = []\n"), "farm.toml:4:1: unknown key `from` in [run]"),
        (udp.to_owned(), "nobody is named who gets the calls"),
        (
            "[[listen]]\naddress = \"tcp:127.0.0.1:5060\"\n[run]\nto = [\"sip:a\"]\n".to_owned(),
            "farm.toml:2:11: engines send through a listener for UDP",
        ),
        (
            format!("{udp}[heartbeat]\nperiod_ms = 100\n[run]\nto = [\"sip:a\"]\n"),
            "engines are known by their heartbeats",
        ),
    ] {
        let shown = folder.refused(&text);
        assert!(shown.contains(named) && shown.contains("remedy:"), "no `{named}` in:\n{shown}");
    }
    let mut wrong = form(&["udp:x"], &["192.0.2.9"]);
    wrong.once.push(("engines", "engines", "99".to_owned()));
    let shown = run_form(&wrong, &folder.generated()).unwrap_err().to_string();
    for named in ["--listen udp:x: ", "--to 192.0.2.9: not a SIP URI", "--engines 99: 99 is out of range"] {
        assert!(shown.contains(named), "no `{named}` in:\n{shown}");
    }
}

#[test]
fn lb_and_check_read_a_file_of_run() {
    let text = "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[run]\nto = [\"sip:192.0.2.9\"]\n";
    assert!(parse(text).is_ok());
    let shown = parse(&text.replace("sip:", "")).unwrap_err().to_string();
    assert!(shown.contains("4:6: 192.0.2.9: not a SIP URI"), "{shown}");
}
