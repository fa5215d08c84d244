//! Names of functions, and of what lies in a partition.

/// The latest time that a server takes, with a lease added: 2^53, up to which the numbers of Lua are exact. It lies in the year
/// 287,396.
pub const TIME_MAX: u64 = 1 << 53;

pub(super) const CREATE: &str = "strowger_create";
pub(super) const PUT: &str = "strowger_put";
pub(super) const DEL: &str = "strowger_del";
pub(super) const PEEK: &str = "strowger_peek";
pub(super) const WAKE: &str = "strowger_wake";
pub(super) const DUE: &str = "strowger_due";
pub(super) const OWNED_BY: &str = "strowger_owned_by";
pub(super) const LIST: &str = "strowger_list";
pub(super) const FIND: &str = "strowger_find";
pub(super) const COUNT: &str = "strowger_count";
pub(super) const MARK: &str = "strowger_mark";
pub(super) const DRAIN: &str = "strowger_drain";
pub(super) const DRAINED: &str = "strowger_drained";

/// All functions that a server must have.
pub const FUNCTIONS: [&str; 13] =
    [CREATE, PUT, DEL, PEEK, WAKE, DUE, OWNED_BY, LIST, FIND, COUNT, MARK, DRAIN, DRAINED];

/// What a name says behind the partition.
pub(super) const RECORD: &str = ":";
pub(super) const WAKEUPS: &str = "due";
pub(super) const OUT: &str = "out";
pub(super) const LEASE: &str = "lease";
pub(super) const COUNTERS: &str = "counters";
pub(super) const NAMES: &str = "names";
pub(super) const MARKS: &str = "marks";
pub(super) const VOTES: &str = "votes:";
pub(super) const CHOICES: &str = "choices:";

/// Words before optional arguments.
pub(super) const WAKE_AT: &[u8] = b"W";
pub(super) const TOMBSTONE: &[u8] = b"T";
pub(super) const COUNTER: &[u8] = b"C";
pub(super) const NAME: &[u8] = b"N";
pub(super) const EFFECT: &[u8] = b"E";

/// `{pXX}`.
pub(super) const PREFIX: usize = 5;

pub(super) fn prefix(partition: u8) -> [u8; PREFIX] {
    const LETTERS: &[u8; 16] = b"0123456789abcdef";
    let (high, low) = (usize::from(partition >> 4), usize::from(partition & 15));
    [b'{', b'p', LETTERS[high], LETTERS[low], b'}']
}

/// The partition, and the name behind it.
pub(super) fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    let (head, rest) = name.split_at_checked(PREFIX)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let partition = digit(head[2])? << 4 | digit(head[3])?;
    let partition = u8::try_from(partition).ok()?;
    (head == prefix(partition)).then_some((partition, rest))
}

/// A number that lies under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// The counter that the field names.
    Counter,
    /// Votes of this poll for the choice that the field names.
    Votes(&'a [u8]),
}

/// Which number `HGET` of this name asks for, and in which partition.
pub fn read_field(name: &[u8]) -> Option<(u8, Field<'_>)> {
    let (partition, rest) = split(name)?;
    if rest == COUNTERS.as_bytes() {
        return Some((partition, Field::Counter));
    }
    Some((partition, Field::Votes(rest.strip_prefix(CHOICES.as_bytes())?)))
}
