//! The forms in which a configuration is given: a file, or the short form of a command line. All end in the same checks.

pub(crate) mod file;
pub(crate) mod perf;
pub(crate) mod short;
