//! Requests that wait on one worker until a name is looked up ([`super::host_names`]), in the order in which they came.

use std::collections::VecDeque;

use base::Time;
use dns::locate::Target;
use sip::{Flow, Method};

use crate::signed::branch::BranchKey;

/// Requests that may wait on one worker, and their bytes: more than a name server that is silent for a moment holds up, and far less
/// than memory.
const WAITING_MAX: usize = 512;
const BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Waiting {
    all: VecDeque<Waits>,
    bytes: usize,
    /// When to look again, and how many answers had come by the last look.
    pub look: Time,
    pub answers: u64,
}

#[derive(Debug)]
pub(crate) struct Waits {
    pub message: Box<[u8]>,
    pub flow: Flow,
    pub branch: BranchKey,
    pub method: Method,
    pub target: Target,
    pub until: Time,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        (!self.is_empty()).then_some(self.look)
    }

    pub(crate) fn has(&self, branch: BranchKey, method: Method) -> bool {
        self.all.iter().any(|waits| waits.branch == branch && waits.method == method)
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.all.len() < WAITING_MAX && self.bytes + bytes <= BYTES_MAX
    }

    pub(crate) fn push(&mut self, waits: Waits) {
        self.bytes += waits.message.len();
        self.all.push_back(waits);
    }

    /// How long the first of them waits: no other is over before it.
    pub(crate) fn first_until(&self) -> Option<Time> {
        self.all.front().map(|waits| waits.until)
    }

    pub(crate) fn take(&mut self) -> VecDeque<Waits> {
        self.bytes = 0;
        std::mem::take(&mut self.all)
    }
}
