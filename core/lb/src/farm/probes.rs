//! Wanted OPTIONS and their results, between the control thread and the workers.

use std::sync::Mutex;

use crate::farm::hearsay::Refused;
use crate::farm::server::ServerId;

/// Probes and results that wait: more than the largest farm has servers.
const WAITING_MAX: usize = 4096;

/// The result of an OPTIONS, or of a call that a server had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    pub server: ServerId,
    /// A call was answered with 503 and Retry-After: its caller and callee.
    pub call: Option<Refused>,
    pub status: u16,
    /// Retry-After of a 503: the server is full, not ill.
    pub retry_after: Option<u32>,
}

/// Passed between the control thread and the workers.
#[derive(Debug, Default)]
pub struct Probes {
    wanted: Mutex<Vec<ServerId>>,
    pub(crate) results: Mutex<Vec<ProbeResult>>,
}

impl Probes {
    pub fn want(&self, server: ServerId) {
        push(&self.wanted, server);
    }

    pub fn take_results(&self) -> Vec<ProbeResult> {
        std::mem::take(&mut lock(&self.results))
    }

    pub(crate) fn take_wanted(&self) -> Vec<ServerId> {
        std::mem::take(&mut lock(&self.wanted))
    }
}

fn lock<T>(guarded: &Mutex<Vec<T>>) -> std::sync::MutexGuard<'_, Vec<T>> {
    guarded.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    let mut list = lock(list);
    if list.len() < WAITING_MAX {
        list.push(item);
    }
}
