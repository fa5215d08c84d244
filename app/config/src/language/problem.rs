//! Errors of a configuration: the place, the error, and the remedy. All errors of a file are shown at once.

use std::fmt;
use std::path::PathBuf;

/// The place where a value was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourcePosition {
    /// The value is the default, or the section is missing.
    #[default]
    Unwritten,
    /// Offset in the text of the file.
    At(usize),
    /// An option of the command line with its value: `--affinity tag`.
    Option(String),
}

/// An error, or (`warning`) a setting that works but that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: SourcePosition,
    pub what: String,
    pub remedy: String,
    pub warning: bool,
}

/// The text that offsets point into.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub path: Option<PathBuf>,
    pub text: String,
}

/// Problems of one configuration, in the order of their places.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    pub source: Source,
    pub list: Vec<Problem>,
    /// The load manager is starting: some errors are then warnings, because serving with them is better than not serving.
    pub(crate) starting: bool,
}

impl Problems {
    pub(crate) fn new(source: Source) -> Problems {
        Problems { source, list: Vec::new(), starting: false }
    }

    pub(crate) fn error(
        &mut self,
        place: &SourcePosition,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(place, what.into(), remedy.into(), false);
    }

    /// `check` and a reload refuse this; a start only warns.
    pub(crate) fn error_unless_starting(
        &mut self,
        place: &SourcePosition,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(place, what.into(), remedy.into(), self.starting);
    }

    pub(crate) fn warn(
        &mut self,
        place: &SourcePosition,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(place, what.into(), remedy.into(), true);
    }

    fn push(&mut self, place: &SourcePosition, what: String, remedy: String, warning: bool) {
        let problem = Problem { place: place.clone(), what, remedy, warning };
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| !problem.warning)
    }

    /// Line and column, both from 1, of an offset.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.source.text[..floor(&self.source.text, offset)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Takes the errors of `other`, which read the same text. The warnings of `other` are dropped.
    pub(crate) fn take_errors(&mut self, other: Problems) {
        self.list.extend(other.list.into_iter().filter(|problem| !problem.warning));
    }

    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|problem| match problem.place {
            SourcePosition::At(offset) => offset,
            SourcePosition::Unwritten | SourcePosition::Option(_) => usize::MAX,
        });
    }

    fn write_one(&self, f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
        let kind = if problem.warning { "warning" } else { "error" };
        let path = self.source.path.as_ref().map(|path| path.display().to_string());
        match &problem.place {
            SourcePosition::At(offset) => {
                let (line, column) = self.line_and_column(*offset);
                let path = path.as_deref().unwrap_or("configuration");
                writeln!(f, "{kind}: {path}:{line}:{column}: {}", problem.what)?;
                if let Some(text) = self.source.text.lines().nth(line - 1) {
                    let number = line.to_string();
                    writeln!(f, "  {number} | {text}")?;
                    writeln!(f, "  {:width$} | {:>column$}", "", "^", width = number.len())?;
                }
            }
            SourcePosition::Option(option) => writeln!(f, "{kind}: {option}: {}", problem.what)?,
            SourcePosition::Unwritten => match path {
                Some(path) => writeln!(f, "{kind}: {path}: {}", problem.what)?,
                None => writeln!(f, "{kind}: {}", problem.what)?,
            },
        }
        writeln!(f, "  remedy: {}", problem.remedy)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.iter().try_for_each(|problem| self.write_one(f, problem))
    }
}

fn floor(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The known word that a mistyped word most likely means. At most a third of its letters may differ (one letter always may).
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    // Longer than any key: no key is near such a word, and the table stays small.
    const LETTERS_MAX: usize = 64;
    let a: Vec<char> = a.chars().take(LETTERS_MAX).collect();
    let b: Vec<char> = b.chars().take(LETTERS_MAX).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}
