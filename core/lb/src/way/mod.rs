//! The way of a message: read, decided, written, passed on. `router` is what a worker drives; each other file is one step.

pub(crate) mod alias;
mod back;
mod choice;
pub mod encapsulated;
pub(crate) mod forward;
mod full;
mod held;
mod large;
mod named;
mod outcome;
mod own_answer;
pub(crate) mod plan;
mod private_tag;
mod probe;
mod refused;
pub(crate) mod request;
mod response;
mod returned;
mod returning;
pub(crate) mod route;
pub(crate) mod route_set;
pub(crate) mod route_to_client;
pub mod router;
mod server_of_call;
mod tagging;
mod taken_over;
mod telling;
#[cfg(test)]
pub(crate) mod tests;
