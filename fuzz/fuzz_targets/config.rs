//! A configuration file: any text in, settings or a list of what is wrong out.
//!
//! Besides not panicking: each mistake has a place within the text and a remedy, the mistakes stand in the order of the text, what is
//! refused has an error, what is taken has none, and a second reading comes to the same.

#![no_main]

use config::{Problem, SourcePosition};
use lb::settings::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A path in the text is a file to read; these never end.
    if ["/dev", "/proc"].iter().any(|endless| text.contains(endless)) {
        return;
    }
    let (first, second) = (config::parse(text), config::parse(text));
    match (&first, &second) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.notices, other.notices);
            // Keys that were not given are drawn.
            let drawn = Settings { keys: other.settings.keys.clone(), ..one.settings.clone() };
            assert_eq!(other.settings, if one.random_keys { drawn } else { one.settings.clone() });
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.list, other.list);
            sound(text, &one.list);
            assert!(one.has_errors());
            assert!(one.to_string().matches("\n  remedy: ").count() >= one.list.len());
        }
        _ => panic!("the second reading came to another end"),
    }
});

fn sound(text: &str, problems: &[Problem]) {
    let places = problems.iter().map(|problem| match problem.place {
        SourcePosition::At(offset) => {
            assert!(offset <= text.len(), "{problem:?}");
            offset
        }
        SourcePosition::Unwritten | SourcePosition::Option(_) => usize::MAX,
    });
    assert!(places.is_sorted());
    assert!(problems.iter().all(|problem| !problem.what.is_empty() && !problem.remedy.is_empty()));
}
