//! How a section of the file is defined and read. From one definition of each key, `sections!` makes the struct for the
//! checks, its reader, and the row of the reference page.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::language::problem::{Problems, SourcePosition, nearest};
use crate::language::value::{Bounds, Value};

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
pub(crate) struct Key {
    pub name: &'static str,
    pub form: String,
    /// The words of a choice, and the meaning of each.
    pub words: Vec<(&'static str, &'static str)>,
    pub default: LeftOut,
    pub help: String,
}

/// One section of the reference page.
#[derive(Clone, Debug)]
pub(crate) struct SectionHelp {
    pub heading: SectionName,
    pub help: String,
    pub keys: Vec<Key>,
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

/// `one`: the section becomes a field of that name. `many`: the sections become a `Vec`.
macro_rules! sections {
    ($(
        $(#[doc = $section_help:literal])+
        $quantity:ident $section:ident as $struct:ident {
            $( $(#[doc = $key_help:literal])+ $key:ident : $type:ty = $default:expr $(, $low:literal ..= $high:literal)?; )+
        }
    )+) => {
        $(
            $(#[doc = $section_help])+
            #[derive(Clone, Debug)]
            pub(crate) struct $struct { $( $(#[doc = $key_help])+ pub $key: Field<$type>, )+ }

            impl $struct {
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

                /// All keys at their defaults; `None` where one is required.
                #[allow(dead_code, reason = "a section that may be repeated has no defaults")]
                pub(crate) fn defaults() -> Option<$struct> {
                    Some($struct { $( $key: Field {
                        value: default_of($default, sections!(@bounds $($low, $high)?))?,
                        place: SourcePosition::Unwritten,
                    }, )+ })
                }
            }
        )+

        /// The file as it was written. Each value has the right kind and is in its range; values are not yet checked against
        /// each other.
        #[derive(Clone, Debug)]
        pub(crate) struct Raw { $( pub $section: sections!(@field $quantity $struct), )+ }

        impl Raw {
            /// All sections.
            pub(crate) const HEADINGS: &[SectionName] = &[$($struct::HEADING),+];

            /// A section that could not be read keeps its defaults, so that the checks go on and find more errors.
            pub(crate) fn read(root: &DeTable<'_>, problems: &mut Problems) -> Raw {
                unknown_sections(root, Raw::HEADINGS, problems);
                Raw { $( $section: {
                    let found = tables(root, $struct::HEADING, problems);
                    let read: Vec<$struct> =
                        found.iter().filter_map(|(table, span)| $struct::read(table, span, problems)).collect();
                    sections!(@take $quantity $struct read)
                }, )+ }
            }

            pub(crate) fn defaults() -> Raw {
                Raw { $( $section: sections!(@take $quantity $struct Vec::<$struct>::new()), )+ }
            }
        }

        /// The content of the reference page.
        pub(crate) fn described() -> Vec<SectionHelp> {
            vec![$( SectionHelp {
                heading: $struct::HEADING,
                help: concat!($($section_help, "\n"),+).to_owned(),
                keys: vec![$( Key {
                    name: stringify!($key),
                    form: <$type as Value>::form(sections!(@bounds $($low, $high)?)),
                    words: <$type as Value>::words(),
                    default: $default,
                    help: concat!($($key_help, "\n"),+).to_owned(),
                }, )+],
            }, )+]
        }
    };
    (@bounds) => { None };
    (@bounds $low:literal, $high:literal) => { Some(($low, $high)) };
    (@field one $struct:ident) => { $struct };
    (@field many $struct:ident) => { Vec<$struct> };
    (@repeated one) => { false };
    (@repeated many) => { true };
    (@take one $struct:ident $read:expr) => {
        $read.into_iter().next().or_else($struct::defaults).expect("a section that is not repeated has only optional keys")
    };
    (@take many $struct:ident $read:expr) => { $read };
}

pub(crate) use sections;

pub(crate) fn unknown_sections(root: &DeTable<'_>, known: &[SectionName], problems: &mut Problems) {
    let names = || known.iter().map(|section| section.name);
    for key in root.keys().filter(|key| names().all(|name| name != key.get_ref().as_ref())) {
        let near = nearest(key.get_ref(), names());
        let remedy = match known.iter().find(|section| Some(section.name) == near) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("the sections are {}", names().collect::<Vec<_>>().join(", ")),
        };
        problems.error(
            &SourcePosition::At(key.span().start),
            format!("unknown section [{}]", key.get_ref()),
            remedy,
        );
    }
}
