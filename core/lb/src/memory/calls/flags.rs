//! The flags of a remembered call. Its [`Mark`](crate::memory::mark::Mark) lies in the upper half of the same word.

use crate::memory::expiring::Entry;

/// The call is over, and nothing prolongs it.
pub(super) const OVER: u32 = 1;
/// A provisional response, a success, a failure of the set-up, or an answer to the BYE has passed, so that a repeated one
/// does not count again.
pub(super) const RANG: u32 = 1 << 1;
pub(super) const ANSWERED: u32 = 1 << 2;
pub(super) const FAILED: u32 = 1 << 3;
pub(super) const ENDED: u32 = 1 << 6;
/// How much higher the same four flags are for the passage to a client: a call may pass twice, from a client to a server and
/// from that server to another client, and each of its responses passes twice.
pub(super) const TO_CLIENT: u32 = 8;
/// Two bits: how many servers refused the set-up by their own fault, so that another server got it.
pub(super) const REFUSED: u32 = 1 << 4;
pub(super) const REFUSED_ALL: u32 = 3 << 4;
/// The server was on trial when the call was given to it.
pub(super) const TRIED: u32 = 1 << 7;
/// No two flags share a bit.
const _: () = assert!(OVER + RANG + ANSWERED + FAILED + REFUSED_ALL + ENDED + TRIED == u8::MAX as u32);

/// The call was given to a server on trial.
pub(crate) fn is_tried(entry: Entry) -> bool {
    entry.flags & TRIED != 0
}
