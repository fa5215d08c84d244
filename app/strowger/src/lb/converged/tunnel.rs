//! A connection that became another protocol (RFC 9110 §7.8), such as WebSocket. Bytes go both ways until one side ends it
//! or both are silent for too long.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::Progress;

/// Until it ends.
pub(super) async fn run(client: OnUpgrade, server: OnUpgrade, idle: Duration) {
    let (Ok(client), Ok(server)) = (client.await, server.await) else { return };
    let progress = Progress::begin();
    let noted = |upgraded: Upgraded| Noted { inner: TokioIo::new(upgraded), progress: Arc::clone(&progress) };
    let (mut client, mut server) = (noted(client), noted(server));
    let mut copied = pin!(tokio::io::copy_bidirectional(&mut client, &mut server));
    loop {
        let end = progress.last() + idle;
        if tokio::time::timeout_at(end, copied.as_mut()).await.is_ok() || progress.last() + idle <= end {
            return;
        }
    }
}

/// A stream that notes the time of the last data.
struct Noted {
    inner: TokioIo<Upgraded>,
    progress: Arc<Progress>,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if read.is_ready() {
            self.progress.note();
        }
        read
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
