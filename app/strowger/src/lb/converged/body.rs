//! A body on its way through: not longer than it may be, and not silent for longer.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::lock;

/// When something last moved, and whether it was too much: seen by whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    moved: Mutex<Instant>,
    pub(super) too_large: AtomicBool,
}

impl Progress {
    pub(super) fn begin() -> Arc<Progress> {
        Arc::new(Progress { moved: Mutex::new(Instant::now()), too_large: AtomicBool::new(false) })
    }

    pub(super) fn note(&self) {
        *lock(&self.moved) = Instant::now();
    }

    pub(super) fn last(&self) -> Instant {
        *lock(&self.moved)
    }
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Guarded {
    /// `None`: nothing at all.
    inner: Option<Incoming>,
    left: u64,
    idle: Duration,
    alarm: Pin<Box<Sleep>>,
    progress: Option<Arc<Progress>>,
}

impl Guarded {
    /// Of a client: at most so many bytes.
    pub(super) fn of_request(
        inner: Incoming,
        bytes_max: u64,
        idle: Duration,
        progress: Arc<Progress>,
    ) -> Guarded {
        let alarm = Box::pin(tokio::time::sleep(idle));
        Guarded { inner: Some(inner), left: bytes_max, idle, alarm, progress: Some(progress) }
    }

    /// Of a server, whatever its length.
    pub(super) fn of_response(inner: Incoming, idle: Duration) -> Guarded {
        let alarm = Box::pin(tokio::time::sleep(idle));
        Guarded { inner: Some(inner), left: u64::MAX, idle, alarm, progress: None }
    }

    /// That of a request which has none.
    pub(super) fn nothing(idle: Duration) -> Guarded {
        let alarm = Box::pin(tokio::time::sleep(idle));
        Guarded { inner: None, left: 0, idle, alarm, progress: None }
    }
}

/// Why a body was broken off.
#[derive(Debug)]
pub(super) struct BrokenOff(&'static str);

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BrokenOff {}

impl Body for Guarded {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = this.left.checked_sub(length) else {
                    if let Some(progress) = &this.progress {
                        progress.too_large.store(true, Relaxed);
                    }
                    return Poll::Ready(Some(Err(BrokenOff("the body is too large"))));
                };
                this.left = left;
                this.alarm.as_mut().reset(Instant::now() + this.idle);
                if let Some(progress) = &this.progress {
                    progress.note();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(BrokenOff("its sender broke off")))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.alarm.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(BrokenOff("its sender is silent")))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}
