//! The structure within a crate, as ARCHITECTURE.md draws it: files import each other in a circle only in the named pairs, and
//! no file and no folder is too large to be surveyed.
//!
//! Imports are read as text: `use` and paths that begin with `crate`, `self` or `super`, without those of tests. A module that
//! calls its own children by name, as a list of verbs does, does not import them. A name that a module hands on (`pub use`)
//! counts as an import of the file that defines it; handing on is no import.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{in_src, none, root, test_modules, with_ending};

/// A file with more lines outside its tests holds two nouns.
const PRODUCT_LINES_MAX: usize = 400;
/// If a folder has more files and folders than this, some of them need a folder.
const ROOMS_MAX: usize = 20;

/// A path of names from a crate's root: `["way", "route"]`.
type Module = Vec<String>;

/// The names that a file hands on and uses.
struct File {
    path: PathBuf,
    /// Names that other files may take through this module: `(name, where it comes from)`. `*` hands on all names.
    handed_on: Vec<(String, Module)>,
    used: Vec<Module>,
}

/// The files of the product, by crate and module.
fn crates() -> BTreeMap<PathBuf, BTreeMap<Module, File>> {
    let (tests, mut crates) = (test_modules(), BTreeMap::new());
    for (path, text) in with_ending(&["rs"]) {
        if !in_src(&path) || tests.iter().any(|test| path.starts_with(test)) || path.starts_with("tests") {
            continue;
        }
        let source = path.iter().position(|part| part == "src").expect("a folder src");
        let home: PathBuf = path.iter().take(source).collect();
        let mut module: Module =
            path.iter().skip(source + 1).map(|part| part.to_string_lossy().into_owned()).collect();
        let name = module.pop().expect("a file name");
        if !matches!(name.as_str(), "lib.rs" | "main.rs" | "mod.rs") {
            module.push(name.trim_end_matches(".rs").to_owned());
        }
        let file = read(path, &module, &product(&text));
        crates.entry(home).or_insert_with(BTreeMap::new).insert(module, file);
    }
    crates
}

/// The text before the tests in the same file.
fn before_tests(text: &str) -> &str {
    let begins = ["mod tests {", "pub(crate) mod tests {"].map(|module| format!("#[cfg(test)]\n{module}"));
    let at = begins.iter().filter_map(|begins| text.find(begins.as_str())).min();
    at.map_or(text, |at| &text[..at])
}

/// The text without its tests and comments.
fn product(text: &str) -> String {
    let lines = before_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut lines = lines.peekable();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // The next line is for tests: an import, or a module in its own file.
            lines.next_if(|next| next.trim_end().ends_with(';'));
            continue;
        }
        kept.push_str(line.split(" // ").next().unwrap_or_default());
        kept.push('\n');
    }
    kept
}

fn read(path: PathBuf, module: &Module, text: &str) -> File {
    let mut file = File { path, handed_on: Vec::new(), used: Vec::new() };
    let mut rest = String::new();
    let mut statements = text;
    // First `use` statements, then paths in the rest of the text.
    while let Some((before, after)) = split_at_use(statements) {
        let (tree, next) = after.split_once(';').unwrap_or((after, ""));
        let public =
            before.trim_end().rsplit('\n').next().unwrap_or_default().trim_start().starts_with("pub");
        for (name, found) in expanded(tree, module) {
            if public { file.handed_on.push((name, found)) } else { file.used.push(found) }
        }
        rest.push_str(before);
        statements = next;
    }
    rest.push_str(statements);
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in rest.match_indices(root) {
            let begins =
                rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
            if begins {
                let end = rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
                let found = &rest[at..end.map_or(rest.len(), |end| at + end)];
                file.used.extend(expanded(found, module).into_iter().map(|(_, module)| module));
            }
        }
    }
    file
}

/// The text before the next `use`, and after it.
fn split_at_use(text: &str) -> Option<(&str, &str)> {
    let at = text.match_indices("use ").find(|(at, _)| {
        let line = text[..*at].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || line.starts_with("pub")
    })?;
    Some((&text[..at.0], &text[at.0 + 4..]))
}

