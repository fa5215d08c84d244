//! How another program chooses among its destinations, in the load manager's words.

/// See the head of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// `selection.kind`.
    pub(super) kind: &'static str,
    /// Priorities decide who gets calls; otherwise they only order the attempts.
    pub(super) by_priority: bool,
}
