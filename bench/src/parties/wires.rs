//! The sockets of the parties: the callers' and the callees' datagrams, the connections of telephones to the farm, and those that
//! the farm makes to telephones.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::parties::book::Way;
use crate::streams::whole_message;

/// Room for what arrives while the parties do not run.
const BUFFER_BYTES: usize = 8 << 20;
/// A telephone without connection tries again so long after the last time.
const RECONNECT: Duration = Duration::from_millis(200);
/// A telephone gives a connection up that does not come about: the farm's address is moving.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
const DATAGRAMS_A_TURN: usize = 256;

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
    connecting: Option<Instant>,
}

impl Connection {
    fn new(stream: TcpStream, connecting: Option<Instant>) -> Connection {
        Connection { stream, received: Vec::new(), unsent: Vec::new(), connecting }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() && self.connecting.is_none() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Adds the whole messages that are there. An error: the connection is gone.
    fn read(&mut self, messages: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut bytes = [0; 16384];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while let Some(length) = whole_message(&self.received) {
            messages.push(self.received.drain(..length).collect());
        }
        Ok(())
    }
}

enum Phone {
    On(Connection),
    /// Tries again at that time.
    Off(Instant),
}

pub(crate) struct Wires {
    farm: SocketAddrV4,
    farm_stream: SocketAddrV4,
    caller: UdpSocket,
    callee: UdpSocket,
    listener: TcpListener,
    phones: Vec<Phone>,
    inbound: HashMap<usize, Connection>,
    next_inbound: usize,
    /// Connections of telephones that were lost.
    pub(crate) lost: u64,
}

/// What a turn brought.
#[derive(Default)]
pub(crate) struct Arrived {
    pub(crate) messages: Vec<(Way, Vec<u8>)>,
    pub(crate) reconnected: Vec<u16>,
}

impl Wires {
    /// `caller` is also where telephones listen. Telephones connect in the first turns.
    pub(crate) fn new(
        caller: SocketAddrV4,
        callee: SocketAddrV4,
        farm: SocketAddrV4,
        farm_stream: SocketAddrV4,
        phones: usize,
    ) -> io::Result<Wires> {
        let listener = TcpListener::bind(caller)?;
        listener.set_nonblocking(true)?;
        let now = Instant::now();
        Ok(Wires {
            farm,
            farm_stream,
            caller: datagrams(caller)?,
            callee: datagrams(callee)?,
            listener,
            phones: (0..phones).map(|_| Phone::Off(now)).collect(),
            inbound: HashMap::new(),
            next_inbound: 0,
            lost: 0,
        })
    }

    pub(crate) fn send(&mut self, way: Way, message: &[u8]) {
        match way {
            // What a full buffer refuses is repeated, as what is lost.
            Way::Caller => drop(self.caller.send_to(message, self.farm)),
            Way::Callee => drop(self.callee.send_to(message, self.farm)),
            Way::Phone(number) => {
                if let Phone::On(connection) = &mut self.phones[usize::from(number)]
                    && connection.write(message).is_err()
                {
                    self.hang_up(number);
                }
            }
            Way::Inbound(number) => {
                if let Some(connection) = self.inbound.get_mut(&number)
                    && connection.write(message).is_err()
                {
                    self.inbound.remove(&number);
                }
            }
        }
    }

    fn hang_up(&mut self, number: u16) {
        self.phones[usize::from(number)] = Phone::Off(Instant::now() + RECONNECT);
        self.lost += 1;
    }

