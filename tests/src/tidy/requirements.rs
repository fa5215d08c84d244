//! Requirements that code and documents cite stand on the page of requirements.

use std::collections::BTreeSet;
use std::fs;

use super::{none, root, with_ending};

const PAGE: &str = "docs/requirements.md";

/// The ids in the first cells of the rows, and the letters of headings.
fn ids(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    // A citation of a whole part has only its letter.
    let parts = page.lines().filter_map(|line| line.strip_prefix("## ")?.split(". ").next());
    cells.chain(parts).filter(|cell| is_id(cell) || cell.starts_with("FIG. ")).map(str::to_owned).collect()
}

/// A letter of the requirements, and a number after it: `A`, `A13`, `T3`.
fn is_id(word: &str) -> bool {
    let digits = word.trim_start_matches(|c| matches!(c, 'A'..='G' | 'P' | 'T'));
    word.len() - digits.len() == 1 && digits.len() <= 2 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Every id that a line cites, in the form of the page.
fn cited(line: &str) -> Vec<String> {
    let words = |text: &str| -> Vec<String> {
        let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
        parts.filter(|part| !part.is_empty()).map(|part| part.trim_end_matches('.').to_owned()).collect()
    };
    let mut found = Vec::new();
    for rest in line.split("SPEC ").skip(1) {
        let listed =
            words(rest).into_iter().take_while(|word| is_id(word) || ["to", "and"].contains(&word.as_str()));
        found.extend(listed.filter(|word| is_id(word)));
    }
    for rest in line.split("FIG. ").skip(1) {
        let numbered = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
        let listed = words(rest).into_iter().take_while(|word| numbered(word) || word == "and");
        found.extend(listed.filter(numbered).map(|number| format!("FIG. {number}")));
    }
    let numbered = |word: &String| word.len() > 1 && word.starts_with(['P', 'T']) && is_id(word);
    found.extend(words(line).into_iter().filter(numbered));
    found
}

#[test]
fn requirements_that_are_cited_stand_on_their_page() {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page of requirements");
    let ids = ids(&page);
    assert!(ids.len() > 50, "{PAGE} has {} ids", ids.len());
    let (mut unknown, mut seen) = (Vec::new(), BTreeSet::new());
    for (path, text) in with_ending(&["rs", "py", "md"]) {
        if path.ends_with("tidy/requirements.rs") || path.ends_with(PAGE) || path.ends_with("docs/corpora.md")
        {
            continue;
        }
        let is_code = path.extension().is_some_and(|ending| ending == "rs");
        for (number, line) in text.lines().enumerate() {
            // Type parameters have such names too, so in code only comments count.
            if is_code && !line.trim_start().starts_with("//") {
                continue;
            }
            for id in cited(line) {
                if !ids.contains(&id) {
                    unknown.push(format!("{}:{} cites {id}", path.display(), number + 1));
                }
                seen.insert(id);
            }
        }
    }
    assert!(seen.len() > 30, "only {seen:?} were found: are citations still written so?");
    none("requirements that are not in docs/requirements.md", &unknown);
}

#[test]
fn citations_are_found_in_all_their_forms() {
    for (line, expected) in [
        ("//! (SPEC A2 to A5).", &["A2", "A5"][..]),
        ("//! selection (SPEC A, B2, B5, C2, C3) and", &["A", "B2", "B5", "C2", "C3"]),
        ("/// SPEC A7: one thread for both ports", &["A7"]),
        ("/// (SPEC G, health checks)", &["G"]),
        ("//! (SPEC A5, FIG. 5B): which", &["A5", "FIG. 5B"]),
        ("//! FIG. 14 and 15): two servers", &["FIG. 14", "FIG. 15"]),
        ("/// (T3, T4).", &["T3", "T4"]),
        ("//! P1: CPU per message", &["P1"]),
        ("at most 64·T1 (32 s)", &["T1"]),
        ("SPEC Z9 and PATH, TCP, A5 alone", &[]),
    ] {
        assert_eq!(cited(line), expected, "{line}");
    }
}
