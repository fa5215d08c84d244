//! Aligned columns for people.

/// Rows under a head. A column is as wide as its widest cell. Numbers and dashes stand to the right.
pub(crate) fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let columns = head.len();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let right: Vec<bool> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).all(|cell| is_number(cell)))
        .collect();
    let mut text = String::new();
    let head_row: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(&head_row).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().take(columns).enumerate() {
            let pad = " ".repeat(widths[column] - cell.chars().count());
            let parts: [&str; 3] = if right[column] { ["  ", &pad, cell] } else { ["  ", cell, &pad] };
            line.extend(parts);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A number, perhaps with a unit; an address is not a number.
fn is_number(cell: &str) -> bool {
    let figure = cell.split(' ').next().unwrap_or_default();
    cell == "-" || figure.parse::<f64>().is_ok()
}

/// Columns and rows of the terminal at standard output. `None`: the output is no terminal, or the terminal does not tell.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    // SAFETY: the call fills the plain structure that it is given, or fails.
    let (result, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size), size)
    };
    (result == 0 && size.ws_col > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// A number, or a dash if there is none.
pub(crate) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["0", "active", "7"], ["10", "failed", "-"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).into()).collect()).collect();
        assert_eq!(
            aligned(&["index", "state", "calls"], &rows),
            "  index  state   calls\n      0  active      7\n     10  failed      -\n"
        );
    }
}
