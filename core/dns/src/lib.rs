//! Where a name leads (RFC 3263): what is to be asked of the domain name system, what was answered, and which servers follow from
//! it. Nothing is asked here: the edge takes the questions from the [`cache::Cache`] and brings the answers.
//!
//! [`locate::locate`] goes from a name to the places it stands for, by the answers that the cache has. What is missing is asked, and
//! the way is gone again when the answer is there. [`order::in_order`] says in which order one message tries the places.
//! [`follow::Follower`] keeps the servers of a farm that a name stands for, as the answers change.

pub mod cache;
pub mod follow;
pub mod locate;
pub mod members;
pub mod name;
pub mod order;
pub mod record;
#[cfg(test)]
mod testing;
