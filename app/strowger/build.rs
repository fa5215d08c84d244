//! The version that `strowger --version` shows: that of the package, and the commit if this is a release build. The commit comes from
//! the variable STROWGER_COMMIT, or from git; without both, the version stands alone. Builds for tests have no commit, because
//! each new one would build them anew.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=STROWGER_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let given = env::var("STROWGER_COMMIT").ok().filter(|commit| is_commit(commit));
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let version = match given.or_else(|| is_release.then(of_git).flatten()) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo::rustc-env=STROWGER_VERSION={version}");
}

fn of_git() -> Option<String> {
    // Sources from an archive may lie in somebody else's repository.
    git(&["ls-files", "build.rs"]).filter(|found| !found.is_empty())?;
    // It grows with each commit and each checkout.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"]).filter(|commit| is_commit(commit))
}

/// One line that git answers. `None`: there is no git, or these sources are in no repository of it.
fn git(arguments: &[&str]) -> Option<String> {
    let answer =
        Command::new("git").args(arguments).output().ok().filter(|answer| answer.status.success())?;
    Some(String::from_utf8(answer.stdout).ok()?.trim().to_owned())
}

fn is_commit(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
