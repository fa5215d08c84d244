//! The load manager (SPEC A, B2, B5, C2, C3): which server a message goes to, and how the message is rewritten.

pub mod connections;
pub mod counters;
pub mod farm;
pub mod hand_over;
pub mod hold;
pub mod http;
pub mod memory;
pub mod names;
pub mod outbox;
pub mod past_us;
pub mod register;
pub mod selection;
pub mod settings;
pub mod shared;
pub mod signed;
pub mod way;
pub mod why;
