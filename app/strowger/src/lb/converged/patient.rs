//! A stream whose peer may read slowly, but not for ever: bytes that cannot be written for too long end the connection.
//!
//! At the end of a client's stream, this reads and drops what the client still sends, for a moment. If it closed at once,
//! the kernel would send a reset, and the client would lose an answer that it has not read yet (RFC 9112 §9.6).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::slot::Slot;

/// Longer than an answer and the peer's end need to arrive.
const LINGER: Duration = Duration::from_secs(1);
/// How many dropped bytes are read at once.
const DROPPED_BYTES: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Runs while a write waits.
    alarm: Pin<Box<Sleep>>,
    waits: bool,
    /// Nothing more is written.
    ends: bool,
    /// Only a client's stream has this. `None`: a server's stream.
    client: Option<Arc<Slot>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Patient<S> {
        Patient {
            stream,
            patience,
            alarm: Box::pin(tokio::time::sleep(patience)),
            waits: false,
            ends: false,
            client: None,
        }
    }

    pub(super) fn of_client(stream: S, patience: Duration, slot: Arc<Slot>) -> Patient<S> {
        Patient { client: Some(slot), ..Patient::new(stream, patience) }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        if !std::mem::replace(&mut self.waits, true) {
            self.alarm.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.alarm.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ends {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.ends = true;
            self.alarm.as_mut().reset(Instant::now() + LINGER);
        }
        if self.client.as_ref().is_none_or(|slot| slot.upgraded.load(Relaxed)) {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = [0; DROPPED_BYTES];
        loop {
            if self.alarm.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut dropped = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut dropped)) {
                Ok(()) if !dropped.filled().is_empty() => {}
                // The other side has ended, too.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
