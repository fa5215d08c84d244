//! The records of calls, read in pieces and never written: from a state tier over connections of its own, or from the memory of an
//! engine that keeps them itself. Whoever reads them waits; no call does.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use engine::record::Record;
use state::{Key, Millis};

/// Records of one piece: some 200 KiB, some 100 µs of a server's time.
const PIECE: u32 = 200;
/// A look at the records ends after this time, and says that it has not seen all.
const PATIENCE: Duration = Duration::from_secs(4);

/// Some records of a partition, and where to go on.
pub(crate) type Piece = (Vec<(Key, Box<[u8]>)>, Option<Millis>);

/// See the head of this module.
pub(crate) trait Records {
    fn list(&mut self, partition: u8, after: Millis, limit: u32) -> io::Result<Piece>;
    fn get(&mut self, key: Key) -> io::Result<Option<Box<[u8]>>>;
}

impl Records for state_redis::link::Records {
    fn list(&mut self, partition: u8, after: Millis, limit: u32) -> io::Result<Piece> {
        self.list(partition, after, limit)
    }

    fn get(&mut self, key: Key) -> io::Result<Option<Box<[u8]>>> {
        self.get(key)
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) calls: Vec<(Key, Record)>,
    /// Records that were read.
    pub(crate) looked_at: u64,
    /// There may be more: the limit or the time was reached, or some partitions did not answer.
    pub(crate) more: bool,
    /// Why some partitions were not read.
    pub(crate) trouble: Option<String>,
}

/// At most `limit` calls of these partitions that `wanted` takes.
pub(crate) fn find(
    records: &mut dyn Records,
    partitions: impl IntoIterator<Item = u8>,
    limit: usize,
    wanted: impl Fn(&Record) -> bool,
) -> Found {
    let (end, mut seen, mut found) = (Instant::now() + PATIENCE, HashSet::new(), Found::default());
    for partition in partitions {
        let mut after = Some(0);
        while let Some(from) = after {
            if found.calls.len() >= limit || Instant::now() >= end {
                found.more = true;
                return found;
            }
            let piece = match records.list(partition, from, PIECE) {
                Ok((piece, next)) => {
                    after = next;
                    piece
                }
                Err(error) => {
                    (found.more, found.trouble) = (true, Some(error.to_string()));
                    break;
                }
            };
            found.looked_at += piece.len() as u64;
            for (key, bytes) in piece {
                // A record whose wake-up moved comes twice. One of a newer build cannot be read.
                let Ok(record) = Record::read(&bytes) else { continue };
                if wanted(&record) && seen.insert(key) {
                    found.calls.push((key, record));
                }
            }
        }
    }
    found.more |= found.calls.len() > limit;
    found.calls.truncate(limit);
    found
}

#[cfg(test)]
mod tests {
    use engine::record::{Leg, LegState};

    use super::*;

    /// So many records in each partition, one piece for each.
    struct Few(u64);

    impl Records for Few {
        fn list(&mut self, partition: u8, after: Millis, limit: u32) -> io::Result<Piece> {
            assert_eq!(limit, PIECE);
            if partition == 9 {
                return Err(io::Error::other("partition 9 has no primary"));
            }
            let mut bytes = Vec::new();
            let state = if after.is_multiple_of(2) { LegState::Confirmed } else { LegState::Calling };
            Record { legs: vec![Leg { state, ..Leg::default() }], ..Record::default() }.write(&mut bytes);
            let mut key = [partition; 12];
            key[11] = after as u8;
            let next = Some(after + 1).filter(|next| *next < self.0);
            Ok((vec![(Key(key), bytes.into())], next))
        }

        fn get(&mut self, _key: Key) -> io::Result<Option<Box<[u8]>>> {
            Ok(None)
        }
    }

    #[test]
    fn a_look_ends_at_its_limit_and_says_so() {
        let all = |_: &Record| true;
        let found = find(&mut Few(4), 0..=2, 100, all);
        assert_eq!((found.calls.len(), found.looked_at, found.more), (12, 12, false));
        let found = find(&mut Few(4), 0..=2, 5, all);
        assert_eq!((found.calls.len(), found.more), (5, true));
        let found = find(&mut Few(4), 0..=2, 100, |record| record.phase() == engine::Phase::Up);
        assert_eq!((found.calls.len(), found.looked_at), (6, 12));
    }

    #[test]
    fn a_partition_that_does_not_answer_hides_no_other() {
        let found = find(&mut Few(1), 8..=10, 100, |_| true);
        assert_eq!((found.calls.len(), found.more), (2, true));
        assert!(found.trouble.unwrap().contains("no primary"));
    }
}
