//! TCP sockets as the connections use them: listening, opening, reading and writing bytes. What lies over TCP and carries
//! SIP (TLS, WebSocket) has its place in [`Stream`].

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};

use base::{Duration, Time};
use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::connections::Limits;
use crate::option;
use crate::tls::Session;

/// Connections that the kernel completes before we accept them: more than a burst of reconnecting clients, and bounded by
/// `net.core.somaxconn` anyway.
const BACKLOG: i32 = 4096;

/// Time between two questions to a silent peer.
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(3);

/// The listening socket of one worker; the kernel deals out new connections among the workers (SO_REUSEPORT).
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A listening socket that another process gave, which has all its settings.
pub(crate) fn listening(given: OwnedFd) -> io::Result<TcpListener> {
    let socket = Socket::from(given);
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// The process or the host has no descriptor left.
pub(crate) fn is_short_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The fault is this host's: descriptors, memory, or ports of its own address are short.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    is_short_of_descriptors(error)
        || matches!(
            error.raw_os_error(),
            Some(libc::ENOMEM | libc::ENOBUFS | libc::EADDRNOTAVAIL | libc::EADDRINUSE | libc::EAGAIN)
        )
}

/// The bytes of one connection, in both directions.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    tls: Option<Box<Session>>,
    /// What the peer has proven to the process that does its TLS.
    relayed: Option<Box<[CertificateDer<'static>]>>,
}

impl Stream {
    /// The kernel repeats unacknowledged bytes for the time in `limits.stuck_time`. A host that died says nothing, and by
    /// default the kernel would accept messages for it for a quarter of an hour.
    pub(crate) fn over(socket: TcpStream, limits: &Limits) -> Stream {
        // Messages are written whole, so waiting for more bytes to fill a segment only delays them. The connection also
        // works without either option.
        let _ = socket.set_nodelay(true);
        let _ = option::give_up_after(socket.as_fd(), limits.stuck_time);
        if let Some(silence) = limits.keep_alive {
            // The number of questions fits the time above, after which the peer is given up.
            let asks = TcpKeepalive::new().with_time(silence).with_interval(KEEP_ALIVE_AGAIN);
            let _ = SockRef::from(&socket).set_tcp_keepalive(&asks);
        }
        Stream { socket, tls: None, relayed: None }
    }

    /// The connection is over TLS, which another process does; this socket leads to that process.
    pub(crate) fn relayed(socket: TcpStream, proven: Vec<CertificateDer<'static>>) -> Stream {
        Stream { socket, tls: None, relayed: Some(proven.into()) }
    }

    /// Another process does its TLS.
    pub(crate) fn is_relayed(&self) -> bool {
        self.relayed.is_some()
    }

    /// This process does its TLS.
    pub(crate) fn is_secured(&self) -> bool {
        self.tls.is_some()
    }

    /// Everything from now on goes through this session.
    pub(crate) fn secure(&mut self, session: Session) {
        self.tls = Some(Box::new(session));
    }

    /// What the peer has proven over TLS.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        match (&self.tls, &self.relayed) {
            (Some(session), _) => session.certificates(),
            (None, Some(proven)) => proven,
            (None, None) => &[],
        }
    }

    /// Whether the peer can be written to: there is no TLS, or its handshake is over.
    pub(crate) fn is_established(&self) -> bool {
        self.tls.as_ref().is_none_or(|session| !session.is_handshaking())
    }

    /// The socket was reported ready to read.
    pub(crate) fn ready(&mut self) {
        if let Some(session) = &mut self.tls {
            session.ready();
        }
    }

    /// Bytes of memory held below the messages, as far as the peer decides about them.
    pub(crate) fn held(&self) -> usize {
        self.tls.as_ref().map_or(0, |session| session.held())
    }

    /// Since when a record is incomplete.
    pub(crate) fn partial_since(&self) -> Option<Time> {
        self.tls.as_ref().and_then(|session| session.partial_since())
    }

    /// Whether encrypted bytes wait below the messages.
    pub(crate) fn is_waiting(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.is_waiting())
    }

    /// Writes these bytes as far as the socket takes them.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(session) => session.flush(&mut self.socket),
            None => Ok(()),
        }
    }

    /// Whether a read that leaves room in the buffer has taken everything. TLS hands out record by record.
    pub(crate) fn short_read_is_all(&self) -> bool {
        self.tls.is_none()
    }

    /// Begins to connect. [`Stream::connected`] tells the result once the socket is writable. `from`: the address of the
    /// listener that the connection stands for, so that the peer sees the address in our Via.
    pub(crate) fn connect(from: SocketAddr, to: SocketAddr, limits: &Limits) -> io::Result<Stream> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if from.is_ipv4() == to.is_ipv4() && !from.ip().is_unspecified() {
            option::bind_without_port(socket.as_fd())?;
            socket.bind(&SocketAddr::new(from.ip(), 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(Stream::over(TcpStream::from_std(socket.into()), limits))
    }

    /// Whether an attempt to connect has ended.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// `to_the_end`: the end of the stream may lie behind the available bytes.
    pub(crate) fn read(&mut self, into: &mut [u8], to_the_end: bool, now: Time) -> io::Result<usize> {
        match &mut self.tls {
            Some(session) => session.read(&mut self.socket, into, to_the_end, now),
            None => self.socket.read(into),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_of(&[IoSlice::new(bytes)])
    }

    pub(crate) fn write_all_of(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.tls {
            Some(session) => session.write(&mut self.socket, parts),
            None => self.socket.write_vectored(parts),
        }
    }

    /// Whether a peer that has ended its sending can still be written to.
    pub(crate) fn may_write_after_the_end(&self) -> bool {
        // Where another process does TLS, it has ended both directions.
        !self.is_relayed() && self.tls.as_ref().is_none_or(|session| session.may_write_after_the_end())
    }

    /// Says that nothing more will be written; written bytes arrive before the end.
    pub(crate) fn end(&mut self) {
        if let Some(session) = &mut self.tls {
            session.end(&mut self.socket);
        }
        // A connection that is already gone needs no end.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// The bytes that the socket has, which stay there.
    pub(crate) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        self.socket.peek(into)
    }

    /// Takes bytes that [`Stream::peek`] has seen, before anything lies over the socket. False: they are not there.
    pub(crate) fn skip(&mut self, seen: &mut [u8]) -> bool {
        self.socket.read(seen).is_ok_and(|length| length == seen.len())
    }

    /// No readiness is reported any more; whoever registers it anew hears of what it has by then.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }

    /// Readiness is reported on its edges, so both interests are set once.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
