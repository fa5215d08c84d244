//! TLS from a client: any bytes at all, and an honest client's stream cut anywhere, whole or with one bit changed on the way.
//!
//! Besides not panicking: an honest client's data arrives as it was, a changed bit lets nothing else through, and of a record that is not
//! whole no more is kept than a record has.

#![no_main]

use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};

use base::Time;
use libfuzzer_sys::fuzz_target;
use mio::net::TcpStream;
use net::tls::{Identities, Identity, Session};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

/// A record at most: RFC 5246 §6.2.3 with its head, above RFC 8446 §5.2.
const RECORD_BYTES_MAX: usize = 5 + (16 << 10) + 2048;
/// Flights of a handshake, and what follows; an honest client is through in fewer.
const TURNS_MAX: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Some(([kind, a, b], data)) = bytes.split_first_chunk::<3>() else { return };
    match kind % 3 {
        0 => {
            let mut server = Server::new();
            let _ = server.take(bytes, bytes);
            assert!(server.data.is_empty(), "without a handshake nothing is read");
        }
        1 => {
            let (outcome, heard) = talk(data, bytes, None);
            assert!(outcome.is_ok(), "{outcome:?}");
            assert_eq!(heard, data);
        }
        _ => {
            let (_, heard) = talk(data, bytes, Some(usize::from(u16::from_be_bytes([*a, *b]))));
            assert!(data.starts_with(&heard), "what was changed on the way was believed");
        }
    }
});

/// An honest client says `data`; what the server hears. `flipped`: a bit of what the client sends, counted from its first byte.
fn talk(data: &[u8], cuts: &[u8], flipped: Option<usize>) -> (io::Result<()>, Vec<u8>) {
    let (_, client) = configurations();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    client.set_buffer_limit(None);
    client.writer().write_all(data).expect("there is no limit");
    let (mut server, mut sent) = (Server::new(), 0);
    for _ in 0..TURNS_MAX {
        if !client.is_handshaking() {
            client.send_close_notify();
        }
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("memory takes all");
        }
        if let Some(at) = flipped.and_then(|bit| (bit / 8).checked_sub(sent)).filter(|at| *at < flight.len()) {
            flight[at] ^= 1 << (flipped.unwrap_or(0) % 8);
        }
        sent += flight.len();
        let taken = server.take(&flight, cuts);
        let heard = taken.and_then(|()| match client.read_tls(&mut &server.client) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(_) => client.process_new_packets().map(drop).map_err(io::Error::other),
        });
        if heard.is_err() {
            return (heard, server.data);
        }
    }
    (Ok(()), server.data)
}

/// A session of ours at one end of a pair of sockets, and the client's end.
struct Server {
    session: Session,
    socket: TcpStream,
    client: UnixStream,
    data: Vec<u8>,
    seconds: u64,
}

impl Server {
    fn new() -> Server {
        let (ours, client) = UnixStream::pair().expect("a pair of sockets");
        for end in [&ours, &client] {
            end.set_nonblocking(true).expect("no waiting");
        }
        let socket = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(ours)));
        let session = configurations().0.accept(0).expect("a session");
        Server { session, socket, client, data: Vec::new(), seconds: 0 }
    }

    /// Takes the flight in pieces that `cuts` choose, one each second.
    fn take(&mut self, flight: &[u8], cuts: &[u8]) -> io::Result<()> {
        let (mut rest, mut cuts) = (flight, cuts.iter());
        while !rest.is_empty() {
            let piece = cuts.next().map_or(rest.len(), |byte| 1 + usize::from(*byte) * usize::from(byte % 7));
            let (now, later) = rest.split_at(piece.min(rest.len()));
            rest = later;
            (&self.client).write_all(now)?;
            self.read()?;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        self.seconds += 1;
        let (now, mut into) = (Time::from_secs(self.seconds), [0; 4096]);
        self.session.ready();
        loop {
            match self.session.read(&mut self.socket, &mut into, true, now) {
                // The close_notify: nothing follows it.
                Ok(0) => return Ok(()),
                Ok(length) => self.data.extend_from_slice(&into[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        assert!(self.session.held() <= RECORD_BYTES_MAX, "{} bytes are kept", self.session.held());
        assert_eq!(self.session.partial_since().is_some(), self.session.held() > 0);
        assert!(self.session.partial_since().is_none_or(|since| since <= now));
        Ok(())
    }
}

fn configurations() -> &'static (Identities, Arc<ClientConfig>) {
    static BOTH: OnceLock<(Identities, Arc<ClientConfig>)> = OnceLock::new();
    BOTH.get_or_init(|| {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(pair.cert.der().clone()).expect("an authority");
        let provider = Arc::new(default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let server = server.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let server = server.with_single_cert(vec![pair.cert.der().clone()], key).expect("its key");
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().expect("versions");
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.resumption = Resumption::disabled();
        let identity = Identity {
            accepting: vec![Some(Arc::new(server))],
            client: None,
            server_name: None,
            server_verifier: None,
        };
        (Identities::new(Some(identity)), Arc::new(client))
    })
}
