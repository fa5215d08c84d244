//! The place of a client's connection.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::OwnedSemaphorePermit;

/// The place of a connection among the connections of clients, for as long as the connection lasts.
#[derive(Debug)]
pub(super) struct Slot {
    _permit: OwnedSemaphorePermit,
    /// The connection became another protocol; its two directions end by themselves.
    pub(super) upgraded: AtomicBool,
}

impl Slot {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Arc<Slot> {
        Arc::new(Slot { _permit: permit, upgraded: AtomicBool::new(false) })
    }
}
