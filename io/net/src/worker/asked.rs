//! How a worker learns that it is to stand still: one load in each turn, and a request behind a lock if there is one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use crate::connections::Part;

/// Where a worker finds that it is asked to stand still.
#[derive(Debug, Default)]
pub(super) struct Asked {
    flag: AtomicBool,
    request: Mutex<Option<Request>>,
}

impl Asked {
    #[inline]
    pub(super) fn take(&self) -> Option<Request> {
        if !self.flag.load(Ordering::Acquire) {
            return None;
        }
        self.flag.store(false, Ordering::Relaxed);
        self.request.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn ask(&self, request: Request) {
        *self.request.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        self.flag.store(true, Ordering::Release);
    }
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) worker: usize,
    pub(super) together: Arc<Barrier>,
    pub(super) parts: Sender<(usize, Part)>,
    /// A word: this worker ends. No word, and the sender gone: it goes on.
    pub(super) ends: Receiver<()>,
    /// Gone when the worker has ended.
    pub(super) _alive: Sender<()>,
}
