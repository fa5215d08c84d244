//! Transactions of RFC 3261 §17, with RFC 6026, as pure machines.
//!
//! Each machine is a small value: a state and its deadlines, with nothing on the heap; [`key`] says which messages belong to
//! it. The owner tells it the time and the event, and the machine answers with one [`Output`]; the owner handles messages and
//! sockets. The owner's entries with machines are kept in a [`table`], which says whose deadline has come. Every timer derives
//! from T1, T2 and T4 in [`Timers`].

mod clock;
pub mod hop_by_hop;
mod invite_client;
mod invite_server;
pub mod key;
mod non_invite_client;
mod non_invite_server;
#[cfg(test)]
mod stored;
mod success;
pub mod table;
mod timers;

pub use clock::{BadMachine, MACHINE_BYTES};
pub use invite_client::{InviteClient, InviteClientEvent, InviteClientState};
pub use invite_server::{InviteServer, InviteServerEvent, InviteServerState};
pub use non_invite_client::{NonInviteClient, NonInviteClientEvent, NonInviteClientState};
pub use non_invite_server::{NonInviteServer, NonInviteServerEvent, NonInviteServerState};
pub use success::{Success, SuccessEvent, SuccessState};
pub use timers::{TIMER_D_MIN, Timers};

/// The owner's next action. Entering Terminated is no output: the owner looks at the state and forgets the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// No action. A state or a timer may have changed.
    Nothing,
    /// Client: send the request once more. Server: send the last response once more.
    Repeat,
    /// Client: the response goes to the transaction user. Server: the response goes to the wire.
    Pass,
    /// Server: the owner has not answered yet, so a 100 goes to the wire and becomes the last response.
    Trying,
    /// Client: acknowledge the failure (RFC 3261 §17.1.1.3), and the response goes to the transaction user.
    AcknowledgeAndPass,
    /// Client: acknowledge the failure once more; the response goes nowhere.
    Acknowledge,
    /// Nobody answered in time; a proxy treats it as a 408 (RFC 3261 §16.9).
    Timeout,
    /// The transport failed; a proxy treats it as a 503 (RFC 3261 §16.9).
    Unreachable,
    /// The figure has no such event in this state. The owner counts these events.
    Ignored,
}
