//! The reference page and the help of single keys, both made from the definitions.

use std::fmt::Write as _;

use crate::language::section::{KeyHelp, LeftOut};
use crate::sections::roles::Raw;

/// The help of a key, `affinity.kind`, on one line with its words; for the command line.
pub fn help(path: &str) -> String {
    let Some(key) = key_of(path) else { return String::new() };
    let mut text = flat(&key.help);
    for (word, meaning) in &key.words {
        let _ = write!(text, "\n  {word}: {meaning}");
    }
    if let LeftOut::Is(value) = key.default {
        let _ = write!(text, "\n[default: {value}]");
    }
    text
}

/// The range of a key that is a number: `limits.retry_after_seconds`.
pub fn range(path: &str) -> Option<(u64, u64)> {
    key_of(path)?.bounds
}

fn key_of(path: &str) -> Option<KeyHelp> {
    let (section, name) = path.split_once('.')?;
    let section = Raw::described().into_iter().find(|candidate| candidate.heading.name == section)?;
    section.keys.into_iter().find(|key| key.name == name)
}

/// docs/configuration.md.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Made by `strowger check --reference`; change app/config/src/sections instead. -->\n\n\
         `strowger lb --config FILE` reads one TOML file. `strowger check FILE` shows all errors of the file, each with line, column \
         and remedy, and starts nothing. [example.toml](example.toml) is a file to start from. Unknown sections and keys are \
         errors. If the file has errors, the program ends with status 64.\n\n\
         The column `change`: a `live` key can change while the load manager runs; a reload (`strowger ctl reload`, SIGHUP) takes \
         the new value from the file. A `restart` key changes only when the program is started again; if such a key differs, a \
         reload is refused as a whole.\n",
    );
    for section in Raw::described() {
        let _ = write!(page, "\n## `{}`\n\n{}\n", section.heading, flat(&section.help));
        if section.heading.repeated {
            page.push_str("May be repeated.\n");
        }
        page.push_str("\n| key | value | default | change | meaning |\n|---|---|---|---|---|\n");
        for key in &section.keys {
            let (default, effect, meaning) = (default(key), key.effect.word(), meaning(key));
            let _ = writeln!(page, "| `{}` | {} | {default} | {effect} | {meaning} |", key.name, key.form);
        }
    }
    page
}

fn default(key: &KeyHelp) -> String {
    match key.default {
        LeftOut::Required => "required".into(),
        LeftOut::Unset => "none".into(),
        LeftOut::Is(value) => format!("`{value}`"),
    }
}

fn meaning(key: &KeyHelp) -> String {
    let mut text = flat(&key.help).replace('|', "\\|");
    for (word, meaning) in &key.words {
        let _ = write!(text, "<br>`{word}`: {meaning}");
    }
    text
}

/// Doc comments have a blank in front of each line.
fn flat(help: &str) -> String {
    help.split_whitespace().collect::<Vec<_>>().join(" ")
}
