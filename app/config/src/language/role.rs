//! The sections that a role reads, together. They are read from a file, or set key by key from options, and compared with the
//! sections of another file.

use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition, nearest};
use crate::language::section::{Effect, Held, Section, SectionName, tables};

/// A key that differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// `limits.sessions_max`, or the heading of the section, if the heading stands for all its keys.
    pub key: String,
    /// Only a restart can change the key.
    pub restart: bool,
    /// Both values as the file writes them.
    pub before: String,
    pub after: String,
}

/// All tables of a section that could be read.
pub(crate) fn read_all<S: Section>(root: &DeTable<'_>, problems: &mut Problems) -> Vec<S> {
    let found = tables(root, S::HEADING, problems);
    found.iter().filter_map(|(table, span)| S::read(table, span, problems)).collect()
}

/// A section that is not repeated, with all keys at their defaults.
pub(crate) fn unwritten<S: Section>() -> S {
    S::of(&[], &SourcePosition::Unwritten).expect("a section that is not repeated has only optional keys")
}

/// The differences between the sections of one heading. Of sections that may be repeated, only the keys that need a restart are
/// compared here: the caller knows which server or which place a section means, and compares the rest.
pub(crate) fn differences<S: Section>(before: &[S], after: &[S], found: &mut Vec<Differs>) {
    let held = |sections: &[S]| -> Vec<Vec<Held>> { sections.iter().map(Section::held).collect() };
    let (before, after) = (held(before), held(after));
    let heading = S::HEADING.to_string();
    for (at, key) in S::described().keys.iter().enumerate() {
        let told = match key.effect {
            Effect::Restart => true,
            Effect::Live => !S::HEADING.repeated,
            Effect::Reread => false,
        };
        let written = |sections: &[Vec<Held>]| -> String {
            let values: Vec<&str> = sections.iter().map(|keys| keys[at].value.as_str()).collect();
            values.join(", ")
        };
        let (before, after) = (written(&before), written(&after));
        // The heading stands for the keys after it.
        let is_named = found.last().is_some_and(|last| last.key == heading);
        if told && before != after && !is_named {
            let restart = key.effect == Effect::Restart;
            found.push(Differs { key: named::<S>(at), restart, before, after });
        }
    }
}

/// The name of a key for people. The first key of a section that may be repeated names the section, so the heading stands for
/// it. If all keys of a section need a restart, the heading stands for all of them.
fn named<S: Section>(at: usize) -> String {
    let (heading, keys) = (S::HEADING, S::described().keys);
    let key = keys[at].name;
    match heading.repeated {
        true if at == 0 => heading.to_string(),
        true => format!("{key} of {heading}"),
        false if keys.len() > 1 && keys.iter().all(|key| key.effect == Effect::Restart) => {
            heading.to_string()
        }
        false => format!("{}.{key}", heading.name),
    }
}

/// Keys in the file that only a restart can change.
pub(crate) fn written_for_a_start<S: Section>(sections: &[S], found: &mut Vec<String>) {
    let heading = S::HEADING.to_string();
    for section in sections {
        for (at, held) in section.held().iter().enumerate() {
            let name = named::<S>(at);
            let is_named = found.contains(&heading) || found.contains(&name);
            if held.is_written && held.effect == Effect::Restart && !is_named {
                found.push(name);
            }
        }
    }
}

/// `one`: the section becomes a field of that name. `many`: the sections become a `Vec`.
macro_rules! role {
    ($(#[doc = $help:literal])+ $role:ident { $( $quantity:ident $section:ident: $struct:ident, )+ }) => {
        $(#[doc = $help])+
        #[derive(Clone, Debug)]
        pub(crate) struct $role { $( pub $section: role!(@field $quantity $struct), )+ }

        impl $role {
            /// All sections.
            pub(crate) const HEADINGS: &[SectionName] = &[$($struct::HEADING),+];

            /// A section that could not be read keeps its defaults, so that the checks go on and find more errors.
            pub(crate) fn read(root: &DeTable<'_>, problems: &mut Problems) -> $role {
                unknown_sections(root, $role::HEADINGS, problems);
                $role { $( $section: role!(@take $quantity read_all::<$struct>(root, problems)), )+ }
            }

            pub(crate) fn defaults() -> $role {
                $role { $( $section: role!(@take $quantity Vec::<$struct>::new()), )+ }
            }

            /// Sets one key of a section that stands once: `limits.sessions_max`.
            pub(crate) fn set(&mut self, path: &str, text: &str, place: &SourcePosition) -> Result<(), Wrong> {
                let (section, key) = path.split_once('.').unwrap_or((path, ""));
                let set = match section {
                    $( stringify!($section) => role!(@set $quantity self.$section, key, text, place), )+
                    _ => None,
                };
                set.unwrap_or_else(|| Err((format!("no key `{path}`"), "name a key of the configuration".into())))
            }

            /// The differences from this configuration to `after`.
            pub(crate) fn differences(&self, after: &$role) -> Vec<Differs> {
                let mut found = Vec::new();
                $( differences(
                    role!(@slice $quantity self.$section), role!(@slice $quantity after.$section), &mut found,
                ); )+
                found
            }

            /// Keys in the file that only a restart can change.
            pub(crate) fn written_for_a_start(&self) -> Vec<String> {
                let mut found = Vec::new();
                $( written_for_a_start(role!(@slice $quantity self.$section), &mut found); )+
                found
            }

            /// The content of the reference page.
            pub(crate) fn described() -> Vec<SectionHelp> {
                vec![$( $struct::described(), )+]
            }
        }
    };
    (@field one $struct:ident) => { $struct };
    (@field many $struct:ident) => { Vec<$struct> };
    (@take one $read:expr) => { $read.into_iter().next().unwrap_or_else(unwritten) };
    (@take many $read:expr) => { $read };
    (@set one $section:expr, $key:expr, $text:expr, $place:expr) => { $section.set($key, $text, $place) };
    (@set many $section:expr, $key:expr, $text:expr, $place:expr) => { None };
    (@slice one $section:expr) => { std::slice::from_ref(&$section) };
    (@slice many $section:expr) => { &$section };
}

pub(crate) use role;

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
