//! Repeated failures for the operator's log: calls for which there is no server. There is at most one line in [`PERIOD`],
//! with the number of failures since the last line.

use base::{Duration, Time};

/// Often enough to show a failure, seldom enough to fill no disk.
const PERIOD: Duration = Duration::from_secs(10);

/// One kind of line.
#[derive(Clone, Copy, Debug, Default)]
struct Seldom {
    said: Option<Time>,
    left_out: u64,
}

impl Seldom {
    /// Whether this many failures must be logged now, together with those left out before.
    fn due(&mut self, now: Time, more: u64) -> Option<u64> {
        if self.said.is_some_and(|said| now.since(said) < PERIOD) {
            self.left_out += more;
            return None;
        }
        self.said = Some(now);
        Some(more + std::mem::take(&mut self.left_out))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Complaints {
    no_server: Seldom,
    refused: u64,
}

impl Complaints {
    /// This many requests were answered 503 for want of a server since the start; `takes` of `all` servers take new calls.
    pub(crate) fn no_server(&mut self, now: Time, refused: u64, takes: usize, all: usize) -> Option<String> {
        let more = refused.saturating_sub(std::mem::replace(&mut self.refused, refused));
        // Failures that were left out are logged when the time has come, even if none is added then.
        if more == 0 && self.no_server.left_out == 0 {
            return None;
        }
        let count = self.no_server.due(now, more)?;
        Some(format!(
            "requests without a server: {count} were answered 503; {takes} of {all} servers take new calls"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_secs(100) + Duration::from_millis(millis)
    }

    #[test]
    fn refused_calls_are_said_at_once_and_then_summed_up() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.no_server(at(0), 0, 2, 2), None);
        let said = complaints.no_server(at(50), 3, 0, 2).unwrap();
        assert!(
            said.starts_with("requests without a server: 3 were answered 503")
                && said.ends_with("0 of 2 servers take new calls"),
            "{said}"
        );
        assert_eq!(complaints.no_server(at(100), 40, 0, 2), None);
        assert_eq!(complaints.no_server(at(150), 40, 0, 2), None);
        assert!(complaints.no_server(at(10_050), 40, 0, 2).unwrap().contains(": 37 were"));
        assert_eq!(complaints.no_server(at(30_000), 40, 0, 2), None);
    }
}
