//! Why a request was not carried out: one list, with the exit status and the HTTP status of each reason.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefusalKind {
    /// The request itself is wrong: an unknown verb or parameter, a value out of range.
    Bad,
    /// The thing that it names does not exist.
    NotFound,
    /// The request does not fit the present state.
    Conflict,
    /// The request was understood but is not possible: a configuration with errors, or a change that needs a restart.
    Impossible,
    /// Too many requests at once.
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

    /// The exit status of `strowger ctl`. 1 means that no load manager answered.
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

    /// A few fixed words, for documents.
    pub(crate) fn title(self) -> &'static str {
        match self {
            RefusalKind::Bad => "the request is wrong",
            RefusalKind::NotFound => "there is no such thing",
            RefusalKind::Conflict => "the present state does not allow it",
            RefusalKind::Impossible => "this cannot be done while running",
            RefusalKind::Busy => "there are too many requests at once",
        }
    }
}

/// Says where, what, and the remedy.
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
        let remedy = "`strowger ctl status` lists the servers";
        Refused::new(RefusalKind::NotFound, format!("there is no server {server}"), remedy)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The errors of a file begin with "error" or "warning" themselves.
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
