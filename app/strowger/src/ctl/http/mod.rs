//! The HTTP API: the verbs of [`crate::ctl`] by their routes, metrics, and the document that describes both. One thread with
//! a runtime of its own serves them. A verb reaches the tables only through the bounded desk, so no HTTP request can delay a
//! message.
//!
//! Bounds: connections at once, the time of each connection, the size of a body. A client without a token learns nothing.

pub(crate) mod certificate;
pub(crate) mod counters;
mod metrics;
mod openapi;
mod request;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::ctl::asked::Asked;
use crate::lb::over::Over;
use certificate::Certificate;

pub(crate) use metrics::page;
pub(crate) use openapi::document;

/// Connections at once: operators and Prometheus are few. A further connection waits for its turn.
const CONNECTIONS_MAX: usize = 32;
/// A connection that has not sent the head of a request within this time is closed.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// A connection ends after this time, however slowly its bytes come and go.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

pub(crate) fn listen(listen: SocketAddr) -> io::Result<TcpListener> {
    let place = format!("{listen} (api.listen)");
    TcpListener::bind(listen).map_err(|error| crate::process::ports::unavailable(&place, &error))
}

/// Listens, and serves on a thread of its own until the process ends.
pub(crate) fn serve(
    address: SocketAddr,
    open_metrics: bool,
    certificate: Certificate,
    asked: Arc<dyn Asked>,
) -> io::Result<SocketAddr> {
    serve_at(listen(address)?, open_metrics, certificate, asked, Over::default())
}

/// The same at a socket that is there already, until another process serves it.
pub(crate) fn serve_at(
    listener: TcpListener,
    open_metrics: bool,
    certificate: Certificate,
    asked: Arc<dyn Asked>,
    over: Over,
) -> io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    std::thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(over.or(accept(listener, open_metrics, certificate, asked)));
    })?;
    Ok(address)
}

async fn accept(listener: TcpListener, open_metrics: bool, certificate: Certificate, asked: Arc<dyn Asked>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Most likely the process has no descriptors left: asking again at once is no use.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (asked, https) = (Arc::clone(&asked), certificate.load_full());
        tokio::spawn(async move {
            // A client that breaks off harms nobody else.
            let _ = tokio::time::timeout(CONNECTION_TIME, async {
                match https {
                    None => talk(stream, open_metrics, &asked).await,
                    Some(https) => {
                        let handshake = TlsAcceptor::from(Arc::clone(&https.config)).accept(stream);
                        // A handshake that fails, or does not end in time, ends the connection.
                        if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_PATIENCE, handshake).await {
                            talk(stream, open_metrics, &asked).await;
                        }
                    }
                }
            })
            .await;
            drop(place);
        });
    }
}

/// The requests of one connection.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, open_metrics: bool, asked: &Arc<dyn Asked>) {
    let service = hyper::service::service_fn(|request| request::answer(request, open_metrics, asked));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let _ = connection.await;
}

#[cfg(test)]
mod tests;