    /// Waits at most so long for anything to arrive, and takes it.
    pub(crate) fn turn(&mut self, wait: Duration) -> io::Result<Arrived> {
        self.dial()?;
        let fixed = [self.caller.as_raw_fd(), self.callee.as_raw_fd(), self.listener.as_raw_fd()];
        let mut ways = Vec::new();
        let mut polls: Vec<_> = fixed.into_iter().map(|fd| poll_of(fd, false)).collect();
        for (number, phone) in self.phones.iter().enumerate() {
            if let Phone::On(connection) = phone {
                ways.push(Way::Phone(number as u16));
                polls.push(poll_of(connection.stream.as_raw_fd(), connection.waits_to_write()));
            }
        }
        for (number, connection) in &self.inbound {
            ways.push(Way::Inbound(*number));
            polls.push(poll_of(connection.stream.as_raw_fd(), connection.waits_to_write()));
        }
        // SAFETY: the pointer and the length are those of a live vector of pollfd.
        let ready =
            unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, wait.as_millis() as i32) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == ErrorKind::Interrupted { Ok(Arrived::default()) } else { Err(error) };
        }
        let mut arrived = Arrived::default();
        for (socket, way) in [(&self.caller, Way::Caller), (&self.callee, Way::Callee)] {
            take(socket, way, &mut arrived.messages)?;
        }
        while let Ok((stream, _)) = self.listener.accept() {
            stream.set_nonblocking(true)?;
            self.inbound.insert(self.next_inbound, Connection::new(stream, None));
            self.next_inbound += 1;
        }
        for (way, poll) in ways.into_iter().zip(&polls[fixed.len()..]) {
            if poll.revents != 0 {
                self.serve(way, &mut arrived);
            }
        }
        Ok(arrived)
    }

    fn serve(&mut self, way: Way, arrived: &mut Arrived) {
        let connection = match way {
            Way::Phone(number) => match &mut self.phones[usize::from(number)] {
                Phone::On(connection) => connection,
                Phone::Off(_) => return,
            },
            Way::Inbound(number) => match self.inbound.get_mut(&number) {
                Some(connection) => connection,
                None => return,
            },
            Way::Caller | Way::Callee => return,
        };
        let connected = connection.connecting.is_some() && connection.stream.peer_addr().is_ok();
        if connected {
            connection.connecting = None;
        }
        let mut messages = Vec::new();
        let result = connection.read(&mut messages).and_then(|()| connection.flush());
        arrived.messages.extend(messages.into_iter().map(|message| (way, message)));
        match (way, result) {
            (Way::Phone(number), Ok(())) if connected => arrived.reconnected.push(number),
            (Way::Phone(number), Err(_)) => self.hang_up(number),
            (Way::Inbound(number), Err(_)) => drop(self.inbound.remove(&number)),
            _ => {}
        }
    }

    /// Connects telephones whose time it is, and gives up what takes too long.
    fn dial(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for phone in &mut self.phones {
            match phone {
                Phone::Off(at) if *at <= now => {
                    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
                    socket.set_nonblocking(true)?;
                    socket.set_tcp_nodelay(true)?;
                    // Refusal is seen by poll, as success is.
                    let _ = socket.connect(&SocketAddr::V4(self.farm_stream).into());
                    *phone = Phone::On(Connection::new(socket.into(), Some(now)));
                }
                Phone::On(Connection { connecting: Some(since), .. }) if now - *since > CONNECT_PATIENCE => {
                    *phone = Phone::Off(now);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether all telephones are connected.
    pub(crate) fn connected(&self) -> bool {
        self.phones.iter().all(|phone| matches!(phone, Phone::On(Connection { connecting: None, .. })))
    }
}

impl Connection {
    fn waits_to_write(&self) -> bool {
        self.connecting.is_some() || !self.unsent.is_empty()
    }
}

fn datagrams(address: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(address).into())?;
    Ok(socket.into())
}

fn poll_of(fd: RawFd, write: bool) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN | if write { libc::POLLOUT } else { 0 }, revents: 0 }
}

fn take(socket: &UdpSocket, way: Way, messages: &mut Vec<(Way, Vec<u8>)>) -> io::Result<()> {
    let mut bytes = [0; 65535];
    for _ in 0..DATAGRAMS_A_TURN {
        match socket.recv(&mut bytes) {
            Ok(count) => messages.push((way, bytes[..count].to_vec())),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // An ICMP error of an earlier datagram: the farm is not there.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
