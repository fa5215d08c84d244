//! Log lines of the agent.

/// What and why. A line that cannot be written is lost: the log must never end the supervision.
pub(crate) fn line(what: &str) {
    os::log::line("agent", what);
}
