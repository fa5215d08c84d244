//! Options of a command line that each set one key of the configuration: their list, and their reader. The key's own reader
//! reads the value, so the range stands only in the key's definition.

use crate::language::problem::{Problems, SourcePosition};
use crate::sections::roles::Raw;

/// One option: `--hold-setup WHICH` sets `hold_setup.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOption {
    /// Without the two hyphens.
    pub name: &'static str,
    /// The placeholder for the value in the help.
    pub value_name: &'static str,
    pub key: &'static str,
}

const fn option(name: &'static str, value_name: &'static str, key: &'static str) -> KeyOption {
    KeyOption { name, value_name, key }
}

const KEY_FILE: KeyOption = option("key-file", "FILE", "keys.file");

/// Options of a load manager.
pub const LB_OPTIONS: &[KeyOption] = &[
    option("affinity", "KIND", "affinity.kind"),
    option("selection", "POLICY", "selection.kind"),
    option("hash", "KIND", "affinity.hash"),
    option("hold-setup", "WHICH", "hold_setup.kind"),
    option("register", "WHERE", "register.to"),
    option("path", "WHEN", "register.path"),
    option("health", "PROBE", "health.probe"),
    option("heartbeat", "ADDRESS", "heartbeat.listen"),
    option("threads", "MODEL", "threads.model"),
    option("workers", "N", "threads.workers"),
    option("control", "PATH", "control.path"),
    KEY_FILE,
    option("memory-file", "FILE", "memory.file"),
    option("certificate", "FILE", "tls.certificate"),
    option("key", "FILE", "tls.key"),
    option("server-ca", "FILE", "tls.server_ca"),
];

/// Options of a performance server.
pub const PERF_OPTIONS: &[KeyOption] = &[
    option("listen", "ADDRESS:PORT", "perf.listen"),
    option("poll-ms", "MS", "perf.poll_ms"),
    option("answer-within-ms", "MS", "perf.answer_within_ms"),
    KEY_FILE,
];

/// The options on a command line: the key of each, and its value as text.
pub type Given = Vec<(KeyOption, String)>;

pub(crate) fn set(raw: &mut Raw, given: &[(KeyOption, String)], problems: &mut Problems) {
    for (option, text) in given {
        let place = place(option.name, text);
        if let Err((what, remedy)) = raw.set(option.key, text, &place) {
            problems.error(&place, what, remedy);
        }
    }
}

pub(crate) fn place(name: &str, text: &str) -> SourcePosition {
    SourcePosition::Option(format!("--{name} {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::help;

    #[test]
    fn every_option_sets_a_key_that_there_is() {
        for option in LB_OPTIONS.iter().chain(PERF_OPTIONS) {
            assert_ne!(help(option.key), "", "{}", option.name);
            let mut raw = Raw::defaults();
            if let Err((what, _)) = raw.set(option.key, "127.0.0.1:1", &SourcePosition::Unwritten) {
                assert!(!what.contains("no key"), "{}: {what}", option.name);
            }
        }
    }
}
