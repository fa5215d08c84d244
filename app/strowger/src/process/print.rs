//! What verbs print. The standard library's macros panic where nothing can be written. These do not: after a reader has gone
//! the rest is left out, and the verb ends as it would have; where the output is full, [`finish`] says so and the verb fails.
//! What cannot be written to standard error is lost, as nobody is left to be told.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;

/// The first error of standard output.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Printed on standard output.
macro_rules! out {
    ($($text:tt)*) => { $crate::process::print::to_output(format_args!($($text)*)) };
}

/// The same with a line end.
macro_rules! outln {
    ($($text:tt)*) => { $crate::process::print::to_output(format_args!("{}\n", format_args!($($text)*))) };
}

/// Printed on standard error.
macro_rules! err {
    ($($text:tt)*) => { $crate::process::print::to_error(format_args!($($text)*)) };
}

/// The same with a line end.
macro_rules! errln {
    ($($text:tt)*) => { $crate::process::print::to_error(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) fn to_output(text: fmt::Arguments<'_>) {
    if !is_over() {
        note(io::stdout().lock().write_fmt(text));
    }
}

pub(crate) fn to_error(text: fmt::Arguments<'_>) {
    // In one write, so that the lines of two processes do not mix.
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}

/// Nothing more can be printed: for verbs that would go on for ever.
pub(crate) fn is_over() -> bool {
    failed().is_some()
}

/// What came of writing to standard output otherwise.
pub(crate) fn note(written: io::Result<()>) {
    if let Err(error) = written {
        failed().get_or_insert(error);
    }
}

/// The status that the process ends with: that of the verb, unless what it printed was not taken for lack of room.
pub(crate) fn finish(status: ExitCode) -> ExitCode {
    if !is_over() {
        note(io::stdout().lock().flush());
    }
    match &*failed() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            errln!(
                "error: standard output: {error}\n  remedy: make room there, or send the output elsewhere"
            );
            ExitCode::FAILURE
        }
        _ => status,
    }
}

fn failed() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    FAILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
