//! Printing. The standard library's macros panic if nothing can be written; these do not. After the reader has gone, the
//! rest is left out, and the verb ends as usual. If the output is full, [`finish`] says so and the verb fails. A line that
//! cannot be written to standard error is lost: there is nobody to tell.

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

/// The same, with a line end.
macro_rules! outln {
    ($($text:tt)*) => { $crate::process::print::to_output(format_args!("{}\n", format_args!($($text)*))) };
}

/// Printed on standard error.
macro_rules! err {
    ($($text:tt)*) => { $crate::process::print::to_error(format_args!($($text)*)) };
}

/// The same, with a line end.
macro_rules! errln {
    ($($text:tt)*) => { $crate::process::print::to_error(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) fn to_output(text: fmt::Arguments<'_>) {
    if !is_over() {
        note(io::stdout().lock().write_fmt(text));
    }
}

pub(crate) fn to_error(text: fmt::Arguments<'_>) {
    // One write for each line, so that the lines of two processes do not mix.
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}

/// Nothing more can be printed: for verbs that would go on for ever.
pub(crate) fn is_over() -> bool {
    failed().is_some()
}

/// The result of writing to standard output.
pub(crate) fn note(written: io::Result<()>) {
    if let Err(error) = written {
        failed().get_or_insert(error);
    }
}

/// The exit status of the process: the status of the verb, unless the output had no room.
pub(crate) fn finish(status: ExitCode) -> ExitCode {
    if !is_over() {
        note(io::stdout().lock().flush());
    }
    match &*failed() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            errln!(
                "error: standard output: {error}\n  remedy: make room there, or write the output elsewhere"
            );
            ExitCode::FAILURE
        }
        _ => status,
    }
}

fn failed() -> std::sync::MutexGuard<'static, Option<io::Error>> {
    FAILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
