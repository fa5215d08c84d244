//! The language of the file, without its keys and words: values of each kind, sections and their keys, errors and their places.

pub(crate) mod problem;
pub(crate) mod role;
pub(crate) mod section;
pub(crate) mod server_address;
pub(crate) mod syntax;
pub(crate) mod value;
