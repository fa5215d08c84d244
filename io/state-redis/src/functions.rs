//! The functions that a Redis or Valkey server must have: `functions.lua` does there what [`state::Partition`] does.

/// The name of the library.
pub const NAME: &str = "strowger";

/// The library in Lua, for `FUNCTION LOAD REPLACE`.
pub const LIBRARY: &str = include_str!("functions.lua");

/// From this number of effects on that wait in a partition of such a server, no call begins. With all partitions full of
/// effects of a kilobyte it is the gigabyte that a server has by default.
pub const EFFECTS_MAX: usize = 4096;

/// From this share of a server's memory on, no call begins: calls up need the rest for their next writes.
pub const ROOM_PERCENT: u32 = 80;

/// The words that load the library, also over an older one.
pub const LOAD: [&[u8]; 4] = [b"FUNCTION", b"LOAD", b"REPLACE", LIBRARY.as_bytes()];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::FUNCTIONS;
    use state::{Del, Mark};

    #[test]
    fn numbers_and_functions_are_the_same_in_both_languages() {
        let lines = [
            format!("local EFFECTS_MAX = {EFFECTS_MAX}"),
            format!("local ROOM = 0.{}", ROOM_PERCENT / 10),
            format!("local TOMBSTONE_MS = {}", Del::TOMBSTONE_MS),
            format!("local MARK_FORGOTTEN_MS = {}", Mark::FORGOTTEN_MS),
        ];
        assert!(LIBRARY.starts_with(&format!("#!lua name={NAME}\n")));
        for line in lines {
            assert!(LIBRARY.lines().any(|present| present == line), "{line}");
        }
        let registered: Vec<String> = LIBRARY
            .lines()
            .filter_map(|line| line.strip_prefix("register('")?.split('\'').next())
            .map(|name| format!("strowger_{name}"))
            .collect();
        assert_eq!(registered, FUNCTIONS);
    }
}
