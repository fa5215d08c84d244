//! The section of `strowger run`: what it starts besides the load manager.

use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Unset};
use crate::language::section::{
    Effect, Field, Held, KeyHelp, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::value::{Value, Wrong};

sections! {
    /// A whole farm on this machine by one command, `strowger run --config FILE`: a load manager with the other sections of
    /// the file, engines, and the records of their calls (docs/run.md). `strowger lb` ignores this section.
    one run as RunSection {
        /// SIP URIs that calls go to. A URI without a user gets the user that was called. If there are several, all ring at
        /// the same time. `strowger run` needs one.
        live to: Vec<String> = Unset;
        /// The number of engines, each a process of its own. With one, nobody goes on with its calls until it is back.
        live engines: u64 = Is("3"), 1..=64;
        /// Threads for calls of each engine.
        live workers: u64 = Is("1"), 1..=64;
        /// Nodes of an outside state tier, Redis or Valkey: `ADDRESS:PORT` or `unix:/PATH`. If left out, a process
        /// `strowger state` of this farm keeps the records of calls.
        live state: Vec<String> = Unset;
        /// User at the outside state tier.
        live state_user: Option<String> = Unset;
        /// File with the password at the outside state tier.
        live state_password_file: Option<PathBuf> = Unset;
        /// Memory of the farm's own state process for records, in MiB. A call takes about 1 KiB.
        live memory_mib: u64 = Is("1024"), 16..=1048576;
        /// The longest time that a call may ring, in seconds.
        live ring_max_seconds: u64 = Is("180"), 1..=3600;
    }
}
