//! Log lines of the poll loop: what and why. Each failure is said once, and its end too.

/// A line that cannot be written is lost: the log must never end the polls.
pub(crate) fn line(what: &str) {
    os::log::line("perf", what);
}
