//! What load managers tell each other of their calls (SPEC A8): a few bytes per call, batched, authenticated with their
//! shared key. For the 32 s in which nothing else tells it, a load manager then knows which server a call went to, if the
//! next message of the call arrives there. Layout: docs/redundant-load-managers.md.
//!
//! A sender calls [`encode`]; a receiver calls [`decode`], then [`Senders::admit`], then reads the batch.

use std::collections::HashMap;

use crate::authenticator::{self, AUTHENTICATOR_BYTES};
use crate::form::Form;
use crate::replay::next_count;

/// First field of every batch, in network byte order.
pub const NOTICE_ID: u32 = Form::Notice.id();

/// Raised only if a receiver of the old version must not read the rest.
const VERSION: u8 = 1;

/// Protocol id, version, key id, number of notices, sender, count.
const HEADER_BYTES: usize = 24;

/// Call, server, what.
const ENTRY_BYTES: usize = 13;

/// Notices in one datagram: 872 bytes in all, far less than every path carries in one piece (1280 bytes, RFC 8200 §5).
pub const NOTICES_MAX: usize = 64;

/// Longest batch.
pub const BATCH_BYTES_MAX: usize = HEADER_BYTES + NOTICES_MAX * ENTRY_BYTES + AUTHENTICATOR_BYTES;

/// Counts are wall clocks, in microseconds. A count that is further from the receiver's clock than this counts as a
/// recording: the clocks of load managers must agree to ten minutes.
pub const WINDOW_MICROS: u64 = 600_000_000;

/// Senders that are remembered: every worker of every load manager is one.
const SENDERS_MAX: usize = 4096;

/// What happened to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum What {
    /// The call is new, and the server has it.
    Begun = 1,
    /// Another server has the call from now on.
    Moved = 2,
    /// The call rings.
    Ringing = 3,
    /// The call is answered.
    Answered = 4,
    /// The call is over.
    Over = 5,
}

impl What {
    fn of(code: u8) -> Option<What> {
        [What::Begun, What::Moved, What::Ringing, What::Answered, What::Over]
            .into_iter()
            .find(|what| *what as u8 == code)
    }
}

/// One notice about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Hash of the Call-ID under the farm's key.
    pub call: u64,
    /// Id of the server of the call, the same on all load managers.
    pub server: u32,
    pub what: What,
}

/// Why a batch was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disbelieved {
    /// Not a batch of notices, or an incomplete one.
    NoBatch,
    /// A version that this load manager cannot read.
    Version,
    /// Signed with a key that this load manager does not have.
    UnknownKey,
    BadAuthenticator,
    /// The count is not above an earlier count of the same sender.
    Replayed,
    /// The count is far from the receiver's clock.
    Stale,
}

impl Disbelieved {
    pub const ALL: [Disbelieved; 6] = [
        Disbelieved::NoBatch,
        Disbelieved::Version,
        Disbelieved::UnknownKey,
        Disbelieved::BadAuthenticator,
        Disbelieved::Replayed,
        Disbelieved::Stale,
    ];

    /// The name in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Disbelieved::NoBatch => "no_batch",
            Disbelieved::Version => "version",
            Disbelieved::UnknownKey => "unknown_key",
            Disbelieved::BadAuthenticator => "bad_authenticator",
            Disbelieved::Replayed => "replayed",
            Disbelieved::Stale => "stale",
        }
    }

    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A batch whose authenticator was right.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The sender: see [`Sender`].
    pub sender: u64,
    /// Larger than in all earlier batches of this incarnation of the sender: microseconds of its wall clock since 1970.
    pub count: u64,
    entries: &'a [u8],
}

impl Batch<'_> {
    /// The notices that this version knows; others are skipped.
    pub fn notices(&self) -> impl Iterator<Item = Notice> {
        self.entries.as_chunks::<ENTRY_BYTES>().0.iter().filter_map(|entry| {
            let [c0, c1, c2, c3, c4, c5, c6, c7, s0, s1, s2, s3, what] = *entry;
            Some(Notice {
                call: u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]),
                server: u32::from_be_bytes([s0, s1, s2, s3]),
                what: What::of(what)?,
            })
        })
    }
}

