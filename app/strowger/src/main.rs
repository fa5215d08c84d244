//! The program; all of it is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Calls are made of many small pieces that live for minutes between pieces that live for microseconds. With a million calls up,
/// libc's allocator made a call dearer by half: it goes through its lists of free pieces, which no cache holds.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    strowger::main()
}
