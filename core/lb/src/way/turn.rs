//! The things that one input gives to every function that handles it.

use base::Time;
use sip::Flow;

use crate::outbox::Outbox;

pub(crate) struct Turn<'o> {
    pub now: Time,
    /// How the message came; for a held message, how it first came.
    pub flow: Flow,
    pub out: &'o mut Outbox,
}