/// Appends a batch of the first [`NOTICES_MAX`] of `notices`, signed with the key of this id.
pub fn encode(sender: u64, count: u64, notices: &[Notice], (id, key): (u8, &[u8]), bytes: &mut Vec<u8>) {
    let notices = &notices[..notices.len().min(NOTICES_MAX)];
    let from = bytes.len();
    bytes.extend_from_slice(&NOTICE_ID.to_be_bytes());
    bytes.extend_from_slice(&[VERSION, id]);
    bytes.extend_from_slice(&(notices.len() as u16).to_be_bytes());
    bytes.extend_from_slice(&sender.to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    for notice in notices {
        bytes.extend_from_slice(&notice.call.to_be_bytes());
        bytes.extend_from_slice(&notice.server.to_be_bytes());
        bytes.push(notice.what as u8);
    }
    let authenticator = authenticator::make(key, &bytes[from..]);
    bytes.extend_from_slice(&authenticator);
}

/// Reads a batch. `key` gives the key of an id.
pub fn decode<K: AsRef<[u8]>>(
    bytes: &[u8],
    key: impl FnOnce(u8) -> Option<K>,
) -> Result<Batch<'_>, Disbelieved> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Disbelieved::NoBatch)?;
    let [p0, p1, p2, p3, version, id, n0, n1, ref numbers @ ..] = *header;
    if u32::from_be_bytes([p0, p1, p2, p3]) != NOTICE_ID {
        return Err(Disbelieved::NoBatch);
    }
    if version != VERSION {
        return Err(Disbelieved::Version);
    }
    let (entries, authenticator) =
        rest.split_last_chunk::<AUTHENTICATOR_BYTES>().ok_or(Disbelieved::NoBatch)?;
    let count = usize::from(u16::from_be_bytes([n0, n1]));
    if count > NOTICES_MAX || entries.len() != count * ENTRY_BYTES {
        return Err(Disbelieved::NoBatch);
    }
    let key = key(id).ok_or(Disbelieved::UnknownKey)?;
    if !authenticator::is_right(key.as_ref(), &bytes[..HEADER_BYTES + entries.len()], authenticator) {
        return Err(Disbelieved::BadAuthenticator);
    }
    let ([sender, count], _) = numbers.as_chunks::<8>() else { return Err(Disbelieved::NoBatch) };
    Ok(Batch { sender: u64::from_be_bytes(*sender), count: u64::from_be_bytes(*count), entries })
}

/// The bits of a sender that number the workers of a process.
const WORKER_BITS: u32 = 8;
/// The bits above them: how often the clock was set back so far that its counts began anew.
const INCARNATION_BITS: u32 = 16;
/// The bits above both are the same for all senders of a process.
const PROCESS_BITS: u32 = WORKER_BITS + INCARNATION_BITS;
/// A clock that is set back by less than this is outrun by the counts. If it is set back by more, receivers would call the
/// counts stale before the clock has caught up. This is half of what receivers accept: their own clocks may be wrong by the
/// other half.
const OUTRUN_MICROS: u64 = WINDOW_MICROS / 2;

/// One teller: a worker of a process. Its counts rise, also if the clock is set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    process: u64,
    worker: u8,
    incarnation: u16,
    count: u64,
}

impl Sender {
    /// `process`: chance from outside, which distinguishes this run from all others.
    pub fn new(process: u64, worker: u8) -> Sender {
        Sender { process: process << PROCESS_BITS, worker, incarnation: 0, count: 0 }
    }

    /// Whether a batch is from this process: a multicast group also delivers our own batches.
    pub fn is_of(process: u64, batch: &Batch<'_>) -> bool {
        batch.sender >> PROCESS_BITS == process << PROCESS_BITS >> PROCESS_BITS
    }

    /// Sender and count of the next batch; `clock_micros` is the wall clock since 1970.
    pub fn next(&mut self, clock_micros: u64) -> (u64, u64) {
        let next = next_count(self.count, clock_micros);
        match (self.incarnation.checked_add(1), next.saturating_sub(clock_micros) > OUTRUN_MICROS) {
            (Some(incarnation), true) => (self.incarnation, self.count) = (incarnation, clock_micros),
            // After 65,535 such steps back, the clock is outrun for good.
            (None, _) | (_, false) => self.count = next,
        }
        let incarnation = u64::from(self.incarnation) << WORKER_BITS;
        (self.process | incarnation | u64::from(self.worker), self.count)
    }
}

