//! The reference page is the definition's: neither can change without the other.

use strowger_config as config;
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");

#[test]
fn the_reference_page_is_fresh() {
    let page = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        page == config::reference(),
        "docs/configuration.md is stale; write it anew: cargo run -- check --reference > docs/configuration.md"
    );
}

#[test]
fn every_default_is_in_its_range() {
    // A default out of range would make the least file fail, and the page would show what cannot be written.
    assert!(
        config::parse(
            "[[listen]]\naddress = \"udp:127.0.0.1:5060\"\n[[server]]\naddress = \"127.0.0.1:7000\"\n"
        )
        .is_ok()
    );
}

#[test]
fn help_comes_from_the_definition() {
    assert!(config::help("affinity.kind").contains("tag: in the message"));
    assert!(config::help("threads.workers").contains("[default: 0]"));
    assert_eq!(config::help("no.such"), "");
}
