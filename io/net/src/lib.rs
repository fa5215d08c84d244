//! Sockets: UDP in batches, TCP connections, TLS and WebSocket over them, and the worker that drives a core with them.

mod capture;
pub mod connections;
pub mod counters;
pub mod failures;
pub mod mailbox;
pub mod mmsg;
pub mod option;
pub mod proxy_protocol;
pub mod sender;
pub mod spread;
mod tcp;
pub mod tls;
pub mod udp;
mod wait;
pub mod websocket;
pub mod worker;

pub use capture::is_capturing;
pub use connections::{Connections, Limits, News, Part, Received};
pub use counters::Counters;
pub use failures::{Failures, Returned};
pub use mailbox::{Letter, Mailbox, Passing};
pub use mmsg::{Datagram, Receiver};
pub use os::Clock;
pub use spread::{Spread, Window};
pub use tls::{Identities, Identity};
pub use udp::{Udp, UdpOptions};
pub use wait::Wait;
pub use worker::{Aside, Beside, Handle, Setup, Standstill, Worker};