/// A sender without its incarnation, and the incarnation.
const fn taken_apart(sender: u64) -> (u64, u64) {
    let mask = ((1 << INCARNATION_BITS) - 1) << WORKER_BITS;
    (sender & !mask, (sender & mask) >> WORKER_BITS)
}

/// What a receiver remembers of senders: their largest counts, of the newest incarnation. A sender whose count has left the
/// window is forgotten, because nothing of that age is believed anyway. So the memory is bounded, and no recording is
/// believed again.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    /// By sender: its incarnation and count.
    largest: HashMap<u64, (u64, u64)>,
}

impl Senders {
    /// Whether this batch is newer than all earlier batches of its sender. `clock_micros` is the receiver's wall clock since
    /// 1970.
    pub fn admit(&mut self, clock_micros: u64, batch: &Batch<'_>) -> Result<(), Disbelieved> {
        self.admit_count(clock_micros, batch.sender, batch.count)
    }

    /// The same for a datagram of another form that has a sender and its count ([`crate::death`]).
    pub fn admit_count(&mut self, clock_micros: u64, sender: u64, count: u64) -> Result<(), Disbelieved> {
        if count.abs_diff(clock_micros) > WINDOW_MICROS {
            return Err(Disbelieved::Stale);
        }
        let (sender, incarnation) = taken_apart(sender);
        if self.largest.len() >= SENDERS_MAX && !self.largest.contains_key(&sender) {
            self.largest.retain(|_, (_, count)| count.saturating_add(WINDOW_MICROS) >= clock_micros);
            if self.largest.len() >= SENDERS_MAX {
                return Err(Disbelieved::Replayed);
            }
        }
        let largest = self.largest.entry(sender).or_insert((0, 0));
        if (incarnation, count) <= *largest {
            return Err(Disbelieved::Replayed);
        }
        *largest = (incarnation, count);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (u8, &[u8]) = (7, b"0123456789abcdef");
    const NOW: u64 = 1_790_000_000_000_000;

    fn notices(count: u64) -> Vec<Notice> {
        (0..count)
            .map(|call| Notice { call: call << 40 | 1, server: call as u32, what: What::Begun })
            .collect()
    }

    fn encoded(count: u64, of: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(3, count, &notices(of), KEY, &mut bytes);
        bytes
    }

    fn key(id: u8) -> Option<&'static [u8]> {
        (id == KEY.0).then_some(KEY.1)
    }

    #[test]
    fn what_is_told_is_what_is_heard() {
        for of in [0, 1, 64] {
            let bytes = encoded(NOW, of);
            assert!(bytes.len() <= BATCH_BYTES_MAX);
            let batch = decode(&bytes, key).unwrap();
            assert_eq!((batch.sender, batch.count), (3, NOW));
            assert_eq!(batch.notices().collect::<Vec<_>>(), notices(of));
        }
        assert_eq!(decode(&encoded(NOW, 65), key).unwrap().notices().count(), NOTICES_MAX);
    }

