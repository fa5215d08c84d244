//! Which conditions of a server are worth a line of the log. A dead server is tried again and again. The log says once that
//! it failed and once that it is tried, until the server is something else.

use lb::farm::condition::Condition;

/// What the log has said about a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    condition: Condition,
    failed: bool,
    trial: bool,
}

impl Said {
    pub(crate) fn new(condition: Condition) -> Said {
        let (failed, trial) = (condition == Condition::Failed, condition == Condition::Trial);
        Said { condition, failed, trial }
    }

    /// Notes the present condition. True: a line is due.
    pub(crate) fn note(&mut self, condition: Condition) -> bool {
        if condition == self.condition {
            return false;
        }
        self.condition = condition;
        match condition {
            Condition::Failed => !std::mem::replace(&mut self.failed, true),
            Condition::Trial => !std::mem::replace(&mut self.trial, true),
            Condition::Active | Condition::KnownCallsOnly => {
                (self.failed, self.trial) = (false, false);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Condition::{Active, Failed, KnownCallsOnly, Trial};

    #[test]
    fn a_server_that_is_tried_without_end_is_said_to_have_failed_once() {
        let mut said = Said::new(Active);
        let mut lines = Vec::new();
        let all = [Failed, Trial, Failed, Trial, Failed, Trial, Active, Failed, Trial, KnownCallsOnly, Trial];
        for condition in all {
            if said.note(condition) {
                lines.push(condition);
            }
        }
        assert_eq!(lines, [Failed, Trial, Active, Failed, Trial, KnownCallsOnly, Trial]);
        assert!(!said.note(Trial), "nothing changed");
    }
}
