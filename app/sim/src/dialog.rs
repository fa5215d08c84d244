//! A dialog of a caller, and how it ends.

use base::Time;
use transaction::NonInviteClient;

use crate::link::Packet;

/// A dialog that an answer made.
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) to_tag: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    /// The ACK, sent once for each copy of the answer.
    pub(crate) ack: Packet,
    pub(crate) bye: Option<Bye>,
    pub(crate) bye_at: Time,
    /// The other side has ended the dialog.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Bye {
    pub(crate) machine: NonInviteClient,
    pub(crate) packet: Packet,
    pub(crate) status: Option<u16>,
}

impl Dialog {
    /// Nobody has ended it, or the BYE has no final answer.
    pub(crate) fn lasts(&self) -> bool {
        !self.ended && self.bye.as_ref().is_none_or(|bye| bye.status.is_none())
    }

    pub(crate) fn has_crossed(&self) -> bool {
        self.ended && self.bye.as_ref().is_some_and(|bye| bye.status.is_none())
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match &self.bye {
            _ if self.ended => None,
            None => Some(self.bye_at),
            Some(bye) => bye.machine.next_deadline(),
        }
    }
}
