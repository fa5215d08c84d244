//! The files in packaging/ name only verbs, options and keys that this program has: each command line in them is read by the program's
//! own definitions, each configuration by the program's own checks. Units that would start nothing are found here, not by
//! those who install them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Folder, Plan};

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

fn text(name: &str) -> String {
    let path = packaging().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The units: name and text.
fn units() -> Vec<(String, String)> {
    let entries = fs::read_dir(packaging().join("systemd")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut units: Vec<_> = names.map(|name| (name.clone(), text(&format!("systemd/{name}")))).collect();
    units.sort();
    units
}

/// The values that a unit gives a setting.
fn values<'a>(unit: &'a str, setting: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(setting)?.strip_prefix('=')).collect()
}

/// The value of a variable in the unit's file of variables. The agent's file has the name of its server in it.
fn variable(unit: &str, name: &str) -> String {
    let files = values(unit, "EnvironmentFile");
    let [file] = files[..] else { panic!("{} files of variables", files.len()) };
    let file = file.strip_prefix("/etc/strowger/").unwrap().replace("-%i", "");
    let text = text(&format!("etc/{file}"));
    let found: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect();
    let [value] = found[..] else { panic!("{file} sets {name} {} times", found.len()) };
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("a value in quotes").to_owned()
}

/// The words of a command, with the variables in their place.
fn words(unit: &str, line: &str) -> Vec<String> {
    let one = |word: &str| match word.strip_prefix('$') {
        Some(name) if name != "MAINPID" => variable(unit, name).split(' ').map(str::to_owned).collect(),
        _ => vec![word.to_owned()],
    };
    line.split(' ').flat_map(one).collect()
}

/// Fails unless the program understands this command line; others' commands are left alone. True: it is ours.
fn understood(words: &[String]) -> bool {
    let is_ours = words[0] == "/usr/bin/strowger";
    if is_ours && let Err(error) = crate::command().try_get_matches_from(words) {
        panic!("{}: {error}", words.join(" "));
    }
    is_ours
}

#[test]
fn units_start_and_reload_with_verbs_and_options_that_exist() {
    let mut started = Vec::new();
    for (name, unit) in units() {
        let starts = values(&unit, "ExecStart");
        let [start] = starts[..] else { panic!("{name} starts {} programs", starts.len()) };
        assert!(understood(&words(&unit, start)), "{name}");
        started.push(start.split(' ').nth(1).unwrap().to_owned());
        for line in values(&unit, "ExecReload") {
            understood(&words(&unit, line));
        }
        if unit.contains("$SERVER") {
            let server = variable(&unit, "SERVER");
            assert!(understood(&server.split(' ').map(str::to_owned).collect::<Vec<_>>()));
        }
        let page = format!("man:strowger-{}(1)", started.last().unwrap());
        assert_eq!(values(&unit, "Documentation"), [page]);
    }
    assert_eq!(started, ["agent", "engine", "lb", "run", "state"]);
}

#[test]
fn units_wait_for_the_program_and_give_it_no_more_than_it_needs() {
    for (name, unit) in units() {
        for (setting, value) in [
            ("Type", "notify"),
            ("User", "strowger"),
            ("NoNewPrivileges", "yes"),
            ("AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
            ("RuntimeDirectory", "strowger"),
            ("RuntimeDirectoryPreserve", "yes"),
        ] {
            assert_eq!(values(&unit, setting), [value], "{name}: {setting}");
        }
        // What an agent's server may do is for the administrator to say.
        let is_agent = name.contains('@');
        let strict = if is_agent { "full" } else { "strict" };
        assert_eq!(values(&unit, "ProtectSystem"), [strict], "{name}");
        let filter: &[&str] = if is_agent { &[] } else { &["@system-service"] };
        assert_eq!(values(&unit, "SystemCallFilter"), filter, "{name}");
    }
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("strowger-packaging-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

#[test]
fn the_configurations_have_no_errors() {
    let lb = config::load(&packaging().join("etc/lb.toml"));
    lb.unwrap_or_else(|problems| panic!("{problems}"));
    let path = scratch("run");
    let folder = Folder::open(&path).unwrap();
    let generated = Plan::generated(&folder, path.join("control.sock")).unwrap();
    let run = config::load_run(&packaging().join("etc/run.toml"), &generated);
    run.unwrap_or_else(|problems| panic!("{problems}"));
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn the_cluster_runs_what_there_is() {
    let all = text("kubernetes.yaml");
    let mut count = 0;
    for line in all.lines() {
        let Some((_, list)) = line.split_once("args: [").or_else(|| line.split_once("command: [")) else {
            continue;
        };
        let list = list.split_once(']').unwrap().0;
        let mut words: Vec<String> = list.split(", ").map(|word| word.trim_matches('"').to_owned()).collect();
        if line.contains("args:") {
            words.insert(0, "/usr/bin/strowger".into());
        }
        assert!(understood(&words), "{line}");
        count += 1;
    }
    assert_eq!(count, 4, "the program and three probes");

    let path = scratch("cluster");
    fs::create_dir(&path).unwrap();
    let keys = path.join("farm.keys");
    fs::write(&keys, config::fresh_tag_line(None).unwrap()).unwrap();
    let (_, rest) = all.split_once("lb.toml: |\n").unwrap();
    let lines = rest.lines().take_while(|line| *line != "---");
    let file: String = lines.map(|line| format!("{}\n", line.trim_start_matches("    "))).collect();
    let named = "/etc/strowger/keys/farm.keys";
    assert!(file.contains(named), "{file}");
    fs::write(path.join("lb.toml"), file.replace(named, &keys.display().to_string())).unwrap();
    config::load(&path.join("lb.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn the_package_has_every_unit_and_only_files_that_exist() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(home.join("Cargo.toml")).unwrap();
    let sources: Vec<&str> =
        manifest.lines().filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next()).collect();
    assert!(sources.len() > 10, "{sources:?}");
    // The program and its pages are built first.
    for source in sources.iter().filter(|source| !source.contains("target/")) {
        let exists = match source.split_once('*') {
            Some((folder, _)) => home.join(folder).is_dir(),
            None => home.join(source).is_file(),
        };
        assert!(exists, "{source}");
    }
    for name in ["../../packaging/systemd/*.service", "../../packaging/strowger.logrotate"] {
        assert!(sources.contains(&name), "{name}");
    }
    for entry in fs::read_dir(packaging().join("etc")).unwrap() {
        let name = format!("../../packaging/etc/{}", entry.unwrap().file_name().to_string_lossy());
        assert!(sources.contains(&name.as_str()), "{name} is in no package");
    }
}
