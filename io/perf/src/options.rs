//! The time that a server takes to answer OPTIONS over UDP: a measure for servers without any program beside them. Any
//! answer counts, with any status, if it answers this request: branch and Call-ID have a number that nobody can guess.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use sip::Writer;

/// Longer answers are cut: the fields that are looked for stand at the beginning.
const ANSWER_BYTES_MAX: usize = 4096;
/// Datagrams looked at in one turn.
const DATAGRAMS_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Options {
    socket: UdpSocket,
    from: SocketAddr,
    to: SocketAddr,
    count: u32,
}

impl Options {
    pub(crate) fn open(to: SocketAddr) -> io::Result<Options> {
        let socket = os::udp::connected_nonblocking(to)?;
        let from = socket.local_addr()?;
        Ok(Options { socket, from, to, count: 0 })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(crate) fn ask(&mut self, nonce: u64) -> io::Result<()> {
        self.count = self.count.wrapping_add(1) & 0x7FFF_FFFF;
        let (from, to, count) = (self.from, self.to, self.count);
        let mut text = Vec::with_capacity(512);
        Writer::request(&mut text, "OPTIONS", format_args!("sip:{to}"))
            .via(format_args!("SIP/2.0/UDP {from};rport;branch=z9hG4bK{nonce:016x}"))
            .max_forwards(70)
            .from(format_args!("<sip:perf@{from}>;tag={nonce:016x}"))
            .to(format_args!("<sip:{to}>"))
            .call_id(format_args!("{nonce:016x}@strowger-perf"))
            .cseq(count)
            .finish();
        self.socket.send(&text).map(drop)
    }

    /// True: the answer to the request with this number has come. An error is that of an ICMP message.
    pub(crate) fn is_answered(&self, nonce: u64) -> io::Result<bool> {
        let mut buffer = [0; ANSWER_BYTES_MAX];
        for _ in 0..DATAGRAMS_MAX {
            match self.socket.recv(&mut buffer) {
                Ok(length) if is_answer(&buffer[..length], nonce) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}

fn is_answer(bytes: &[u8], nonce: u64) -> bool {
    let number = format!("{nonce:016x}");
    bytes.starts_with(b"SIP/2.0 ") && bytes.windows(number.len()).any(|part| part == number.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_number_whatever_its_status() {
        let answer =
            b"SIP/2.0 483 Too Many Hops\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK00000000000000ff\r\n\r\n";
        assert!(is_answer(answer, 255));
        assert!(!is_answer(answer, 254));
        assert!(!is_answer(b"OPTIONS sip:x SIP/2.0\r\nCall-ID: 00000000000000ff\r\n\r\n", 255));
        assert!(!is_answer(b"", 255));
    }
}
