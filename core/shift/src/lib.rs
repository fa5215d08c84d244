//! Workload shifting (SPEC D1 to D3): servers of a group tell each other how much work they have. A server with too much
//! work passes a new call to a server with less work, by a redirect. Pure: datagrams in, datagrams and decisions out.
//!
//! The edge makes a [`Group`] from [`Settings`], gives it measures ([`Group::set_measures`]), new calls ([`Group::offer`]),
//! datagrams ([`Group::handle`]) and time ([`Group::handle_timeout`]), and carries out what is left in the [`Outbox`]. The
//! edge keeps the SIP transactions; nothing here knows SIP.

mod calls;
mod choice;
pub mod counters;
mod datagram;
mod group;
mod offers;
mod outbox;
mod peer;
mod promise;
mod settings;
mod workload;

pub use calls::Call;
pub use choice::{Criterion, ServiceState};
pub use counters::{Counter, Counters};
pub use datagram::{
    Body, CallName, DATAGRAM_BYTES_MAX, Datagram, Ignored, NAME_BYTES_MAX, Offer, PROTOCOL_ID, Report,
    VISITED_MAX,
};
pub use group::Group;
pub use outbox::{Decision, Outbox};
pub use settings::{AllAbove, Identity, Settings, Sharing};
pub use workload::{Measure, Measures, Model, Workload};
