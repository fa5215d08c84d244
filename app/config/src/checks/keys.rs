//! The keys of a configuration: from the configuration itself, from a key file, or random; and their checks.

use std::path::Path;

use lb::settings::Keys;

use crate::files;
use crate::files::keys::{KeyFile, heartbeat_key, tag_key};
use crate::language::problem::{Problems, SourcePosition};
use crate::sections::shared::Keys as KeysSection;

/// The keys, and whether the tag key was made for this run.
pub(crate) struct KeysFound {
    pub keys: Keys,
    pub random: bool,
}

pub(crate) fn keys(section: &KeysSection, problems: &mut Problems) -> KeysFound {
    let mut keys = Keys { tag: Vec::new(), heartbeat: None };
    for text in &section.tag.value {
        match tag_key(text.get()) {
            Ok(key) => keys.tag.push(key),
            Err((what, remedy)) => problems.error(&section.tag.place, what, remedy),
        }
    }
    if let Some(text) = &section.heartbeat.value {
        match heartbeat_key(text.get()) {
            Ok(key) => keys.heartbeat = Some(key),
            Err((what, remedy)) => problems.error(&section.heartbeat.place, what, remedy),
        }
    }
    if let Some(path) = &section.file.value {
        key_file(path, &section.file.place, &mut keys, problems);
    }
    let mut ids = [false; 256];
    for (id, _) in &keys.tag {
        if std::mem::replace(&mut ids[usize::from(*id)], true) {
            let place = if section.tag.is_written() { &section.tag.place } else { &section.file.place };
            let what = format!("two tag keys have the id {id}");
            problems.error(
                place,
                what,
                "a tag names its key by the id: make one key anew with another id, `strowger key --id N`",
            );
        }
    }
    let random = keys.tag.is_empty();
    if random {
        match files::keys::random() {
            Ok(key) => keys.tag.push((0, key.into())),
            Err(error) => {
                problems.error(
                    &SourcePosition::Unwritten,
                    format!("the system gives no random numbers: {error}"),
                    "give a key file (--key-file)",
                );
            }
        }
        if !problems.has_errors() {
            // With affinity `hash`, too: the hop in our Via is signed.
            let what = "no shared key: a random one is used for this run";
            let remedy = "calls survive a restart, and two load managers know each other's calls, only if all have the same \
                          key: strowger key > farm.keys; chmod 600 farm.keys; then keys.file (--key-file)";
            problems.warn(&SourcePosition::Unwritten, what, remedy);
        }
    }
    KeysFound { keys, random }
}

fn key_file(path: &Path, place: &SourcePosition, keys: &mut Keys, problems: &mut Problems) {
    match KeyFile::read(path) {
        Ok(file) => {
            if file.readable_by_others {
                let what = format!("others can read the key file {}", path.display());
                problems.warn(place, what, format!("chmod 600 {}", path.display()));
            }
            if file.tag.is_empty() && file.heartbeat.is_none() {
                problems.error(
                    place,
                    format!("the key file {} has no key in it", path.display()),
                    "strowger key >> the file",
                );
            }
            keys.tag.extend(file.tag);
            keys.heartbeat = keys.heartbeat.take().or(file.heartbeat);
        }
        Err((0, what, remedy)) => {
            problems.error(place, format!("the key file {} {what}", path.display()), remedy)
        }
        Err((line, what, remedy)) => {
            problems.error(place, format!("{}:{line}: {what}", path.display()), remedy);
        }
    }
}
