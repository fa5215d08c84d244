//! Connections to the servers' HTTP that wait for another request. They are few and wait only for a short time: most servers
//! close theirs after five seconds, and a request on a closing connection must be sent again.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::body::Guarded;
use super::patient::Patient;
use crate::process::lock::lock;

/// Waiting connections for each server.
const IDLE_MAX: usize = 32;
const IDLE_TIME: Duration = Duration::from_secs(4);
/// Bound of a response's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

pub(super) type Sender = SendRequest<Guarded>;

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<SocketAddr, Vec<(Sender, Instant)>>>);

impl Pool {
    /// The connection that was used last: it is the least likely to be closed.
    pub(super) fn take(&self, place: SocketAddr) -> Option<Sender> {
        let mut idle = lock(&self.0);
        let waiting = idle.get_mut(&place)?;
        std::iter::from_fn(|| waiting.pop()).map(|(sender, _)| sender).find(Sender::is_ready)
    }

    pub(super) fn put(&self, place: SocketAddr, sender: Sender) {
        let mut idle = lock(&self.0);
        let waiting = idle.entry(place).or_default();
        if waiting.len() < IDLE_MAX {
            waiting.push((sender, Instant::now()));
        }
    }

    /// Closes connections that waited for too long.
    pub(super) fn sweep(&self, now: Instant) {
        lock(&self.0).retain(|_, waiting| {
            waiting.retain(|(sender, since)| !sender.is_closed() && now.duration_since(*since) < IDLE_TIME);
            !waiting.is_empty()
        });
    }
}

/// A new connection. It runs by itself until both sides are done with it.
pub(super) async fn connect(place: SocketAddr, patience: Duration, idle: Duration) -> io::Result<Sender> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let stream = tokio::time::timeout(patience, TcpStream::connect(place)).await.map_err(|_| late())??;
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patient::new(stream, idle));
    let (sender, connection) = http1::Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .handshake(io)
        .await
        .map_err(io::Error::other)?;
    // The task that waits for the answer learns how the connection ends.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