/// A tree of imports as single paths from the crate's root, with the name that each brings. Imports from other crates are left
/// out.
fn expanded(tree: &str, module: &Module) -> Vec<(String, Module)> {
    let tree: String = tree.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paths = vec![String::new()];
    spread(tree.trim(), "", &mut paths);
    let absolute = |path: String| {
        let (path, name) = match path.split_once(" as ") {
            Some((path, name)) => (path.to_owned(), Some(name.trim().to_owned())),
            None => (path, None),
        };
        let mut names = path.split("::").map(str::trim).map(str::to_owned).peekable();
        let mut from: Module = match names.next()?.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            first => {
                // A child module, in the form in which a module hands on its own children: `pub use held::Held`.
                let mut child = module.clone();
                child.push(first.to_owned());
                child
            }
        };
        while names.next_if(|name| name == "super").is_some() {
            from.pop();
        }
        from.extend(names.filter(|name| name != "self" && !name.is_empty()));
        let name = name.or_else(|| from.last().cloned())?;
        Some((name, from))
    };
    paths.into_iter().filter(|path| !path.is_empty()).filter_map(absolute).collect()
}

fn spread(tree: &str, before: &str, paths: &mut Vec<String>) {
    let Some((head, inside)) = tree.split_once('{') else { return paths.push(format!("{before}{tree}")) };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut depth, mut from) = (0usize, 0);
    for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                let part = inside[from..at].trim();
                if !part.is_empty() {
                    spread(part, &format!("{before}{head}"), paths);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The module whose file defines the item that a path names.
fn holder(path: &Module, files: &BTreeMap<Module, File>, steps: usize) -> Option<Module> {
    let length = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
    let module = path[..length].to_vec();
    if let Some(name) = path.get(length).filter(|_| steps > 0) {
        let handed_on = &files[&module].handed_on;
        if let Some((_, from)) = handed_on.iter().find(|(handed, from)| handed == name && from != path) {
            return holder(from, files, steps - 1);
        }
    }
    Some(module)
}

/// The imports of each file of a crate.
fn imports(files: &BTreeMap<Module, File>) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let of = |file: &File| {
        let found = file.used.iter().filter_map(|path| holder(path, files, 4));
        found.map(|module| files[&module].path.clone()).filter(|path| *path != file.path).collect()
    };
    files.values().map(|file| (file.path.clone(), of(file))).collect()
}

/// Sets of files that import each other, directly or through other files.
fn circles(imports: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> BTreeSet<BTreeSet<PathBuf>> {
    let reached = |from: &PathBuf| {
        let (mut found, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(imports[file].iter().filter(|file| found.insert((*file).clone())));
        }
        found
    };
    let reach: BTreeMap<&PathBuf, BTreeSet<PathBuf>> =
        imports.keys().map(|file| (file, reached(file))).collect();
    let circle_of = |file: &PathBuf| -> BTreeSet<PathBuf> {
        reach[file].iter().filter(|other| reach[*other].contains(file)).cloned().collect()
    };
    imports.keys().map(circle_of).filter(|circle| circle.len() > 1).collect()
}

/// The pairs that ARCHITECTURE.md names after its heading: lines of `* a.rs, b.rs: why`.
fn named_pairs() -> BTreeSet<BTreeSet<PathBuf>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let part = text.split("## Pairs that import each other").nth(1).expect("the heading");
    let lines =
        part.split("\n## ").next().expect("a part").lines().filter_map(|line| line.strip_prefix("* "));
    let files =
        |line: &str| line.split('`').filter(|word| word.ends_with(".rs")).map(PathBuf::from).collect();
    lines.map(files).collect()
}

#[test]
fn no_file_imports_in_a_circle_but_the_pairs_that_are_named() {
    let named = named_pairs();
    let mut wrong: Vec<String> =
        named.iter().filter(|pair| pair.len() != 2).map(|pair| format!("not a pair: {pair:?}")).collect();
    let mut found = BTreeSet::new();
    for files in crates().values() {
        let imports = imports(files);
        for circle in circles(&imports) {
            if !named.contains(&circle) {
                let edges = circle.iter().flat_map(|from| {
                    let inside = imports[from].iter().filter(|to| circle.contains(*to));
                    inside.map(move |to| format!("\n    {} -> {}", from.display(), to.display()))
                });
                wrong.push(format!("a circle of {} files{}", circle.len(), edges.collect::<String>()));
            }
            found.insert(circle);
        }
    }
    wrong.extend(named.difference(&found).map(|pair| format!("named, and no circle: {pair:?}")));
    none("circles of imports that ARCHITECTURE.md does not name", &wrong);
}

