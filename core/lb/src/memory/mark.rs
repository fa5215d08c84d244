//! Who began a call, in sixteen bits: enough to tell the two ends of a dialog from a stranger who knows its Call-ID, and
//! small enough to fit into the entry that the call has anyway.

/// Where the mark lies in the flags of an entry.
const SHIFT: u32 = 16;

/// A hash of the From tag of the request that began a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u16);

impl Mark {
    pub(crate) fn of(from_tag: &[u8]) -> Mark {
        // Zero stands for none.
        Mark((xxhash_rust::xxh3::xxh3_64(from_tag) as u16).max(1))
    }

    pub(crate) fn in_flags(flags: u32) -> Option<Mark> {
        Some((flags >> SHIFT) as u16).filter(|mark| *mark != 0).map(Mark)
    }

    pub(crate) fn to_flags(self) -> u32 {
        u32::from(self.0) << SHIFT
    }

    /// Whether one of these tags is the tag of the side that began the call: each request of a dialog has that tag, in
    /// From or in To.
    pub(crate) fn fits(self, from_tag: &[u8], to_tag: Option<&[u8]>) -> bool {
        self == Mark::of(from_tag) || to_tag.is_some_and(|tag| self == Mark::of(tag))
    }
}
