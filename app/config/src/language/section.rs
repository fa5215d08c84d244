//! How a section of the file is defined and read. From one definition of each key, `sections!` makes the struct for the checks,
//! its reader, the row of the reference page, and the comparison at a reload. A role names the sections that it reads
//! (`language/role.rs`).

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::language::problem::{Problems, SourcePosition, nearest};
use crate::language::value::{Bounds, Value, Wrong};

/// A value together with the place where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<T> {
    pub value: T,
    pub place: SourcePosition,
}

impl<T> Field<T> {
    pub(crate) fn is_written(&self) -> bool {
        self.place != SourcePosition::Unwritten
    }
}

/// The value of a key that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// The key must be written.
    Required,
    /// The key stays unset; its help says what that means.
    Unset,
    /// This value, in the form of the command line.
    Is(&'static str),
}

/// The time when a key that was changed in the file takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// At a reload. The reload tells both values as the file writes them.
    Live,
    /// At a reload. The key names a file, which is read again, or the key is a secret: the reload does not tell its value.
    Reread,
    /// At a restart: sockets, threads and tables are made for the value.
    Restart,
}

impl Effect {
    /// The word of the reference page.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Effect::Live | Effect::Reread => "live",
            Effect::Restart => "restart",
        }
    }
}

/// The heading of a section: `[tls]`, or `[[listen]]` if the section may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionName {
    pub name: &'static str,
    pub repeated: bool,
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.repeated {
            true => write!(f, "[[{}]]", self.name),
            false => write!(f, "[{}]", self.name),
        }
    }
}

/// One row of the reference page.
#[derive(Clone, Debug)]
pub(crate) struct KeyHelp {
    pub name: &'static str,
    pub form: String,
    /// The words of a choice, and the meaning of each.
    pub words: Vec<(&'static str, &'static str)>,
    pub default: LeftOut,
    pub effect: Effect,
    /// The range of a number.
    pub bounds: Bounds,
    pub help: String,
}

/// One section of the reference page.
#[derive(Clone, Debug)]
pub(crate) struct SectionHelp {
    pub heading: SectionName,
    pub help: String,
    pub keys: Vec<KeyHelp>,
}

/// The content of one key of a section.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub effect: Effect,
    /// As the file writes it.
    pub value: String,
    /// The key stands in the file, or among the options.
    pub is_written: bool,
}

/// The methods that `sections!` gives each section.
pub(crate) trait Section: Sized {
    const HEADING: SectionName;

    /// `None`: a key is missing or wrong, which is recorded.
    fn read(table: &DeTable<'_>, span: &Range<usize>, problems: &mut Problems) -> Option<Self>;

    /// The section with these keys given as texts, and all others at their defaults.
    fn of(given: &[(&str, &str)], place: &SourcePosition) -> Result<Self, Wrong>;

    /// Sets one key from a text. `None`: the section has no such key.
    fn set(&mut self, key: &str, text: &str, place: &SourcePosition) -> Option<Result<(), Wrong>>;

    /// All keys, in the order of their definition.
    fn held(&self) -> Vec<Held>;

    fn described() -> SectionHelp;
}

/// The value of a key in a section that is made from texts.
pub(crate) fn given_or_default<T: Value>(
    (name, default, bounds): (&str, LeftOut, Bounds),
    given: &[(&str, &str)],
    place: &SourcePosition,
) -> Result<Field<T>, Wrong> {
    match given.iter().find(|(key, _)| *key == name) {
        Some((_, text)) => Ok(Field { value: T::from_text(text, bounds)?, place: place.clone() }),
        None => match default_of(default, bounds) {
            Some(value) => Ok(Field { value, place: SourcePosition::Unwritten }),
            None => Err((format!("`{name}` is missing"), format!("add `{name}`: {}", T::form(bounds)))),
        },
    }
}

/// Reads one key of a table. `None`: a required key is missing, or the value is wrong. Both are recorded.
pub(crate) fn read_key<T: Value>(
    section: SectionName,
    table: &DeTable<'_>,
    span: &Range<usize>,
    (name, default, bounds): (&str, LeftOut, Bounds),
    problems: &mut Problems,
) -> Option<Field<T>> {
    let Some(value) = table.get(name) else {
        let value = default_of::<T>(default, bounds);
        if value.is_none() {
            let place = SourcePosition::At(span.start);
            let remedy = format!("add `{name} = …`: {}", T::form(bounds));
            problems.error(&place, format!("`{name}` is missing in {section}"), remedy);
        }
        return value.map(|value| Field { value, place: SourcePosition::Unwritten });
    };
    let place = SourcePosition::At(value.span().start);
    match T::from_toml(value.get_ref(), bounds) {
        Ok(value) => Some(Field { value, place }),
        Err((what, remedy)) => {
            problems.error(&place, format!("`{name}`: {what}"), remedy);
            None
        }
    }
}

pub(crate) fn default_of<T: Value>(default: LeftOut, bounds: Bounds) -> Option<T> {
    match default {
        LeftOut::Required => None,
        LeftOut::Unset => T::absent(),
        LeftOut::Is(text) => T::from_text(text, bounds).ok(),
    }
}

pub(crate) fn unknown_keys(
    section: SectionName,
    table: &DeTable<'_>,
    known: &[&str],
    problems: &mut Problems,
) {
    for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
        let written: BTreeSet<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
        let free = known.iter().copied().filter(|known| !written.contains(known));
        let remedy = match nearest(key.get_ref(), free) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys of {section} are {}", known.join(", ")),
        };
        problems.error(
            &SourcePosition::At(key.span().start),
            format!("unknown key `{}` in {section}", key.get_ref()),
            remedy,
        );
    }
}

