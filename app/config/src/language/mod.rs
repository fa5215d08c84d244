//! The language of the file, without any word of it: values of each kind, sections and their keys, what is wrong and where.

pub(crate) mod problem;
pub(crate) mod section;
pub(crate) mod syntax;
pub(crate) mod value;
