//! A configuration in a file: read the file, check its syntax, read its keys, then check the whole.

use std::io::Read as _;
use std::path::Path;

use toml::de::DeTable;

use crate::checks::lb::{Checked, check};
use crate::checks::perf::{Perf, perf};
use crate::files::keys::readable_by_others;
use crate::language::problem::{Problems, Source, SourcePosition};
use crate::language::syntax::remedy;
use crate::sections::roles::Raw;

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Checked, Problems> {
    read_raw(path).and_then(|(raw, problems)| check(raw, problems))
}

/// The same for a start. Some errors must be repaired, but serving with them is better than not serving: here they are
/// warnings.
pub fn load_to_start(path: &Path) -> Result<Checked, Problems> {
    read_raw(path).and_then(|(raw, mut problems)| {
        problems.starting = true;
        check(raw, problems)
    })
}

fn read_raw(path: &Path) -> Result<(Raw, Problems), Problems> {
    let (source, open) = read_source(path)?;
    parse_from(source, open)
}

/// The text of a file, and whether others may read it.
pub(crate) fn read_source(path: &Path) -> Result<(Source, bool), Problems> {
    let source = |text| Source { path: Some(path.to_owned()), text };
    let text = match read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            let mut problems = Problems::new(source(String::new()));
            problems.error(&SourcePosition::Unwritten, "is not UTF-8 text", "save the file as UTF-8");
            return Err(problems);
        }
        Err(error) => {
            let mut problems = Problems::new(source(String::new()));
            let remedy = "check the path; docs/example.toml is an example to start from";
            problems.error(&SourcePosition::Unwritten, format!("cannot be read: {error}"), remedy);
            return Err(problems);
        }
    };
    let open = std::fs::metadata(path).is_ok_and(|metadata| readable_by_others(&metadata));
    Ok((source(text), open))
}

/// A larger file is some other file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(std::io::Error::other("the file is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// Checks the text of a configuration.
pub fn parse(text: &str) -> Result<Checked, Problems> {
    let (raw, problems) = parse_from(Source { path: None, text: text.to_owned() }, false)?;
    check(raw, problems)
}

/// Reads a file for a performance server alone: only the sections `perf`, `measure` and `keys`.
pub fn load_perf(path: &Path) -> Result<Perf, Problems> {
    read_raw(path).and_then(|(raw, problems)| perf(&raw, problems))
}

pub(crate) fn parse_from(source: Source, readable_by_others: bool) -> Result<(Raw, Problems), Problems> {
    let mut problems = Problems::new(source);
    let text = problems.source.text.clone();
    let (root, broken) = DeTable::parse_recoverable(&text);
    for error in broken {
        let place = error.span().map_or(SourcePosition::Unwritten, |span| SourcePosition::At(span.start));
        let what = error.message().trim();
        let offset = error.span().map_or(0, |span| span.start);
        problems.error(&place, what.to_owned(), remedy(&text, offset, what, Raw::HEADINGS));
    }
    // After broken syntax only the syntax is reported: the reader may have misread the rest.
    if problems.has_errors() {
        problems.sort();
        return Err(problems);
    }
    let raw = Raw::read(root.get_ref(), &mut problems);
    let inline = [&raw.keys.tag.place, &raw.keys.heartbeat.place]
        .into_iter()
        .find(|place| **place != SourcePosition::Unwritten);
    if let (true, Some(place)) = (readable_by_others, inline) {
        let remedy = "chmod 600 the file, or move the keys to a file of their own (`keys.file`)";
        problems.warn(place, "others can read the keys in this file", remedy);
    }
    Ok((raw, problems))
}
