//! The rules for Prometheus and the dashboard for Grafana in packaging/ name only metrics that this program has: an alert on a name that
//! nobody fills would never fire.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::definitions::DELAYS;
use super::{page, text};
use crate::ctl::testing::Owner;

/// Everything in the text that looks like the name of a metric of ours.
fn names(text: &str) -> BTreeSet<String> {
    let is_name =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    let words = text.split(|character| !is_name(character));
    words.filter(|word| word.starts_with("strowger_")).map(str::to_owned).collect()
}

/// The page has those of all parts, some of them only as a pattern; a load manager tells these by their names.
fn known() -> BTreeSet<String> {
    let owner = Owner::of_two();
    let mut known = names(&page());
    known.extend(names(&text(&owner.desk).unwrap()));
    for (name, ..) in DELAYS {
        known.extend(["bucket", "sum", "count"].map(|part| format!("{name}_seconds_{part}")));
    }
    known
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_there_are() {
    let known = known();
    for file in ["prometheus/strowger.rules.yaml", "grafana/strowger.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(file);
        let named = names(&fs::read_to_string(path).unwrap());
        assert!(named.len() > 20, "{file} names only {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names metrics that nobody fills: {unknown:?}");
    }
    assert!(!known.contains("strowger_no_such_total"));
}
