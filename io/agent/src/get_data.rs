//! The agent's server socket (SPEC A12, B3 "get data"). The agent answers a load query at once with the figures that it
//! collected last, which are also those of the last heartbeat.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use heartbeat::query::QUERY_BYTES;
use heartbeat::{Heartbeat, Ignored, Query};

use crate::send::Sender;

/// Queries answered before the loop does anything else: a flood must not delay heartbeats.
const BATCH: usize = 32;

#[derive(Debug)]
pub(crate) struct GetData {
    socket: UdpSocket,
    pub(crate) answered: u64,
    pub(crate) ignored: [u64; Ignored::ALL.len()],
}

impl GetData {
    pub(crate) fn open(address: SocketAddr) -> io::Result<GetData> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(GetData { socket, answered: 0, ignored: [0; Ignored::ALL.len()] })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn answer_all(&mut self, key: Option<&[u8]>, sender: &mut Sender) {
        let mut buffer = [0; QUERY_BYTES + 1];
        for _ in 0..BATCH {
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { return };
            match Query::decode(&buffer[..length], key) {
                Ok(query) => {
                    let _ = self.socket.send_to(&sender.answer(query.nonce), from);
                    self.answered += 1;
                }
                Err(reason) => self.ignored[reason.index()] += 1,
            }
        }
    }
}

/// Asks the agent at `agent` for its figures; for operators. Waits at most `patience`.
pub fn ask(agent: SocketAddr, key: Option<&[u8]>, patience: Duration) -> Result<Heartbeat, String> {
    let fail = |error: io::Error| format!("no answer from {agent}: {error}");
    let socket = os::udp::connected(agent).map_err(fail)?;
    socket.set_read_timeout(Some(patience)).map_err(fail)?;
    let nonce = os::chance().map_err(|error| error.to_string())?.next_u64();
    socket.send(&Query { nonce }.encode(key)).map_err(fail)?;
    let mut buffer = [0; heartbeat::datagram::DATAGRAM_BYTES_MAX + 1];
    let length = socket.recv(&mut buffer).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            format!(
                "no answer from {agent} within {} ms: check that the agent has this --query and the same key",
                patience.as_millis()
            )
        }
        _ => fail(error),
    })?;
    let heartbeat =
        Heartbeat::decode(&buffer[..length], key).map_err(|why| format!("answer of {agent}: {why}"))?;
    if heartbeat.nonce != Some(nonce) {
        return Err(format!("answer of {agent} is to another query"));
    }
    Ok(heartbeat)
}
