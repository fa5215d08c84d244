//! The file of a table of the database dbtext: a line of columns, each with its type, then a line for each row, with colons
//! between the fields and a backslash before what would be read otherwise.

use crate::import::row::Row;

/// The first line names columns with their types: `id(int,auto) setid(int) …`.
pub(super) fn is_table(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut columns = first.split_whitespace().peekable();
    columns.peek().is_some() && columns.all(|column| column.contains('(') && column.ends_with(')'))
}

pub(super) fn rows(text: &str) -> Vec<Row> {
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let Some((head, _)) = lines.next() else { return Vec::new() };
    let name = |column: &str| column.split('(').next().unwrap_or_default().to_owned();
    let columns: Vec<String> = head.split_whitespace().map(name).collect();
    lines.map(|(line, number)| Row::new(number, &columns, fields(line))).collect()
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        let Some(field) = fields.last_mut() else { continue };
        match c {
            ':' => fields.push(String::new()),
            '\\' => match characters.next() {
                Some('n') => field.push('\n'),
                Some('r') => field.push('\r'),
                Some('t') => field.push('\t'),
                Some('0') => field.push('\0'),
                Some(other) => field.push(other),
                None => {}
            },
            other => field.push(other),
        }
    }
    fields
}