/// The tables of a section: none, one, or (repeated) several.
pub(crate) fn tables<'a>(
    root: &'a DeTable<'a>,
    section: SectionName,
    problems: &mut Problems,
) -> Vec<(&'a DeTable<'a>, Range<usize>)> {
    let SectionName { name, repeated } = section;
    let Some(value) = root.get(name) else { return Vec::new() };
    let place = SourcePosition::At(value.span().start);
    match value.get_ref() {
        DeValue::Table(table) if !repeated => vec![(table, value.span())],
        DeValue::Array(list) if repeated => {
            let mut found = Vec::new();
            for item in list.iter() {
                match item.get_ref() {
                    DeValue::Table(table) => found.push((table, item.span())),
                    _ => problems.error(
                        &SourcePosition::At(item.span().start),
                        format!("`{name}` must be a section"),
                        format!("begin each of them with {section}"),
                    ),
                }
            }
            found
        }
        DeValue::Table(_) => {
            problems.error(
                &place,
                format!("[{name}] may be repeated, so it needs double brackets"),
                format!("write {section}"),
            );
            Vec::new()
        }
        _ => {
            problems.error(&place, format!("`{name}` is a section"), format!("begin it with {section}"));
            Vec::new()
        }
    }
}

/// `EFFECT KEY: KIND = DEFAULT, LOWEST..=HIGHEST;` for each key, with its help as doc comment.
macro_rules! sections {
    ($(
        $(#[doc = $section_help:literal])+
        $quantity:ident $section:ident as $struct:ident {
            $( $(#[doc = $key_help:literal])+ $effect:ident $key:ident : $type:ty = $default:expr $(, $low:literal ..= $high:literal)?; )+
        }
    )+) => { $(
        $(#[doc = $section_help])+
        #[derive(Clone, Debug)]
        pub(crate) struct $struct { $( $(#[doc = $key_help])+ pub $key: Field<$type>, )+ }

        impl Section for $struct {
            const HEADING: SectionName =
                SectionName { name: stringify!($section), repeated: sections!(@repeated $quantity) };

            fn read(table: &DeTable<'_>, span: &Range<usize>, problems: &mut Problems) -> Option<$struct> {
                unknown_keys($struct::HEADING, table, &[$(stringify!($key)),+], problems);
                // All keys are read before a missing key ends the section, so that all errors show.
                $( let $key = read_key(
                    $struct::HEADING, table, span,
                    (stringify!($key), $default, sections!(@bounds $($low, $high)?)), problems,
                ); )+
                Some($struct { $( $key: $key?, )+ })
            }

            fn of(given: &[(&str, &str)], place: &SourcePosition) -> Result<$struct, Wrong> {
                Ok($struct { $( $key: given_or_default(
                    (stringify!($key), $default, sections!(@bounds $($low, $high)?)), given, place,
                )?, )+ })
            }

            fn set(&mut self, key: &str, text: &str, place: &SourcePosition) -> Option<Result<(), Wrong>> {
                match key {
                    $( stringify!($key) => {
                        let read = <$type as Value>::from_text(text, sections!(@bounds $($low, $high)?));
                        Some(read.map(|value| self.$key = Field { value, place: place.clone() }))
                    } )+
                    _ => None,
                }
            }

            fn held(&self) -> Vec<Held> {
                vec![$( Held {
                    effect: sections!(@effect $effect),
                    value: self.$key.value.written(),
                    is_written: self.$key.is_written(),
                }, )+]
            }

            fn described() -> SectionHelp {
                SectionHelp {
                    heading: $struct::HEADING,
                    help: concat!($($section_help, "\n"),+).to_owned(),
                    keys: vec![$( KeyHelp {
                        name: stringify!($key),
                        form: <$type as Value>::form(sections!(@bounds $($low, $high)?)),
                        words: <$type as Value>::words(),
                        default: $default,
                        effect: sections!(@effect $effect),
                        bounds: sections!(@bounds $($low, $high)?),
                        help: concat!($($key_help, "\n"),+).to_owned(),
                    }, )+],
                }
            }
        }
    )+ };
    (@bounds) => { None };
    (@bounds $low:literal, $high:literal) => { Some(($low, $high)) };
    (@repeated one) => { false };
    (@repeated many) => { true };
    (@effect live) => { Effect::Live };
    (@effect reread) => { Effect::Reread };
    (@effect restart) => { Effect::Restart };
}

pub(crate) use sections;
