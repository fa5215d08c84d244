//! TLS over the socket of one connection, and the certificates that new connections use.
//!
//! A session reads and writes what the socket takes, never waits, and once it is idle holds at most one record in each
//! direction. `rustls` and the maker of the [`Identity`] decide which certificates are good.

mod records;

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base::Time;
use mio::net::TcpStream;
use records::Records;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, Connection, ProtocolVersion, ServerConfig, ServerConnection};

/// Encrypted bytes that may wait within a session for the socket: one record. The rest stays in the queue of the connection,
/// whose bytes are counted.
const WAITING_MAX: usize = 16 << 10;

/// Parts of one write.
pub(crate) const PARTS_MAX: usize = 128;

/// What new TLS connections are made from.
#[derive(Clone)]
pub struct Identity {
    /// For accepted connections, by the index of their listener. `None`: a listener without TLS.
    pub accepting: Vec<Option<Arc<ServerConfig>>>,
    /// For opened connections. `None`: there are none.
    pub client: Option<Arc<ClientConfig>>,
    /// The name that a server's certificate must contain. `None`: the server's address.
    pub server_name: Option<ServerName<'static>>,
    /// Verifies the certificates of servers, as `client` does. `None`: nobody is believed to be a server.
    pub server_verifier: Option<Arc<dyn ServerCertVerifier>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The identity that all workers share. It is changed as a whole while they run: new connections take the present identity,
/// open connections keep theirs.
#[derive(Debug, Default)]
pub struct Identities(ArcSwapOption<Identity>);

impl Identities {
    pub fn new(identity: Option<Identity>) -> Identities {
        Identities(ArcSwapOption::from_pointee(identity))
    }

    pub fn change(&self, identity: Option<Identity>) {
        self.0.store(identity.map(Arc::new));
    }

    pub fn accept(&self, listener: u8) -> io::Result<Session> {
        let identity = self.0.load();
        let identity = identity.as_ref().ok_or(ErrorKind::Unsupported)?;
        let config = identity.accepting.get(usize::from(listener)).and_then(Option::as_ref);
        let config = config.ok_or(ErrorKind::Unsupported)?;
        let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Session::over(connection.into()))
    }

    pub(crate) fn connect(&self, to: IpAddr) -> io::Result<Session> {
        let identity = self.0.load();
        let identity = identity.as_ref().ok_or(ErrorKind::Unsupported)?;
        let client = identity.client.as_ref().ok_or(ErrorKind::Unsupported)?;
        let name = identity.server_name.clone().unwrap_or_else(|| ServerName::from(to));
        let connection = ClientConnection::new(Arc::clone(client), name).map_err(io::Error::other)?;
        Ok(Session::over(connection.into()))
    }

    /// Whether a peer that showed these certificates (its own first) would have been believed on our own connection to
    /// `address`. If a `name` is given, the certificate must also contain it (RFC 5923 §9.2).
    pub(crate) fn proves(&self, chain: &[CertificateDer<'_>], address: IpAddr, name: Option<&[u8]>) -> bool {
        let identity = self.0.load();
        let Some(identity) = identity.as_ref() else { return false };
        let (Some(verifier), Some((own, others))) = (&identity.server_verifier, chain.split_first()) else {
            return false;
        };
        let expected = identity.server_name.clone().unwrap_or_else(|| ServerName::from(address));
        let named = match name.map(ServerName::try_from) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => return false,
        };
        let now = UnixTime::now();
        std::iter::once(expected)
            .chain(named)
            .all(|name| verifier.verify_server_cert(own, others, &name, &[], now).is_ok())
    }
}

/// TLS of one connection.
pub struct Session {
    connection: Connection,
    /// The socket may hold more: it was reported ready, and no read since then was short.
    readable: bool,
    /// The peer has sent a close_notify, so the end of the connection below is no loss.
    notified: bool,
    records: Records,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("readable", &self.readable).finish_non_exhaustive()
    }
}

/// A read that leaves room has taken everything.
struct Counting<'a> {
    socket: &'a mut TcpStream,
    records: &'a mut Records,
    now: Time,
    short: bool,
}

impl Read for Counting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(into)?;
        self.short = length < into.len();
        self.records.see(&into[..length], self.now);
        Ok(length)
    }
}

impl Session {
    fn over(mut connection: Connection) -> Session {
        connection.set_buffer_limit(Some(WAITING_MAX));
        Session { connection, readable: true, notified: false, records: Records::default() }
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// The certificates that the peer has shown, and whose key it has proven to have, its own first; none before that, or
    /// without certificates.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        if self.is_handshaking() {
            return &[];
        }
        self.connection.peer_certificates().unwrap_or_default()
    }

    /// The socket was reported ready.
    pub fn ready(&mut self) {
        self.readable = true;
    }

    /// TLS 1.3 closes each direction by itself (RFC 8446 §6.1); earlier versions close both at once (RFC 5246 §7.2.1).
    pub(crate) fn may_write_after_the_end(&self) -> bool {
        !self.notified || self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Bytes that `rustls` keeps of an incomplete record. During a handshake it may keep more, which the bound on handshakes
    /// limits.
    pub fn held(&self) -> usize {
        self.records.held
    }

    /// Since when a record is incomplete.
    pub fn partial_since(&self) -> Option<Time> {
        (self.records.held > 0).then_some(self.records.since)
    }

    /// Whether encrypted bytes wait for the socket.
    pub(crate) fn is_waiting(&self) -> bool {
        self.connection.wants_write()
    }

    /// Drives the handshake as far as the socket allows, and reads what the peer sent. `to_the_end`: the end of the stream
    /// may lie behind a short read.
    pub fn read(
        &mut self,
        socket: &mut TcpStream,
        into: &mut [u8],
        to_the_end: bool,
        now: Time,
    ) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(into) {
                // Without a close_notify the end is the same for us: messages carry their own length.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) if !into.is_empty() => {
                    self.notified = true;
                    return Ok(0);
                }
                read => return read,
            }
            if !self.readable {
                return Err(ErrorKind::WouldBlock.into());
            }
            let mut counting = Counting { socket, records: &mut self.records, now, short: false };
            match self.connection.read_tls(&mut counting) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Err(error);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
                Ok(length) => self.readable = length == 0 || to_the_end || !counting.short,
            }
            let processed = self.connection.process_new_packets();
            let flushed = self.flush(socket);
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            flushed?;
        }
    }

    /// Encrypts and writes as far as the socket takes bytes. Returns how many of the plain bytes are on their way.
    pub(crate) fn write(&mut self, socket: &mut TcpStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut copies = [IoSlice::new(&[]); PARTS_MAX];
        let count = parts.len().min(PARTS_MAX);
        copies[..count].copy_from_slice(&parts[..count]);
        let mut rest = &mut copies[..count];
        IoSlice::advance_slices(&mut rest, 0);
        let mut taken = 0;
        loop {
            self.flush(socket)?;
            if rest.is_empty() {
                return Ok(taken);
            }
            if self.is_waiting() {
                return if taken > 0 { Ok(taken) } else { Err(ErrorKind::WouldBlock.into()) };
            }
            match self.connection.writer().write_vectored(rest)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                length => {
                    taken += length;
                    IoSlice::advance_slices(&mut rest, length);
                }
            }
        }
    }

    /// Writes waiting encrypted bytes, as far as the socket takes them.
    pub(crate) fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be written.
    pub(crate) fn end(&mut self, socket: &mut TcpStream) {
        self.connection.send_close_notify();
        // The end of the connection below says the same.
        let _ = self.flush(socket);
    }
}
