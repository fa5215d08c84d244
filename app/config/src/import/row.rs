//! One row of a database table.

use std::collections::HashMap;

/// See the head of this module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// Where it begins.
    pub(super) line: usize,
    cells: HashMap<String, String>,
}

impl Row {
    pub(super) fn new(line: usize, columns: &[String], values: Vec<String>) -> Row {
        let cells = columns.iter().map(|column| column.to_ascii_lowercase()).zip(values).collect();
        Row { line, cells }
    }

    /// The value of a column. `None`: the table has no such column, or the row leaves it empty.
    pub(super) fn get(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.cells.contains_key(column)
    }
}
