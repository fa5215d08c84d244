//! Why something was not done: one list, with the exit status and the HTTP status of each.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefusalKind {
    /// The request itself is wrong: an unknown verb or parameter, a value out of range.
    Bad,
    /// What it names is not there.
    NotFound,
    /// It does not fit the present state.
    Conflict,
    /// It was understood, and what it asks for is not possible: a configuration with errors, a change that needs a restart.
    Impossible,
    /// Too much is being asked at once.
    Busy,
}

impl RefusalKind {
    pub(crate) const ALL: [RefusalKind; 5] = [
        RefusalKind::Bad,
        RefusalKind::NotFound,
        RefusalKind::Conflict,
        RefusalKind::Impossible,
        RefusalKind::Busy,
    ];

    /// Of `strowger ctl`; 1 means that no load manager answered.
    pub(crate) fn exit(self) -> u8 {
        match self {
            RefusalKind::Bad => config::EXIT_USAGE,
            RefusalKind::NotFound => 2,
            RefusalKind::Conflict => 3,
            RefusalKind::Impossible => 4,
            RefusalKind::Busy => 5,
        }
    }

    pub(crate) fn http(self) -> u16 {
        match self {
            RefusalKind::Bad => 400,
            RefusalKind::NotFound => 404,
            RefusalKind::Conflict => 409,
            RefusalKind::Impossible => 422,
            RefusalKind::Busy => 503,
        }
    }

    /// A few words that do not change, for documents.
    pub(crate) fn title(self) -> &'static str {
        match self {
            RefusalKind::Bad => "the request is wrong",
            RefusalKind::NotFound => "there is no such thing",
            RefusalKind::Conflict => "the present state does not allow it",
            RefusalKind::Impossible => "this cannot be done while running",
            RefusalKind::Busy => "too much is asked at once",
        }
    }
}

/// Says where, what, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) why: RefusalKind,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Refused {
    pub(crate) fn new(why: RefusalKind, what: impl Into<String>, remedy: impl Into<String>) -> Refused {
        Refused { why, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn bad(what: impl Into<String>, remedy: impl Into<String>) -> Refused {
        Refused::new(RefusalKind::Bad, what, remedy)
    }

    pub(crate) fn no_server(server: std::net::SocketAddr) -> Refused {
        let remedy = "`strowger ctl status` lists those that there are";
        Refused::new(RefusalKind::NotFound, format!("there is no server {server}"), remedy)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The mistakes of a file say of each whether it is an error.
        let said = ["error: ", "warning: "].iter().any(|word| self.what.starts_with(word));
        let word = if said { "" } else { "error: " };
        write!(f, "{word}{}\n  remedy: {}", self.what, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_error_is_said_once() {
        for what in ["no such server", "error: no such server"] {
            assert_eq!(Refused::bad(what, "mend").to_string(), "error: no such server\n  remedy: mend");
        }
    }

    #[test]
    fn each_reason_has_a_status_of_its_own() {
        let mut exits: Vec<u8> = RefusalKind::ALL.iter().map(|why| why.exit()).collect();
        let mut statuses: Vec<u16> = RefusalKind::ALL.iter().map(|why| why.http()).collect();
        exits.sort_unstable();
        exits.dedup();
        statuses.sort_unstable();
        statuses.dedup();
        assert_eq!((exits.len(), statuses.len()), (RefusalKind::ALL.len(), RefusalKind::ALL.len()));
        assert!(!exits.contains(&0) && !exits.contains(&1));
    }
}
