//! Every section and key, each defined once, and the reference page that is made from the definitions.

pub(crate) mod farm;
pub(crate) mod log_filter;
pub(crate) mod measured;
pub(crate) mod reference;
pub(crate) mod roles;
pub(crate) mod run;
pub(crate) mod shared;
pub(crate) mod words;
