//! The words of keys that belong to the process rather than to the farm: how the log is written, what happens at its end.

use crate::language::value::Choice;

/// The words of `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat, &'static str)] = &[
        ("text", LogFormat::Text, "time (RFC 3339), level, module, a sentence, fields"),
        (
            "json",
            LogFormat::Json,
            "one object per line: `time` (RFC 3339), `log` (`operation`), `level`, `module`, `message`, fields",
        ),
    ];
}

/// What happens to new calls while the load manager ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewCalls {
    Refuse,
    Serve,
}

impl Choice for NewCalls {
    const WORDS: &'static [(&'static str, NewCalls, &'static str)] = &[
        ("refuse", NewCalls::Refuse, "answered 503 with Retry-After, so that callers go elsewhere"),
        (
            "serve",
            NewCalls::Serve,
            "carried as before: behind an anycast or VRRP pair, which takes the traffic away meanwhile",
        ),
    ];
}
