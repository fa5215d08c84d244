//! What cannot be carried over from another program's file: where it stands, why, and what to do instead.

/// One setting of the file that the written configuration does not have, or has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line of the file; 0: the whole file.
    pub line: usize,
    /// The setting, and why it is not carried over.
    pub what: String,
    /// What to do instead.
    pub instead: String,
}

/// All remarks on a file, in the order of its lines.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Remark>);

impl Remarks {
    pub(super) fn add(&mut self, line: usize, what: impl Into<String>, instead: impl Into<String>) {
        self.0.push(Remark { line, what: what.into(), instead: instead.into() });
    }

    pub(super) fn in_order(mut self) -> Vec<Remark> {
        self.0.sort_by_key(|remark| remark.line);
        self.0
    }
}

/// A text of the file as it can stand in a message or a comment: on one line, and not without end.
pub(super) fn shown(text: &str) -> String {
    /// More of a field says no more to a reader.
    const CHARS_MAX: usize = 120;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(CHARS_MAX).map(plain).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}
