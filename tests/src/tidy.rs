//! Rules about the project itself that no compiler checks: the size and head of files, the form of citations, paths in
//! documents, forbidden words; the rules about dependencies are in `dependencies`. Each test prints every place that breaks its
//! rule.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

mod dependencies;
mod requirements;
mod structure;

/// A longer file holds a second noun.
const LINES_MAX: usize = 500;
/// A longer file probably holds a second noun: a warning.
const LINES_WARN: usize = 400;

/// RFCs that the project cites. A further RFC needs a line here.
const RFCS: &[u32] = &[
    768, 791, 792, 1035, 1122, 1123, 1812, 2104, 2119, 2308, 2543, 2617, 2782, 3261, 3262, 3263, 3264, 3265,
    3311, 3325, 3326, 3327, 3339, 3428, 3489, 3515, 3550, 3581, 3608, 3665, 3725, 3840, 3841, 3856, 3891,
    3892, 3903, 3911, 3960, 3966, 3986, 4028, 4168, 4231, 4320, 4321, 4443, 4475, 4566, 4648, 4733, 5031,
    5057, 5118, 5246, 5280, 5322, 5359, 5389, 5390, 5393, 5407, 5411, 5482, 5621, 5626, 5627, 5630, 5658,
    5769, 5806, 5922, 5923, 5952, 5954, 6026, 6066, 6076, 6086, 6140, 6141, 6157, 6216, 6228, 6357, 6455,
    6665, 6750, 6761, 7044, 7092, 7118, 7230, 7301, 7329, 7332, 7339, 7362, 7415, 7433, 7501, 7502, 7616,
    7866, 8174, 8200, 8217, 8224, 8446, 8489, 8599, 8760, 8866, 8898, 9110, 9112, 9113, 9457,
];

/// Folders without source of ours.
const SKIPPED: &[&str] = &[".git", "target", "results", "__pycache__", "artifacts", "corpus"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_path_buf()
}

/// Every file of the project, as paths relative to its root.
fn files() -> Vec<PathBuf> {
    let (root, mut found, mut folders) = (root(), Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("a folder of the project") {
            let entry = entry.expect("an entry of a folder");
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().expect("the type of an entry");
            if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn with_ending(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let ends = |path: &Path| path.extension().is_some_and(|e| endings.iter().any(|wanted| e == *wanted));
    files()
        .into_iter()
        .filter(|path| ends(path) || (endings.contains(&"sh") && path.starts_with(".ci")))
        .map(|path| (path.clone(), fs::read_to_string(root().join(&path)).unwrap_or_default()))
        .collect()
}

/// This file contains the words that it forbids.
fn is_this_file(path: &Path) -> bool {
    path.starts_with("tests/src/tidy.rs")
}

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn files_hold_one_noun() {
    let mut long = Vec::new();
    for (path, text) in with_ending(&["rs", "py", "sh"]) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            long.push(format!("{} has {lines} lines", path.display()));
        } else if lines > LINES_WARN {
            println!("warning: {} has {lines} lines", path.display());
        }
    }
    none("files longer than 500 lines", &long);
}

#[test]
fn modules_open_with_their_meaning() {
    let mut bare = Vec::new();
    for (path, text) in with_ending(&["rs"]) {
        let head: usize =
            text.lines().take_while(|line| line.starts_with("//!")).map(|line| line.len() - 3).sum();
        if head < 20 && !path.ends_with("build.rs") && !text.starts_with("#![no_main]") {
            bare.push(path.display().to_string());
        }
    }
    none("modules without a head that says what they are", &bare);
}

#[test]
fn cores_touch_no_clock_socket_thread_or_file() {
    let banned = [
        "UdpSocket",
        "TcpStream",
        "TcpListener",
        "UnixStream",
        "UnixDatagram",
        "Instant::",
        "SystemTime",
        "std::thread",
        "std::fs",
        "std::process",
        "std::env",
        "std::io::std",
        "rand::",
        "getrandom",
    ];
    let (mut found, test_modules) = (Vec::new(), test_modules());
    for (path, text) in with_ending(&["rs"]) {
        if !path.starts_with("core")
            || !in_src(&path)
            || test_modules.iter().any(|module| path.starts_with(module))
        {
            continue;
        }
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in
            product.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for word in banned.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{}:{} {word}", path.display(), number + 1));
            }
        }
    }
    none("effects in core/", &found);
}

/// Files and folders of modules that are compiled only for tests: those declared behind `#[cfg(test)]`.
fn test_modules() -> Vec<PathBuf> {
    let mut modules = Vec::new();
    for (path, text) in with_ending(&["rs"]) {
        let home = if path.ends_with("lib.rs") || path.ends_with("mod.rs") {
            path.with_file_name("")
        } else {
            path.with_extension("")
        };
        for part in text.split("#[cfg(test)]\n").skip(1) {
            let declared = part
                .trim_start_matches("pub(crate) ")
                .strip_prefix("mod ")
                .and_then(|rest| rest.split_once(';'));
            if let Some((name, _)) = declared.filter(|(name, _)| !name.contains(char::is_whitespace)) {
                modules.extend([home.join(name), home.join(format!("{name}.rs"))]);
            }
        }
    }
    modules
}

