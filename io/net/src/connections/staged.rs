//! Messages of one turn that wait for its end.

use std::ops::Range;

use sip::Target;

use super::slots::Key;

/// A message of this turn whose connection is known. Its ranges lie in the bytes of `flush`.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) key: Key,
    /// Keeps the messages of one connection in order.
    pub(super) order: u32,
    pub(super) range: Range<u32>,
    pub(super) target: Target,
    pub(super) fallback: Option<(Range<u32>, Target)>,
}
