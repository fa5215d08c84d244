//! The pages in docs/ whose reader copies a whole configuration: each must pass the program's own checks, as `strowger check`
//! does. tests/peers/pages.py runs them.

use std::fs;
use std::path::Path;

/// The blocks of this language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            let block = lines.by_ref().take_while(|line| *line != "```");
            found.push(block.map(|line| format!("{line}\n")).collect());
        }
    }
    found
}

#[test]
fn the_configurations_that_readers_copy_have_no_errors() {
    let scratch = std::env::temp_dir().join(format!("strowger-docs-{}", std::process::id()));
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir(&scratch).unwrap();
    let keys = scratch.join("farm.keys");
    fs::write(&keys, config::fresh_tag_line(None).unwrap()).unwrap();
    for page in ["with-asterisk.md", "with-freeswitch.md", "with-kamailio.md"] {
        let found = blocks(page, "toml");
        let [text] = &found[..] else { panic!("{page} has {} configurations", found.len()) };
        let file = scratch.join(page).with_extension("toml");
        fs::write(&file, text.replace("/etc/strowger/farm.keys", &keys.display().to_string())).unwrap();
        let checked = config::load(&file).unwrap_or_else(|problems| panic!("{page}: {problems}"));
        assert!(checked.settings.servers.len() >= 2, "{page}: a farm has several servers");
    }
    fs::remove_dir_all(scratch).unwrap();
}