#[test]
fn no_file_has_more_than_400_lines_beside_its_tests() {
    let tests = test_modules();
    let mut long = Vec::new();
    for (path, text) in with_ending(&["rs"]) {
        let lines = before_tests(&text).lines().count();
        let is_test = tests.iter().any(|test| path.starts_with(test))
            || path.components().any(|part| part.as_os_str() == "tests");
        if lines > PRODUCT_LINES_MAX && !is_test {
            long.push(format!("{} has {lines} lines", path.display()));
        }
    }
    none("files with more than 400 lines beside their tests", &long);
}

#[test]
fn the_top_of_each_crate_can_be_taken_in_at_a_look() {
    let mut crowded = Vec::new();
    for home in crates().keys() {
        let rooms = rooms(home);
        if home == Path::new("core/lb") && rooms.len() > ROOMS_MAX {
            crowded.push(format!(
                "{} has {} rooms: {}",
                home.display(),
                rooms.len(),
                rooms.into_iter().collect::<Vec<_>>().join(" ")
            ));
        }
    }
    none("tops with more than 20 files and folders", &crowded);
}

/// The files and folders at a crate's top, without those only for tests. A folder and the file that opens it are one room.
fn rooms(home: &Path) -> BTreeSet<String> {
    let room =
        |path: PathBuf| path.with_extension("").file_name().map(|name| name.to_string_lossy().into_owned());
    let entries = fs::read_dir(root().join(home).join("src")).into_iter().flatten();
    let names = entries.filter_map(|entry| room(entry.ok()?.path()));
    names.filter(|name| !matches!(name.as_str(), "lib" | "main") && !name.ends_with("tests")).collect()
}

/// Each crate with its rooms, as ARCHITECTURE.md lists them: a word with a slash is a crate, the words after it are its rooms.
fn drawn_rooms() -> BTreeMap<PathBuf, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let block = text
        .split("## Rooms of each crate")
        .nth(1)
        .expect("the heading")
        .split("```")
        .nth(1)
        .expect("a block");
    let mut drawn = BTreeMap::new();
    let mut home = PathBuf::new();
    for word in block.split_whitespace().skip(1) {
        if word.contains('/') {
            home = PathBuf::from(word);
            drawn.insert(home.clone(), BTreeSet::new());
        } else if let Some(rooms) = drawn.get_mut(&home) {
            rooms.insert(word.to_owned());
        }
    }
    drawn
}

#[test]
fn the_rooms_of_each_crate_are_those_that_are_drawn() {
    let (drawn, mut wrong) = (drawn_rooms(), Vec::new());
    let homes: BTreeSet<PathBuf> = crates().into_keys().filter(|home| !home.starts_with("bench")).collect();
    for home in homes.iter().chain(drawn.keys()) {
        let (drawn, rooms) = (drawn.get(home).cloned().unwrap_or_default(), rooms(home));
        wrong.extend(rooms.difference(&drawn).map(|room| format!("{}: {room} is not drawn", home.display())));
        wrong.extend(
            drawn.difference(&rooms).map(|room| format!("{}: {room} is drawn but absent", home.display())),
        );
    }
    none("rooms that differ from ARCHITECTURE.md", &wrong);
}

#[test]
fn imports_are_read_as_the_compiler_reads_them() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Module>();
    let read = |text: &str| {
        let file = read(PathBuf::from("a.rs"), &module("hold::held"), &product(text));
        let names = |modules: &[Module]| modules.iter().map(|module| module.join("::")).collect::<Vec<_>>();
        (
            names(&file.used),
            file.handed_on.into_iter().map(|(name, from)| (name, from.join("::"))).collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        read("use crate::{farm::server::{Server, ServerId}, way};\nuse super::Class;\n").0,
        ["farm::server::Server", "farm::server::ServerId", "way", "hold::Class"]
    );
    assert_eq!(read("fn a(b: crate::why::Ring) -> super::super::Shared {}").0, ["why::Ring", "Shared"]);
    assert_eq!(read("#[cfg(test)]\nuse crate::x::Y;\n// crate::z::Z\n").0, Vec::<String>::new());
    assert_eq!(read("pub(crate) use crate::a::B as C;").1, [("C".to_owned(), "a::B".to_owned())]);
    let edges = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("d", "")];
    let mut graph = BTreeMap::<PathBuf, BTreeSet<PathBuf>>::new();
    for (from, to) in edges {
        let to = Some(to).filter(|to| !to.is_empty()).map(PathBuf::from);
        graph.entry(from.into()).or_default().extend(to);
    }
    let expected = BTreeSet::from([BTreeSet::from([PathBuf::from("b"), PathBuf::from("c")])]);
    assert_eq!(circles(&graph), expected);
}
