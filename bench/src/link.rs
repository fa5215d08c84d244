//! One connection of the generator, plain or with TLS, with the received bytes that are no whole message yet, and the written
//! bytes that are not sent yet.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

/// Never waits; an end or an error only marks the connection as closed.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    session: Option<Box<rustls::Connection>>,
    pub(crate) received: Vec<u8>,
    pub(crate) unsent: Vec<u8>,
    pub(crate) closed: bool,
}

impl Link {
    pub(crate) fn new(stream: TcpStream, session: Option<rustls::Connection>) -> io::Result<Link> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let session = session.map(|mut session| {
            // Bytes that the subject does not take wait here instead of in `unsent`; the window of calls bounds both.
            session.set_buffer_limit(None);
            Box::new(session)
        });
        Ok(Link { stream, session, received: Vec::new(), unsent: Vec::new(), closed: false })
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.unsent.is_empty() || self.session.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Reads the socket once.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) {
        match self.stream.read(scratch) {
            Ok(0) => self.closed = true,
            Ok(count) => match self.session {
                None => self.received.extend_from_slice(&scratch[..count]),
                Some(_) => self.closed |= self.decrypt(&scratch[..count]).is_err(),
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.closed = true,
        }
    }

    fn decrypt(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while !bytes.is_empty() {
            session.read_tls(&mut bytes)?;
            let state = session.process_new_packets().map_err(io::Error::other)?;
            let start = self.received.len();
            self.received.resize(start + state.plaintext_bytes_to_read(), 0);
            session.reader().read_exact(&mut self.received[start..])?;
        }
        Ok(())
    }

    /// Writes the waiting bytes, as far as the socket takes them; with TLS all of them, in as few records as possible.
    pub(crate) fn flush(&mut self) {
        let outcome = match self.session {
            None => self.write_plain(),
            Some(_) => self.write_encrypted(),
        };
        self.closed |= outcome.is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
    }

    fn write_plain(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => drop(self.unsent.drain(..written?)),
            }
        }
        Ok(())
    }

    fn write_encrypted(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if !session.is_handshaking() && !self.unsent.is_empty() {
            session.writer().write_all(&self.unsent)?;
            self.unsent.clear();
        }
        while session.wants_write() {
            match session.write_tls(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => drop(written?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConnection, ServerConnection};

    use super::*;
    use crate::secrets::Secrets;

    #[test]
    fn what_is_written_before_the_handshake_arrives_after_it() {
        let directory = std::env::temp_dir().join(format!("strowger-link-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let secrets = Secrets::new(&directory, vec!["127.0.0.1".into()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = listener.local_addr().unwrap();
        let session =
            ClientConnection::new(Arc::clone(&secrets.client), ServerName::from(place.ip())).unwrap();
        let mut client = Link::new(TcpStream::connect(place).unwrap(), Some(session.into())).unwrap();
        let session = ServerConnection::new(Arc::clone(&secrets.server)).unwrap();
        let mut server = Link::new(listener.accept().unwrap().0, Some(session.into())).unwrap();
        // More than one record can hold.
        client.unsent = vec![b'x'; 40_000];
        let mut scratch = vec![0; 65_536];
        while server.received.len() < 40_000 {
            for link in [&mut client, &mut server] {
                link.flush();
                link.read(&mut scratch);
                assert!(!link.closed);
            }
        }
        assert!(server.received.iter().all(|byte| *byte == b'x'));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
