//! The verbs, one in each file; the list is in `ctl`.

pub(super) mod add;
pub(super) mod choices;
pub(super) mod counters;
pub(super) mod drain;
pub(super) mod left;
pub(super) mod limits;
pub(super) mod log;
pub(super) mod policy;
pub(super) mod reload;
pub(super) mod remove;
pub(super) mod status;
pub(super) mod undrain;
pub(super) mod weight;
pub(super) mod why;
