//! The load manager as a process: the owner of its tables, the parts beside the workers, and the start of everything.

mod announce;
pub(crate) mod beside;
pub(crate) mod certificates;
pub(crate) mod choices;
pub(crate) mod complaints;
pub(crate) mod control;
pub(crate) mod converged;
mod first_answers;
mod heartbeats;
pub(crate) mod measuring;
mod memory_file;
pub(crate) mod names;
pub(crate) mod peers;
mod said;
pub(crate) mod start;
