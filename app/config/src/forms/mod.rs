//! The forms of a configuration: a file, or the options of a command line. The same checks apply to both.

pub(crate) mod api;
pub(crate) mod file;
pub(crate) mod options;
pub(crate) mod perf;
pub(crate) mod run;
pub(crate) mod short;