fn in_src(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "src")
}

#[test]
fn nothing_is_left_to_do_and_nothing_is_said_that_concerns_no_reader() {
    let banned =
        ["TODO", "FIXME", "XXX:", "todo!(", "unimplemented!(", "dbg!(", "/work/", "../shared", "worktree"];
    let mut found = Vec::new();
    for (path, text) in with_ending(&["rs", "py", "sh", "md", "toml", "xml", "cfg"]) {
        if is_this_file(&path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let sits =
                line.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("sitting"));
            if sits || banned.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{} {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    none("words that may not be written", &found);
}

#[test]
fn rfcs_are_cited_in_one_form() {
    let mut found = Vec::new();
    for (path, text) in with_ending(&["rs", "py", "sh", "md", "toml"]) {
        if is_this_file(&path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            // In code RFC4475 is a name; citations are in comments.
            let code = path.extension().is_some_and(|ending| ending == "rs");
            let line = if code { line.split_once("//").map_or("", |(_, comment)| comment) } else { line };
            for (at, _) in line.match_indices("RFC") {
                if let Some(fault) = citation_fault(&line[at + 3..]) {
                    found.push(format!("{}:{} {fault}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    none("citations not of the form RFC 3261 §17.1", &found);
}

/// The error in the text after `RFC`. A citation is a space, a number that is in the list, and perhaps ` §` and a section.
/// `RFCs` and `an RFC` without a number are no citations.
fn citation_fault(rest: &str) -> Option<&'static str> {
    let Some(after) = rest.strip_prefix(' ') else {
        return rest
            .starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '_')
            .then_some("no space before the number");
    };
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    if !digits.parse().is_ok_and(|number: u32| RFCS.contains(&number)) {
        return Some("a number that is not in the list");
    }
    let tail = after[digits.len()..].trim_start_matches([',', ' ']);
    let spelled = ["section", "Section", "sec.", "Sec.", "§ "].iter().any(|word| tail.starts_with(word));
    let unmarked = after[digits.len()..].strip_prefix(' ').is_some_and(looks_like_section);
    if spelled {
        Some("a section without its sign")
    } else {
        unmarked.then_some("a section without its sign")
    }
}

/// `17.1…`: digits, a full stop, a digit.
fn looks_like_section(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < text.len()
        && rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[test]
fn paths_in_documents_exist() {
    let mut missing = Vec::new();
    for (path, text) in with_ending(&["md"]) {
        for (number, line) in text.lines().enumerate() {
            for word in line.split(|c: char| c.is_whitespace() || "`()[]\"',;:|│".contains(c)) {
                if names_a_path(word) && !exists(&path, word.trim_end_matches(['.', '/'])) {
                    missing.push(format!("{}:{} {word}", path.display(), number + 1));
                }
            }
        }
    }
    none("paths in documents that do not exist", &missing);
}

#[test]
fn each_page_is_listed() {
    let list = fs::read_to_string(root().join("docs/README.md")).expect("the list of pages");
    let pages = with_ending(&["md"]).into_iter().filter(|(path, _)| path.starts_with("docs"));
    let names = pages.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned()));
    let lost: Vec<String> =
        names.filter(|name| name != "README.md" && !list.contains(&format!("({name})"))).collect();
    none("pages that docs/README.md does not list", &lost);
}

fn names_a_path(word: &str) -> bool {
    let within = ["core/", "io/", "app/", "tests/", "docs/", "bench/", "fuzz/", ".ci/"]
        .iter()
        .any(|top| word.starts_with(top));
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-#".contains(c));
    plain && !word.starts_with("bench/results") && (within || word.ends_with(".md") || word == "test.sh")
}

/// Paths are written from the root or from the document's own folder; `src/` may be left out.
fn exists(document: &Path, word: &str) -> bool {
    let word = word.split('#').next().expect("a first part");
    let parts: Vec<&str> = word.split('/').collect();
    let with_src =
        (parts.len() > 2).then(|| format!("{}/{}/src/{}", parts[0], parts[1], parts[2..].join("/")));
    let beside = document.parent().expect("a folder").join(word);
    [Some(word.to_owned()), with_src].into_iter().flatten().any(|path| root().join(path).exists())
        || root().join(beside).exists()
}

#[test]
fn scripts_can_be_run() {
    let mut found = Vec::new();
    for path in files() {
        let bytes = fs::read(root().join(&path)).unwrap_or_default();
        let mode = fs::metadata(root().join(&path)).expect("a file's mode").permissions().mode();
        if bytes.starts_with(b"#!/") && mode & 0o111 == 0 {
            found.push(path.display().to_string());
        }
    }
    none("scripts that are not executable", &found);
}