    /// The bytes of one batch: a change here is a change of the datagram, and needs a new version.
    #[test]
    fn golden() {
        let mut bytes = Vec::new();
        let notice = Notice { call: 0x0102_0304_0506_0708, server: 0x0A0B_0C0D, what: What::Ringing };
        encode(0x1112_1314_1516_1718, 0x2122_2324_2526_2728, &[notice], KEY, &mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (covered, authenticator) = hex.split_at(2 * (HEADER_BYTES + ENTRY_BYTES));
        assert_eq!(
            covered,
            "deadfad10107000111121314151617182122232425262728010203040506070\
            80a0b0c0d03"
        );
        assert_eq!(authenticator, "41e160a2e16dfbfaec6dea16d4e80c2e");
    }

    #[test]
    fn whatever_is_changed_is_noticed() {
        let bytes = encoded(NOW, 2);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(decode(&changed, key).is_err(), "byte {at}, bit {bit}");
            }
            assert!(decode(&bytes[..at], key).is_err(), "cut to {at}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(decode(&longer, key).unwrap_err(), Disbelieved::NoBatch);
        assert_eq!(decode(&bytes, |_| None::<&[u8]>).unwrap_err(), Disbelieved::UnknownKey);
        assert_eq!(decode(&bytes, |_| Some(b"another")).unwrap_err(), Disbelieved::BadAuthenticator);
    }

    #[test]
    fn an_unknown_thing_is_passed_over() {
        let mut bytes = encoded(NOW, 2);
        bytes[HEADER_BYTES + ENTRY_BYTES - 1] = 99;
        let covered = HEADER_BYTES + 2 * ENTRY_BYTES;
        let authenticator = authenticator::make(KEY.1, &bytes[..covered]);
        bytes[covered..].copy_from_slice(&authenticator);
        assert_eq!(decode(&bytes, key).unwrap().notices().collect::<Vec<_>>(), notices(2)[1..]);
    }

    #[test]
    fn nothing_is_believed_twice_and_nothing_old() {
        let mut senders = Senders::default();
        let mut admit = |clock: u64, count: u64| {
            let bytes = encoded(count, 1);
            senders.admit(clock, &decode(&bytes, key).unwrap())
        };
        assert_eq!(admit(NOW, NOW), Ok(()));
        assert_eq!(admit(NOW, NOW), Err(Disbelieved::Replayed));
        assert_eq!(admit(NOW, NOW - 1), Err(Disbelieved::Replayed));
        assert_eq!(admit(NOW, NOW + 1), Ok(()));
        assert_eq!(admit(NOW, NOW + WINDOW_MICROS + 1), Err(Disbelieved::Stale));
        assert_eq!(admit(NOW + 2 * WINDOW_MICROS, NOW + 2), Err(Disbelieved::Stale));
    }

    #[test]
    fn a_clock_that_was_an_hour_ahead_silences_nobody() {
        const HOUR: u64 = 3_600_000_000;
        let (mut sender, mut senders) = (Sender::new(0x11_2233_4455, 3), Senders::default());
        let mut tell = |senders: &mut Senders, theirs: u64, ours: u64| {
            let (who, count) = sender.next(theirs);
            let mut bytes = Vec::new();
            encode(who, count, &notices(1), KEY, &mut bytes);
            let batch = decode(&bytes, key).unwrap();
            assert!(Sender::is_of(0x11_2233_4455, &batch) && !Sender::is_of(0x11_2233_4456, &batch));
            (senders.admit(ours, &batch), bytes)
        };
        assert_eq!(tell(&mut senders, NOW, NOW).0, Ok(()));
        let (ahead, recorded) = tell(&mut senders, NOW + HOUR, NOW + 1);
        assert_eq!(ahead, Err(Disbelieved::Stale));
        for later in 2..10 {
            assert_eq!(tell(&mut senders, NOW + later, NOW + later).0, Ok(()), "{later} µs later");
        }
        // Batches that were sent while the clock was ahead are not believed an hour later either.
        let batch = decode(&recorded, key).unwrap();
        assert_eq!(senders.admit(NOW + HOUR, &batch), Err(Disbelieved::Replayed));
        assert_eq!(tell(&mut senders, NOW + HOUR, NOW + HOUR).0, Ok(()));
        // A small step back is outrun, in the same incarnation.
        let before = sender.next(NOW + HOUR + 2_000_000);
        let after = sender.next(NOW + HOUR);
        assert_eq!((after.0, after.1), (before.0, before.1 + 1));
    }

    #[test]
    fn senders_are_bounded_and_the_old_make_room() {
        let mut senders = Senders::default();
        let mut admit = |clock: u64, sender: u64| {
            let mut bytes = Vec::new();
            encode(sender << PROCESS_BITS, clock, &[], KEY, &mut bytes);
            senders.admit(clock, &decode(&bytes, key).unwrap())
        };
        for sender in 0..SENDERS_MAX as u64 {
            assert_eq!(admit(NOW, sender), Ok(()));
        }
        assert_eq!(admit(NOW, u64::MAX >> PROCESS_BITS), Err(Disbelieved::Replayed));
        assert_eq!(admit(NOW + WINDOW_MICROS + 1, u64::MAX >> PROCESS_BITS), Ok(()));
    }
}
