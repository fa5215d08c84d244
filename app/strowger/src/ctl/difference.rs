//! What a reload would change, in plain words, and what stands in its way.

use std::fmt::Display;

/// What differs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The changes, each on a line of its own.
    pub(crate) changes: Vec<String>,
    /// Keys and sections that only a restart can change.
    pub(super) fixed: Vec<String>,
    /// Other obstacles, with their remedy.
    pub(super) refused: Vec<&'static str>,
}

impl Difference {
    /// Values are written as the file writes them.
    pub(super) fn changed<T: Display>(&mut self, key: &str, before: T, after: T) {
        let (before, after) = (before.to_string(), after.to_string());
        if before != after {
            self.changes.push(format!("{key}: {before} becomes {after}"));
        }
    }

    pub(super) fn note(&mut self, happens: bool, line: &str) {
        if happens {
            self.changes.push(line.to_owned());
        }
    }

    /// Why the change is not possible, if so.
    pub(super) fn refusal(&self) -> Option<String> {
        let restart = format!("restart needed for: {}", self.fixed.join(", "));
        let restart = (!self.fixed.is_empty()).then_some(restart);
        let all: Vec<String> =
            restart.into_iter().chain(self.refused.iter().map(|text| (*text).to_owned())).collect();
        (!all.is_empty()).then(|| all.join("\n  "))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        match self.changes.is_empty() {
            true => "nothing differs from the running configuration\n".into(),
            false => self.changes.join("\n") + "\n",
        }
    }
}
