//! The farm over TCP or TLS: a client with a few connections and servers behind one listener, in one thread. Calls are spread
//! over the client's connections; a server answers on the connection on which the request came.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

use crate::calls::{Calls, Kind};
use crate::farm::{Interval, Layout, Pace, Until};
use crate::link::Link;
use crate::post::Post;
use crate::secrets::Secrets;
use crate::texts::Texts;

/// Connections of the client: a few busy ones, as between two proxies.
const CLIENT_CONNECTIONS: usize = 8;
const READ_BYTES: usize = 64 * 1024;
const CATCH_UP_MAX: u32 = 16;

/// Length of the message at the front, if the whole message is there (RFC 3261 §18.3).
pub(crate) fn whole_message(bytes: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(bytes, b"\r\n\r\n")? + 4;
    let name = b"\r\nContent-Length:";
    let start = memchr::memmem::find(&bytes[..head], name)? + name.len();
    let digits =
        bytes[start..].iter().skip_while(|byte| **byte == b' ').take_while(|byte| byte.is_ascii_digit());
    let body = digits
        .fold(0usize, |number, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
    let end = head.saturating_add(body);
    (end <= bytes.len()).then_some(end)
}

pub(crate) struct StreamFarm {
    layout: Layout,
    /// Set: TLS on both sides.
    secrets: Option<Secrets>,
    listener: TcpListener,
    clients: Vec<Link>,
    servers: Vec<(u16, Link)>,
    client_post: Post,
    scratch: Vec<u8>,
    pub(crate) calls: Calls,
    clock: Instant,
}

impl StreamFarm {
    /// Listens for the servers. The caller then starts the subject and calls `connect`.
    pub(crate) fn new(
        layout: Layout,
        kind: Kind,
        slots: usize,
        secrets: Option<Secrets>,
    ) -> io::Result<StreamFarm> {
        let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, layout.server_port))?;
        listener.set_nonblocking(true)?;
        let transport = if secrets.is_some() { "TLS" } else { "TCP" };
        let texts =
            Texts::new(transport, std::process::id(), layout.client, layout.target, &layout.servers());
        Ok(StreamFarm {
            layout,
            secrets,
            listener,
            clients: Vec::new(),
            servers: Vec::new(),
            client_post: Post::default(),
            scratch: vec![0; READ_BYTES],
            calls: Calls::new(texts, kind, slots, false),
            clock: Instant::now(),
        })
    }

    pub(crate) fn connect(&mut self) -> io::Result<()> {
        for _ in 0..CLIENT_CONNECTIONS {
            let stream = TcpStream::connect(self.layout.target)?;
            let session = match &self.secrets {
                Some(secrets) => {
                    let name = ServerName::from(IpAddr::from(*self.layout.target.ip()));
                    Some(ClientConnection::new(Arc::clone(&secrets.client), name).map_err(io::Error::other)?)
                }
                None => None,
            };
            self.clients.push(Link::new(stream, session.map(Into::into))?);
        }
        Ok(())
    }

    /// Runs calls as over UDP: see [`crate::farm::Farm::run`].
    pub(crate) fn run(&mut self, pace: Pace, duration: Until) -> io::Result<Interval> {
        let before = self.calls.counters;
        let begin = self.now();
        let mut due = begin as f64;
        loop {
            self.turn()?;
            let now = self.now();
            match pace {
                Pace::Closed(outstanding) => {
                    while self.calls.outstanding() < outstanding
                        && self.calls.start(now, &mut self.client_post)
                    {}
                }
                Pace::CallsPerSecond(rate) => {
                    for _ in 0..CATCH_UP_MAX {
                        if due > now as f64 || !self.calls.start(now, &mut self.client_post) {
                            break;
                        }
                        due += 1e9 / rate;
                    }
                }
            }
            self.flush();
            let elapsed = Duration::from_nanos(now - begin);
            let over = match duration {
                Until::Elapsed(limit) => elapsed >= limit,
                Until::InProgress(calls) => self.calls.in_progress() >= calls,
                Until::Attempts(calls) => self.calls.counters.attempts - before.attempts >= calls,
            };
            if over {
                return Ok(Interval { elapsed, counters: self.calls.counters.since(&before) });
            }
        }
    }

    pub(crate) fn drain(&mut self) -> io::Result<()> {
        while self.calls.outstanding() > 0 {
            self.turn()?;
            self.flush();
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    fn turn(&mut self) -> io::Result<()> {
        let ready = self.ready()?;
        let (client_ready, server_ready) = ready.split_at(self.clients.len());
        let now = self.clock.elapsed().as_nanos() as u64;
        for (connection, _) in self.clients.iter_mut().zip(client_ready).filter(|(_, ready)| **ready) {
            connection.read(&mut self.scratch);
            let mut start = 0;
            while let Some(length) = whole_message(&connection.received[start..]) {
                let bytes = &connection.received[start..start + length];
                self.calls.client_receives(bytes, now, &mut self.client_post);
                start += length;
            }
            connection.received.drain(..start);
        }
        let mut post = Post::default();
        for ((server, connection), _) in
            self.servers.iter_mut().zip(server_ready).filter(|(_, ready)| **ready)
        {
            connection.read(&mut self.scratch);
            let mut start = 0;
            while let Some(length) = whole_message(&connection.received[start..]) {
                let bytes = &connection.received[start..start + length];
                self.calls.server_receives(*server, bytes, now, &mut post);
                start += length;
            }
            connection.received.drain(..start);
            connection.unsent.append(&mut post.bytes);
            post.clear();
            connection.flush();
        }
        if self.clients.iter().any(|connection| connection.closed) {
            return Err(io::Error::other("the subject closed a client's connection"));
        }
        self.servers.retain(|(_, connection)| !connection.closed);
        self.accept()?;
        self.calls.expire(now);
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                let SocketAddr::V4(local) = stream.local_addr()? else { return Ok(()) };
                let Some(server) = self.layout.server_number(*local.ip()) else {
                    self.calls.counters.stray += 1;
                    return Ok(());
                };
                let session = match &self.secrets {
                    Some(secrets) => {
                        Some(ServerConnection::new(Arc::clone(&secrets.server)).map_err(io::Error::other)?)
                    }
                    None => None,
                };
                self.servers.push((server, Link::new(stream, session.map(Into::into))?));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Which connections can be read, the client's first; connections with unsent bytes are written to again.
    fn ready(&mut self) -> io::Result<Vec<bool>> {
        let servers = self.servers.iter_mut().map(|(_, connection)| connection);
        let mut sockets = Vec::with_capacity(self.clients.len() + servers.len());
        for connection in self.clients.iter_mut().chain(servers) {
            if connection.is_waiting() {
                connection.flush();
            }
            sockets.push(libc::pollfd { fd: connection.descriptor(), events: libc::POLLIN, revents: 0 });
        }
        // SAFETY: the pointer is to a live array of the length given; it does not wait.
        let result = unsafe { libc::poll(sockets.as_mut_ptr(), sockets.len() as u64, 0) };
        match io::Error::last_os_error() {
            error if result < 0 && error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(sockets.iter().map(|socket| socket.revents != 0).collect()),
        }
    }

    fn flush(&mut self) {
        if self.client_post.messages.is_empty() {
            return;
        }
        for message in &self.client_post.messages {
            let connection = &mut self.clients[message.key as usize % CLIENT_CONNECTIONS];
            let bytes = &self.client_post.bytes[message.start as usize..message.end as usize];
            connection.unsent.extend_from_slice(bytes);
        }
        self.client_post.clear();
        self.clients.iter_mut().for_each(Link::flush);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_where_its_length_says() {
        let text = b"BYE sip:a SIP/2.0\r\nContent-Length: 3\r\n\r\nabcACK";
        assert_eq!(whole_message(text), Some(text.len() - 3));
        assert_eq!(whole_message(&text[..text.len() - 4]), None);
        assert_eq!(whole_message(b"BYE sip:a SIP/2.0\r\nContent-Le"), None);
    }
}
