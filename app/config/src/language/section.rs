//! How a section of the file is defined and read. `sections!` makes, from one definition per key, the struct that the
//! checks use, its reader, and the row of the reference page.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::language::problem::{Problems, SourcePosition, nearest};
use crate::language::value::{Bounds, Value};

/// A value with the place it was written at.
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

/// What a key is when it is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// It must be written.
    Required,
    /// It stays unset; the help says what that means.
    Unset,
    /// This, in the form of the command line.
    Is(&'static str),
}

/// A section as it is headed: `[tls]`, or `[[listen]]` where it may stand several times.
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
    /// The words of a choice, each with what it does.
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

/// Reads one key of a table. `None`: it is missing though required, or its value is wrong; both are recorded.
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
            None => format!("{section} knows {}", known.join(", ")),
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
                        format!("`{name}` holds something other than sections"),
                        format!("write each as a section of its own, headed {section}"),
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
            problems.error(&place, format!("`{name}` is a section"), format!("head it with {section}"));
            Vec::new()
        }
    }
}

/// `one` sections become a field of the name; `many` sections a `Vec`.
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
                    // All keys are read before the first missing one ends it, so that all problems show.
                    $( let $key = read_key(
                        $struct::HEADING, table, span,
                        (stringify!($key), $default, sections!(@bounds $($low, $high)?)), problems,
                    ); )+
                    Some($struct { $( $key: $key?, )+ })
                }

                /// All keys at their defaults; `None` where one is required.
                #[allow(dead_code, reason = "sections that may stand several times default to none of them")]
                pub(crate) fn defaults() -> Option<$struct> {
                    Some($struct { $( $key: Field {
                        value: default_of($default, sections!(@bounds $($low, $high)?))?,
                        place: SourcePosition::Unwritten,
                    }, )+ })
                }
            }
        )+

        /// The file as it was written, each value of the right kind and in its range, none checked against another.
        #[derive(Clone, Debug)]
        pub(crate) struct Raw { $( pub $section: sections!(@field $quantity $struct), )+ }

        impl Raw {
            /// Every section that there is.
            pub(crate) const HEADINGS: &[SectionName] = &[$($struct::HEADING),+];

            /// A section that could not be read is left at its defaults, so that the checks can go on to find more.
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

        /// What the reference page is made of.
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
        $read.into_iter().next().or_else($struct::defaults).expect("a section that stands once has only optional keys")
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
            None => format!("known sections are {}", names().collect::<Vec<_>>().join(", ")),
        };
        problems.error(
            &SourcePosition::At(key.span().start),
            format!("unknown section [{}]", key.get_ref()),
            remedy,
        );
    }
}
