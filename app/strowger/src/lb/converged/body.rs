//! A body on its way through: bounded in length, and in the time without data.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::process::lock::lock;

/// The time of the last movement, and the client's error; the task that waits for the answer reads both.
#[derive(Debug)]
pub(super) struct Progress {
    moved: Mutex<Instant>,
    wrong: OnceLock<(StatusCode, &'static str)>,
}

impl Progress {
    pub(super) fn begin() -> Arc<Progress> {
        Arc::new(Progress { moved: Mutex::new(Instant::now()), wrong: OnceLock::new() })
    }

    pub(super) fn note(&self) {
        *lock(&self.moved) = Instant::now();
    }

    /// The answer to a client whose body was broken off here, whatever the server answered.
    pub(super) fn wrong(&self) -> Option<(StatusCode, &'static str)> {
        self.wrong.get().copied()
    }

    pub(super) fn last(&self) -> Instant {
        *lock(&self.moved)
    }
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Guarded {
    /// `None`: there is no bound.
    inner: Option<Incoming>,
    left: u64,
    idle: Duration,
    alarm: Pin<Box<Sleep>>,
    progress: Option<Arc<Progress>>,
}

impl Guarded {
    /// The body of a client, with a bound.
    pub(super) fn of_request(
        inner: Incoming,
        bytes_max: u64,
        idle: Duration,
        progress: Arc<Progress>,
    ) -> Guarded {
        let alarm = Box::pin(tokio::time::sleep(idle));
        Guarded { inner: Some(inner), left: bytes_max, idle, alarm, progress: Some(progress) }
    }

    /// The body of a server, of any length.
    pub(super) fn of_response(inner: Incoming, idle: Duration) -> Guarded {
        let alarm = Box::pin(tokio::time::sleep(idle));
        Guarded { inner: Some(inner), left: u64::MAX, idle, alarm, progress: None }
    }

    /// The body of a request that has none.
    pub(super) fn nothing(idle: Duration) -> Guarded {
        let alarm = Box::pin(tokio::time::sleep(idle));
        Guarded { inner: None, left: 0, idle, alarm, progress: None }
    }
}

impl Guarded {
    fn broken_off<T>(&self, status: StatusCode, why: &'static str) -> Poll<Option<Result<T, BrokenOff>>> {
        if let Some(progress) = &self.progress {
            // The first error stays.
            let _ = progress.wrong.set((status, why));
        }
        Poll::Ready(Some(Err(BrokenOff(why))))
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
                    return this.broken_off(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
                };
                this.left = left;
                this.alarm.as_mut().reset(Instant::now() + this.idle);
                if let Some(progress) = &this.progress {
                    progress.note();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => this
                .broken_off(StatusCode::BAD_REQUEST, "the body does not have its announced length or form"),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.alarm.as_mut().poll(context) {
                Poll::Ready(()) => {
                    this.broken_off(StatusCode::GATEWAY_TIMEOUT, "no data of the body came for too long")
                }
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
