//! Every section and key that there is, each defined once, and the reference page that is made of them.

pub(crate) mod definition;
pub(crate) mod log_filter;
pub(crate) mod reference;
pub(crate) mod words;
