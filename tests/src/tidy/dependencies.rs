//! The allowed dependencies between crates, as ARCHITECTURE.md draws them, and the allowed packages, as deny.toml lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{none, root};

/// Name of a crate (its folder) to the folder's path, for everything below core/, io/ and app/.
fn crates() -> BTreeMap<String, PathBuf> {
    ["core", "io", "app"]
        .iter()
        .flat_map(|level| fs::read_dir(root().join(level)).expect("a level of the workspace"))
        .map(|entry| entry.expect("a crate's folder").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path))
        .collect()
}

/// The edges drawn in ARCHITECTURE.md: lines of `name(edge, edge)` in the block after the heading.
fn drawn_edges() -> BTreeMap<String, BTreeSet<String>> {
    let all: BTreeSet<String> = crates().into_keys().collect();
    let core: BTreeSet<String> = crates()
        .into_iter()
        .filter(|(_, path)| path.parent() == Some(&root().join("core")))
        .map(|(name, _)| name)
        .collect();
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let block = text
        .split("## Crates and their edges")
        .nth(1)
        .expect("the heading")
        .split("```")
        .nth(1)
        .expect("a block");
    let mut edges = BTreeMap::new();
    for part in block.split(')').filter(|part| part.contains('(')) {
        let (name, inside) = part.rsplit_once('(').expect("a bracket");
        let name = name.split_whitespace().last().expect("a name before the bracket");
        let mut allowed = BTreeSet::new();
        for word in inside.split(';').next().expect("a first part").split(',').map(str::trim) {
            match word {
                "" => {}
                "core/*" => allowed.extend(core.iter().cloned()),
                "everything" => allowed.extend(all.iter().cloned()),
                other => drop(allowed.insert(other.to_owned())),
            }
        }
        edges.insert(name.to_owned(), allowed);
    }
    edges
}

#[test]
fn crates_use_only_the_edges_that_are_drawn() {
    let (crates, drawn, mut wrong) = (crates(), drawn_edges(), Vec::new());
    for (name, folder) in &crates {
        let Some(allowed) = drawn.get(name) else {
            wrong.push(format!("{name} is not drawn in ARCHITECTURE.md"));
            continue;
        };
        let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml"))
            .expect("a manifest")
            .parse()
            .expect("a manifest in TOML");
        let dependencies =
            manifest.get("dependencies").and_then(|table| table.as_table()).cloned().unwrap_or_default();
        for used in dependencies.keys().filter(|used| crates.contains_key(*used) && !allowed.contains(*used))
        {
            wrong.push(format!("{name} depends on {used}"));
        }
    }
    wrong.extend(
        drawn
            .keys()
            .filter(|name| !crates.contains_key(*name))
            .map(|name| format!("{name} is drawn but absent")),
    );
    none("edges that differ from ARCHITECTURE.md", &wrong);
}

/// The lists in deny.toml, which cargo-deny also reads.
fn deny() -> toml::Table {
    fs::read_to_string(root().join("deny.toml")).expect("deny.toml").parse().expect("deny.toml in TOML")
}

/// Every package that is built for the workspace and its tests, one line each.
fn tree(format: &str) -> BTreeSet<String> {
    let edges = ["tree", "--workspace", "--prefix", "none", "--locked", "-e", "normal,build,dev", "--format"];
    let tree =
        Command::new(env!("CARGO")).args(edges).arg(format).current_dir(root()).output().expect("cargo tree");
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let lines: BTreeSet<String> = tree.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    assert!(lines.len() > 20, "cargo tree listed {} packages", lines.len());
    lines
}

#[test]
fn dependencies_have_licences_that_are_allowed() {
    let deny = deny();
    let allowed: Vec<&str> =
        deny["licenses"]["allow"].as_array().expect("a list").iter().filter_map(|l| l.as_str()).collect();
    let lines = tree("{l}|{p}");
    let refused: Vec<String> = lines
        .into_iter()
        .filter(|line| !licence_allowed(line.split('|').next().expect("a first part"), &allowed))
        .map(|line| line.replace('|', " for "))
        .collect();
    none("licences that deny.toml does not allow", &refused);
}

/// Evaluates an SPDX expression of OR, AND and brackets; `/` is an old spelling of OR.
fn licence_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let expression = expression.trim();
    if let Some((left, right)) = split_outside_brackets(expression, " OR ") {
        return licence_allowed(left, allowed) || licence_allowed(right, allowed);
    }
    if let Some((left, right)) = split_outside_brackets(expression, " AND ") {
        return licence_allowed(left, allowed) && licence_allowed(right, allowed);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => licence_allowed(inner, allowed),
        None => allowed.contains(&expression),
    }
}

fn split_outside_brackets<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    text.match_indices(word)
        .find(|(at, _)| text[..*at].matches('(').count() == text[..*at].matches(')').count())
        .map(|(at, _)| (&text[..at], &text[at + word.len()..]))
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "Unicode-3.0"];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("Apache-2.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(GPL-3.0 OR Apache-2.0) AND Unicode-3.0", false),
    ] {
        assert_eq!(licence_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn dependencies_come_from_one_registry() {
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock"))
        .expect("Cargo.lock")
        .parse()
        .expect("Cargo.lock in TOML");
    let mut found = Vec::new();
    for package in lock["package"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let source = package.get("source").and_then(|source| source.as_str());
        if let Some(source) = source.filter(|source| !source.ends_with("rust-lang/crates.io-index")) {
            found.push(format!("{name} from {source}"));
        }
    }
    none("packages from elsewhere", &found);
}

#[test]
fn no_banned_package_is_built() {
    let deny = deny();
    let banned: Vec<&str> = deny["bans"]["deny"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["crate"].as_str())
        .collect();
    assert!(banned.len() >= 4, "deny.toml bans {banned:?}");
    // Not from Cargo.lock: it also names packages of features that we do not use.
    let found: Vec<String> = tree("{p}")
        .into_iter()
        .filter(|package| banned.contains(&package.split(' ').next().expect("a name")))
        .collect();
    none("banned packages", &found);
}
