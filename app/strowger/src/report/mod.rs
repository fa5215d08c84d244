//! What a load manager tells about itself: documents, and the same as text for people. Programs that ask a load manager read
//! them, too.

pub(crate) mod left;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod why;
