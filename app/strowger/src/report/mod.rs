//! What load managers, engines and the state tier tell about themselves: documents, and the same as text for people. Programs
//! that ask them read the documents, too.

pub(crate) mod calls;
pub(crate) mod engine;
pub(crate) mod farm;
pub(crate) mod left;
pub(crate) mod names;
pub(crate) mod role;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod story;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod why;
