//! Remedies for a file that is not TOML. The parser's own words do not help an operator, so the usual mistakes have remedies
//! here.

use crate::language::section::SectionName;

/// The remedy for the syntax error that the parser found at `offset` of `text`, in a file with these sections.
pub(crate) fn remedy(text: &str, offset: usize, message: &str, sections: &[SectionName]) -> String {
    if message.contains("duplicate key") {
        let repeated = sections.iter().filter(|section| section.repeated);
        let repeated: Vec<String> = repeated.map(ToString::to_string).collect();
        return format!("write each key and section once; only {} may be repeated", repeated.join(", "));
    }
    let before = text.get(..offset).unwrap_or_default();
    let line = &text[before.rfind('\n').map_or(0, |end| end + 1)..];
    let line = line.lines().next().unwrap_or_default();
    if let Some((key, value)) = line.split_once('=') {
        let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain && !value.is_empty() && !value.contains(['"', '\'', '[', ']', '{', '}']) {
            return format!("write text in quotes: {key} = \"{value}\"");
        }
    }
    "the file is TOML, lines such as `key = \"value\"` under a [section]: see https://toml.io".into()
}
