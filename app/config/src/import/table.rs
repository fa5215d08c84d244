//! A database table as text: the file of the database dbtext, an SQL dump, or CSV with a line of column names.

use crate::import::csv;
use crate::import::dbtext;
use crate::import::row::Row;
use crate::import::sql;
use crate::language::value::Wrong;

/// All rows of all tables in the text.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, Wrong> {
    let rows = if sql::is_dump(text) {
        sql::rows(text)?
    } else if dbtext::is_table(text) {
        dbtext::rows(text)
    } else {
        csv::rows(text)
    };
    if rows.is_empty() {
        let remedy = "give the table as a file of dbtext, as a dump with INSERT, or as CSV with a line of column names";
        return Err(("the file has no rows".into(), remedy.into()));
    }
    Ok(rows)
}
