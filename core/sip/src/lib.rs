//! SIP messages as bytes (RFC 3261 §7, §18.3, §19.1, §25).
//!
//! A received message is never copied and never changed. [`Parser`] finds its header fields in one pass and lends a
//! [`Message`] that points into the received buffer. The grammar of a header field is applied when the field is needed
//! ([`headers`]). A change is an insert or delete in [`Edits`], written once into the send buffer. Only [`Writer`] writes
//! messages of our own. Bytes that cannot be framed are [`Malformed`]; [`validate`] checks the others, and its [`Reject`]
//! carries the status.

pub mod answer;
mod classes;
mod control;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod cost;
pub mod digest;
pub mod edits;
pub mod equivalence;
mod extensions;
pub mod flow;
pub mod frame;
pub mod headers;
mod host;
#[cfg(test)]
mod judging;
pub mod message;
mod name;
#[cfg(test)]
mod parsing;
mod scan;
pub mod status;
pub mod stun;
pub mod text;
pub mod uri;
pub mod validate;
pub mod work;
pub mod write;

pub use edits::Edits;
pub use extensions::Passing;
pub use flow::{ConnectionId, Flow, SIP_PORT, SIPS_PORT, Target, Transport};
pub use message::{Header, Length, Malformed, Message, Method, Name, Parser, Start};
pub use status::Reject;
pub use uri::{Host, Uri};
pub use write::Writer;
