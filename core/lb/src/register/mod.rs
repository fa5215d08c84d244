//! Registrations (SPEC B4): which server gets a REGISTER, and what its sender is answered.
//!
//! A call is known by its Call-ID, a registration by its address of record: a refresh after an hour, the next telephone
//! of the same user and the same telephone after a restart must all reach the place where that user's bindings lie.

mod route;
pub mod settings;

#[cfg(test)]
mod tests;
