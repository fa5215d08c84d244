//! The memory of calls, bounded in size and in time: which server has a call, and how much each server has.

pub mod calls;
pub mod expiring;
pub(crate) mod large_invites;
pub mod ledger;
pub(crate) mod mark;
pub mod stored;
