//! The memory of calls as bytes: a load manager that ends leaves them for the one that starts after it. So an INVITE repeated
//! across the restart goes to the server that has it already, a CANCEL finds its call, and with session affinity every call
//! finds its server.
//!
//! ```text
//! "strowger memory" · version · key id · hash of nothing under the oldest key · wall clock · parts · authenticator
//! part:  kind · bytes of an entry · number of entries · entries
//! entry: key · server · flags · time left in milliseconds · whatever a later version adds
//! ```
//!
//! Numbers are big-endian. A reader skips kinds that it does not know and the end of longer entries, so that a load manager
//! may be replaced by an older one too. Bytes that these keys did not sign are not read: a stranger's file would steer calls.

use std::fmt;

use base::{Duration, Time};

use crate::memory::calls::Calls;
use crate::memory::expiring::{Entry, Expiring, Remembered};
use crate::signed::keyring::KeyRing;

const NAME: &[u8; 15] = b"strowger memory";
const VERSION: u8 = 1;
const ENTRY_BYTES: usize = 20;
const AUTHENTICATOR_BYTES: usize = 8;

/// The kinds of parts. A number is never used again for another kind.
const KNOWN_CALLS: u8 = 1;
const LARGE_INVITES: u8 = 2;

/// The result of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Calls that are remembered again.
    pub calls: usize,
    /// Entries that had expired meanwhile, or that found no room.
    pub left_out: usize,
    /// Time between writing and reading.
    pub away: Duration,
}

/// Why nothing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRestored {
    /// The bytes are no stored memory.
    NoMemory,
    /// They were written by a version that this version cannot read.
    Version,
    /// They were written under other keys.
    Keys,
    /// They were changed or cut off.
    Damaged,
}

impl fmt::Display for NotRestored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotRestored::NoMemory => "the file is not a memory of calls",
            NotRestored::Version => {
                "another version of Strowger wrote the file, and this version cannot read it"
            }
            NotRestored::Keys => "the file was written under other tag keys",
            NotRestored::Damaged => "the file was changed or cut off",
        })
    }
}

/// `wall_us`: microseconds since 1970 at `now`.
pub fn to_bytes(calls: &Calls, keys: &KeyRing, now: Time, wall_us: u64) -> Vec<u8> {
    let id = keys.signing_id();
    let mut bytes = NAME.to_vec();
    bytes.extend([VERSION, id]);
    bytes.extend(keys.call(b"").0.to_be_bytes());
    bytes.extend(wall_us.to_be_bytes());
    for (kind, map) in parts(calls) {
        bytes.extend([kind, ENTRY_BYTES as u8]);
        let count_at = bytes.len();
        bytes.extend([0; 4]);
        let mut count = 0u32;
        map.visit(now, |key, entry| {
            count += 1;
            bytes.extend(key.to_be_bytes());
            bytes.extend(entry.server.to_be_bytes());
            bytes.extend(entry.flags.to_be_bytes());
            let left_ms = u32::try_from(entry.until.since(now).as_millis()).unwrap_or(u32::MAX);
            bytes.extend(left_ms.to_be_bytes());
        });
        bytes[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
    }
    let authenticator = keys.memory_authenticator(id, &bytes).unwrap_or_default();
    bytes.extend(authenticator.to_be_bytes());
    bytes
}

/// Remembers again what `to_bytes` wrote. Entries that are known already stay as they are.
pub fn restore(
    bytes: &[u8],
    calls: &Calls,
    keys: &KeyRing,
    now: Time,
    wall_us: u64,
) -> Result<Restored, NotRestored> {
    let mut reader = Reader(bytes);
    if reader.take(NAME.len()) != Some(NAME) {
        return Err(NotRestored::NoMemory);
    }
    if reader.byte() != Some(VERSION) {
        return Err(NotRestored::Version);
    }
    let id = reader.byte().ok_or(NotRestored::Damaged)?;
    let of_nothing = reader.number().ok_or(NotRestored::Damaged)?;
    let (signed, authenticator) =
        bytes.split_last_chunk::<AUTHENTICATOR_BYTES>().ok_or(NotRestored::Damaged)?;
    let right = keys.memory_authenticator(id, signed).ok_or(NotRestored::Keys)?;
    if of_nothing != keys.call(b"").0 {
        return Err(NotRestored::Keys);
    }
    if right != u64::from_be_bytes(*authenticator) {
        return Err(NotRestored::Damaged);
    }
    let written_us = reader.number().ok_or(NotRestored::Damaged)?;
    // If the clock was set back meanwhile, nothing is prolonged.
    let away = Duration::from_micros(wall_us.saturating_sub(written_us));
    let mut restored = Restored { calls: 0, left_out: 0, away };
    reader.0 = &reader.0[..reader.0.len() - AUTHENTICATOR_BYTES];
    while let (Some(kind), Some(length), Some(count)) = (reader.byte(), reader.byte(), reader.count()) {
        let map = parts(calls).into_iter().find(|(known, _)| *known == kind).map(|(_, map)| map);
        for _ in 0..count {
            let entry = reader.take(usize::from(length)).ok_or(NotRestored::Damaged)?;
            let Some(map) = map else { continue };
            let (key, entry, left) = entry_of(entry).ok_or(NotRestored::Damaged)?;
            let kept = left > away && remember(map, now, key, Entry { until: now + (left - away), ..entry });
            restored.left_out += usize::from(!kept);
            restored.calls += usize::from(kept && kind == KNOWN_CALLS);
        }
    }
    Ok(restored)
}

fn parts(calls: &Calls) -> [(u8, &Expiring); 2] {
    [(KNOWN_CALLS, calls.known_calls()), (LARGE_INVITES, calls.large_invites().entries())]
}

fn remember(map: &Expiring, now: Time, key: u64, entry: Entry) -> bool {
    let made = map.get_or_insert_with(now, key, entry.until, || Some((entry.server, entry.flags)));
    matches!(made, Remembered::New { .. })
}

fn entry_of(bytes: &[u8]) -> Option<(u64, Entry, Duration)> {
    let mut reader = Reader(bytes);
    let (key, server, flags) = (reader.number()?, reader.count()?, reader.count()?);
    let left = Duration::from_millis(u64::from(reader.count()?));
    Some((key, Entry { server, flags, until: Time::ZERO }, left))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn count(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests;
