//! What one input gives every function that handles it.

use base::Time;
use sip::Flow;

use crate::outbox::Outbox;

pub(crate) struct Turn<'o> {
    pub now: Time,
    /// What the message came by; what a held one came by first.
    pub flow: Flow,
    pub out: &'o mut Outbox,
}
