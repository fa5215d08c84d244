//! The INSERT statements of an SQL dump. The names of the columns stand in the INSERT itself, or in the CREATE TABLE before it;
//! nothing is guessed from their number.

use std::collections::HashMap;

use crate::import::remark::shown;
use crate::import::row::Row;
use crate::language::value::Wrong;

/// The text has an INSERT at the beginning of a line.
pub(super) fn is_dump(text: &str) -> bool {
    text.lines().any(|line| is_word(line.split_whitespace().next().unwrap_or_default(), "INSERT"))
}

pub(super) fn rows(text: &str) -> Result<Vec<Row>, Wrong> {
    let mut tables: HashMap<String, Vec<String>> = HashMap::new();
    let mut rows = Vec::new();
    let mut reader = Reader { left: Tokens::of(text).peekable() };
    while let Some(token) = reader.left.next() {
        if token.is("CREATE") && reader.skip_to("TABLE") {
            // `CREATE TABLE IF NOT EXISTS name (…`
            let name = reader.last_before_list();
            tables.insert(name, reader.columns());
        } else if token.is("INSERT") && reader.skip_to("INTO") {
            let Some(name) = reader.name() else { continue };
            let columns = match reader.left.peek() {
                Some(token) if token.is_sign('(') => reader.columns(),
                _ => tables.get(&name).cloned().unwrap_or_default(),
            };
            if columns.is_empty() {
                let what =
                    format!("line {}: the dump does not name the columns of {}", token.line, shown(&name));
                let remedy =
                    "dump with the table's CREATE TABLE, or with column names (mysqldump --complete-insert)";
                return Err((what, remedy.into()));
            }
            if reader.skip_to("VALUES") {
                reader.values(&columns, &mut rows);
            }
        }
    }
    Ok(rows)
}

/// The statements, token by token.
struct Reader<'a> {
    left: std::iter::Peekable<Tokens<'a>>,
}

impl Reader<'_> {
    /// Goes behind the next such word of this statement.
    fn skip_to(&mut self, word: &str) -> bool {
        while let Some(token) = self.left.next_if(|token| !token.is_sign(';')) {
            if token.is(word) {
                return true;
            }
        }
        false
    }

    /// The name of a table; of `base.table` the second part.
    fn name(&mut self) -> Option<String> {
        let mut name = self.left.next_if(|token| !token.is_sign('('))?.text;
        while self.left.next_if(|token| token.is_sign('.')).is_some() {
            name = self.left.next()?.text;
        }
        Some(name)
    }

    fn last_before_list(&mut self) -> String {
        let mut name = String::new();
        while let Some(token) = self.left.next_if(|token| !token.is_sign('(') && !token.is_sign(';')) {
            name = token.text;
        }
        name
    }

    /// The first word of each entry of a list in parentheses. Keys and constraints are among them; they are behind the columns,
    /// and no value is asked for by their names.
    fn columns(&mut self) -> Vec<String> {
        let (mut columns, mut depth, mut first) = (Vec::new(), 0, true);
        while let Some(token) = self.left.next_if(|token| !token.is_sign(';')) {
            match token.sign() {
                Some('(') => depth += 1,
                Some(')') if depth <= 1 => break,
                Some(')') => depth -= 1,
                Some(',') if depth == 1 => first = true,
                _ if depth == 1 && std::mem::take(&mut first) => columns.push(token.text),
                _ => {}
            }
        }
        columns
    }

    /// The rows of one statement: `(1, 'a', NULL), (…);`
    fn values(&mut self, columns: &[String], rows: &mut Vec<Row>) {
        let (mut depth, mut line) = (0i32, 0);
        let (mut values, mut value) = (Vec::new(), String::new());
        while let Some(token) = self.left.next_if(|token| !token.is_sign(';')) {
            match token.sign() {
                Some('(') => {
                    depth += 1;
                    if depth == 1 {
                        line = token.line;
                    }
                }
                Some(')') if depth == 1 => {
                    values.push(std::mem::take(&mut value));
                    rows.push(Row::new(line, columns, std::mem::take(&mut values)));
                    depth = 0;
                }
                Some(')') => depth = (depth - 1).max(0),
                Some(',') if depth == 1 => values.push(std::mem::take(&mut value)),
                _ if depth == 0 || token.is("NULL") => {}
                _ => value.push_str(&token.text),
            }
        }
    }
}

#[derive(Debug)]
struct Token {
    text: String,
    line: usize,
    /// A name or a text in quotes is no word of SQL and no sign.
    quoted: bool,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        !self.quoted && is_word(&self.text, word)
    }

    fn sign(&self) -> Option<char> {
        let mut characters = self.text.chars();
        let first = characters.next().filter(|c| "(),;.".contains(*c));
        first.filter(|_| !self.quoted && characters.next().is_none())
    }

    fn is_sign(&self, sign: char) -> bool {
        self.sign() == Some(sign)
    }
}

fn is_word(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
}

struct Tokens<'a> {
    left: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl<'a> Tokens<'a> {
    fn of(text: &'a str) -> Tokens<'a> {
        Tokens { left: text.chars().peekable(), line: 1 }
    }

    fn take(&mut self) -> Option<char> {
        let next = self.left.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.take() {
            match c {
                '\\' if quote == '\'' => match self.take() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('0') => text.push('\0'),
                    Some(other) => text.push(other),
                    None => {}
                },
                c if c == quote && self.left.peek() == Some(&quote) => {
                    self.take();
                    text.push(quote);
                }
                c if c == quote => break,
                c => text.push(c),
            }
        }
        text
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let line = self.line;
            let c = self.take()?;
            let token = |text: String, quoted| Some(Token { text, line, quoted });
            match c {
                c if c.is_whitespace() => {}
                '\'' | '"' | '`' => return token(self.quoted(c), true),
                '-' if self.left.peek() == Some(&'-') => while self.take().is_some_and(|c| c != '\n') {},
                '#' => while self.take().is_some_and(|c| c != '\n') {},
                '(' | ')' | ',' | ';' => return token(c.to_string(), false),
                '.' if !self.left.peek().is_some_and(char::is_ascii_digit) => {
                    return token(c.to_string(), false);
                }
                c => {
                    let mut text = c.to_string();
                    let ends = |c: &char| c.is_whitespace() || "'\"`(),;".contains(*c);
                    while self.left.peek().is_some_and(|c| !ends(c)) {
                        text.extend(self.take());
                    }
                    // `base.table`: only the table counts.
                    if let Some((base, table)) = text.split_once('.')
                        && base.chars().any(char::is_alphabetic)
                        && !table.is_empty()
                    {
                        text = table.to_owned();
                    }
                    return token(text, false);
                }
            }
        }
    }
}
