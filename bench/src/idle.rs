//! P4: resident memory of the load manager for each idle connection, over TCP, TLS and WebSocket.
//!
//! Each connection makes its handshake, sends a keep-alive and a message, and is then silent: buffers had their occasion to
//! grow, and the rest is the cost of an idle connection.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::process::Program;
use crate::report::Report;
use crate::secrets::Secrets;
use crate::subject::Places;

/// P4: at most 20 kB for each idle connection over TLS.
const BYTES_MAX: f64 = 20_000.0;
/// Connections before the first weighing, so that tables and the allocator are set up.
const WARM_UP: usize = 200;
const PATIENCE: Duration = Duration::from_secs(10);
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";

/// The client's end of a connection.
enum Client {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Client {
    fn exchange(&mut self, text: &[u8], answer: &[u8]) -> io::Result<()> {
        let mut heard = vec![0; answer.len()];
        match self {
            Client::Plain(stream) => {
                stream.write_all(text)?;
                stream.read_exact(&mut heard)?;
            }
            Client::Secure(stream) => {
                stream.write_all(text)?;
                stream.flush()?;
                stream.read_exact(&mut heard)?;
            }
        }
        match heard == answer {
            true => Ok(()),
            false => Err(io::Error::other(format!("answered {:?}", String::from_utf8_lossy(&heard)))),
        }
    }
}

pub(crate) fn run(places: &Places, port: u16, quick: bool) -> io::Result<()> {
    let count = if quick { 1_000 } else { 10_000 };
    raise_descriptor_limit();
    let secrets = Secrets::new(&places.scratch, vec!["127.0.0.1".to_owned()])?;
    let mut report = Report::new("idle", "Resident memory of idle connections");
    report.header(&[
        "transport",
        "connections",
        "resident before, kB",
        "after, kB",
        "bytes per connection",
        "P4",
    ]);
    for (index, transport) in ["tcp", "tls", "ws", "wss"].into_iter().enumerate() {
        let place = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port + 1 + index as u16);
        let mut command = Command::new(places.binaries.join("strowger"));
        command.args(["lb", "--workers", "1", "--health", "off"]);
        command.args(["--listen", &format!("{transport}:{place}"), "--listen", &format!("udp:{place}")]);
        command.args(["--server", &format!("127.0.0.1:{}", port + 9)]);
        command.arg("--control").arg(places.scratch.join(transport));
        if matches!(transport, "tls" | "wss") {
            command.arg("--certificate").arg(&secrets.certificate).arg("--key").arg(&secrets.key);
        }
        let log = fs::File::create(places.scratch.join(format!("{transport}.log")))?;
        let mut program = Program::start(command, Some(log))?;
        program.await_port("tcp", place.port())?;
        let mut clients = Vec::with_capacity(count);
        for _ in 0..WARM_UP {
            clients.push(connect(place, transport, &secrets.client)?);
        }
        thread::sleep(Duration::from_millis(500));
        let before = program.resident_bytes();
        for _ in WARM_UP..count {
            clients.push(connect(place, transport, &secrets.client)?);
        }
        thread::sleep(Duration::from_secs(2));
        let after = program.resident_bytes();
        let each = after.saturating_sub(before) as f64 / (count - WARM_UP) as f64;
        report.row(&[
            transport.into(),
            count.to_string(),
            (before / 1024).to_string(),
            (after / 1024).to_string(),
            format!("{each:.0}"),
            if each <= BYTES_MAX { "kept".into() } else { "missed".into() },
        ]);
    }
    report.save()
}

/// Opens a connection, sends a request and gets the answer.
fn connect(to: SocketAddrV4, transport: &str, config: &Arc<ClientConfig>) -> io::Result<Client> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut client = match transport {
        "tls" | "wss" => {
            let name = ServerName::from(std::net::IpAddr::from(*to.ip()));
            let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
            Client::Secure(Box::new(StreamOwned::new(session, stream)))
        }
        _ => Client::Plain(stream),
    };
    // A request that only the load manager answers: it refuses the request at once.
    let text = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bKa\r\nContent-Length: 0\r\n\r\n";
    let refusal = b"SIP/2.0 400 ";
    match transport {
        "ws" | "wss" => {
            client.exchange(UPGRADE.as_bytes(), &[0; 0])?;
            client.await_end_of_head()?;
            client.exchange(&framed(b"\r\n\r\n"), b"\x81\x02\r\n")?;
            client.exchange(&framed(text.as_bytes()), b"\x81")?;
        }
        _ => {
            client.exchange(b"\r\n\r\n", b"\r\n")?;
            client.exchange(text.as_bytes(), refusal)?;
        }
    }
    Ok(client)
}

impl Client {
    /// Reads the answer to the upgrade.
    fn await_end_of_head(&mut self) -> io::Result<()> {
        let mut last = [0u8; 4];
        while last != *b"\r\n\r\n" {
            last.rotate_left(1);
            let byte = &mut last[3..];
            match self {
                Client::Plain(stream) => stream.read_exact(byte)?,
                Client::Secure(stream) => stream.read_exact(byte)?,
            }
        }
        Ok(())
    }
}

/// A text frame with a mask that changes nothing.
fn framed(text: &[u8]) -> Vec<u8> {
    let head = [0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    assert!(text.len() < 126, "a short frame");
    [&head[..], text].concat()
}

/// Each connection takes a descriptor of this process, too.
fn raise_descriptor_limit() {
    // SAFETY: the kernel writes one rlimit to a live place, and reads it from there.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
