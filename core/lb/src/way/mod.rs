//! How a message goes through the load manager: it is read, decided on, written, passed on. A worker drives `router`; `core`
//! is what the worker owns, `view` what it sees, `turn` what one input gives. Each other file is one step.

mod alias;
mod asked_itself;
mod back;
mod belongs;
pub(crate) mod core;
pub(crate) mod draft;
mod due;
pub mod encapsulated;
pub mod encapsulating;
mod forward;
mod full;
mod held;
mod host_names;
mod named;
mod outcome;
mod own_answer;
pub(crate) mod own_via;
mod past_us;
pub(crate) mod plan;
mod private_tag;
mod probe;
mod refused;
pub(crate) mod request;
mod response;
mod returned;
mod returning;
mod route;
pub(crate) mod route_set;
mod route_to_client;
pub mod router;
mod send;
mod server_of_call;
mod sessions;
mod tagging;
mod taken_over;
mod telling;
#[cfg(test)]
pub(crate) mod tests;
pub mod tier;
pub(crate) mod turn;
mod unsent;
pub(crate) mod view;
mod waiting;
