//! CSV with a line of column names, as databases and spreadsheets write it. Commas, semicolons or tabs are between
//! the fields: what the first line has most of.

use crate::import::row::Row;

pub(super) fn rows(text: &str) -> Vec<Row> {
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    let count = |mark: char| first.chars().filter(|c| *c == mark).count();
    let between = [',', ';', '\t'].into_iter().max_by_key(|mark| (count(*mark), *mark == ',')).unwrap_or(',');
    let mut records =
        records(text, between).into_iter().filter(|(_, fields)| fields.iter().any(|f| !f.is_empty()));
    let Some((_, head)) = records.next() else { return Vec::new() };
    let columns: Vec<String> = head.iter().map(|name| name.trim().to_owned()).collect();
    records.map(|(line, fields)| Row::new(line, &columns, fields)).collect()
}

/// Records with the lines that they begin on. A quoted field may hold line ends; two quotes in it are one.
fn records(text: &str, between: char) -> Vec<(usize, Vec<String>)> {
    let mut records = Vec::new();
    let (mut line, mut began) = (1, 1);
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '\n' if !quoted => {
                fields.push(std::mem::take(&mut field).trim_end_matches('\r').to_owned());
                records.push((began, std::mem::take(&mut fields)));
                began = line;
            }
            c if c == between && !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    records.push((began, fields));
    // The tools of databases write a missing value in these ways.
    for value in records.iter_mut().flat_map(|(_, fields)| fields) {
        if matches!(value.as_str(), "NULL" | "\\N") {
            value.clear();
        }
    }
    records
}
