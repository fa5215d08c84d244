//! Commands of the state tier in RESP: the same words to Redis with our functions and to `strowger state`.
//!
//! ```text
//! FCALL strowger_put 2 {p3f}:KEY {p3f}due EXPECTED RECORD W 1790000000000
//! ```
//!
//! Every name of a partition begins with `{pXX}`, so all of one partition lies in one slot of a cluster. All names that the
//! command may touch are listed, so that a server which is losing the slot refuses the whole command and not a part of it. Whoever
//! is told `ASK` must wait and not ask there: a list by wake-up would miss records that have not moved yet.
//! A record's name ends with the 12 bytes of its [`state::Key`] as they are: so a list by wake-up has the order that
//! [`state::Partition`] has. Times, counts and engines are decimal; stamps are their 16 bytes.
//!
//! | function | names | arguments |
//! |---|---|---|
//! | `strowger_create` | record, due, out … | wake-up, record, *also* |
//! | `strowger_put` | record … | expected, record, `W` wake-up?, *also* |
//! | `strowger_del` | record, due … | expected, `T` tombstone?, *also* |
//! | `strowger_peek` | record | cached? |
//! | `strowger_wake` | record, due | expected, at |
//! | `strowger_due` | due | now, lease, limit |
//! | `strowger_owned_by` | due | engine, after, until, limit |
//! | `strowger_list` | due | after, limit |
//! | `strowger_find` | names | name |
//! | `strowger_count` | votes:POLL, choices:POLL | choice, voter |
//! | `strowger_mark` | marks | engine, address, at |
//! | `strowger_drain` | out, lease | engine, now, lease, limit |
//! | `strowger_drained` | out, lease | engine, last |
//!
//! *also*: `C` counter added?, `N` name?, (`E` key body)…, and their names `counters`, `names`, `out` behind the others.

mod answer;
mod command;
mod names;
#[cfg(test)]
mod tests;
mod words;

pub use answer::{Unread, read_answer, write_answer};
pub use command::write_command;
pub use names::{FUNCTIONS, Field, TIME_MAX, read_field};
pub use words::{BadCommand, read_command};
