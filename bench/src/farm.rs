//! The farm over UDP: one client and any number of servers in one thread, which polls its two sockets in turn.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::calls::{Calls, Kind};
use crate::counters::Counters;
use crate::datagrams::{self, Inbox, Sender};
use crate::post::Post;
use crate::texts::Texts;

/// Most datagrams that one system call takes.
const BATCH: usize = 64;
/// Most calls begun in one turn when the offered rate has fallen behind, so that no burst makes up for a hiccup.
const CATCH_UP_MAX: u32 = 16;

/// Longest sleep: the generator looks for unanswered calls at least this often.
const SLEEP_NANOS_MAX: u64 = 10_000_000;

/// How calls are begun.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Keeps this number of calls outstanding.
    Closed(usize),
    /// Begins calls at even distances, whatever becomes of them.
    CallsPerSecond(f64),
}

/// The generator's action when no message has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Idle {
    /// Sleeps until a message arrives, as clients and servers on this machine would. The sender then pays for waking the
    /// generator, which on a virtual machine can cost more than the message.
    Sleep,
    /// Looks again. The subject's cost is then only its own, as with clients and servers behind a network.
    Spin,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Elapsed(Duration),
    /// This many calls are in progress.
    InProgress(usize),
    Attempts(u64),
}

/// Addresses of one farm and of the subject in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The load manager, or the floor.
    pub(crate) target: SocketAddrV4,
    pub(crate) client: SocketAddrV4,
    pub(crate) server_port: u16,
    pub(crate) servers: usize,
}

impl Layout {
    /// 127.0.1.1, 127.0.1.2, …: the first 1,000 end at 127.0.4.234.
    pub(crate) fn server(&self, index: usize) -> SocketAddrV4 {
        let (high, low) = (index / 254, index % 254);
        SocketAddrV4::new(Ipv4Addr::new(127, 0, 1 + high as u8, 1 + low as u8), self.server_port)
    }

    pub(crate) fn servers(&self) -> Vec<SocketAddrV4> {
        (0..self.servers).map(|index| self.server(index)).collect()
    }

    pub(crate) fn server_number(&self, address: Ipv4Addr) -> Option<u16> {
        let [127, 0, high @ 1..=255, low @ 1..=254] = address.octets() else { return None };
        let index = (usize::from(high) - 1) * 254 + usize::from(low) - 1;
        (index < self.servers).then_some(index as u16)
    }
}

/// The measurements of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    pub(crate) elapsed: Duration,
    pub(crate) counters: Counters,
}

pub(crate) struct Farm {
    layout: Layout,
    client: Socket,
    servers: Socket,
    client_inbox: Inbox,
    server_inbox: Inbox,
    client_post: Post,
    server_post: Post,
    client_sender: Sender,
    server_sender: Sender,
    pub(crate) calls: Calls,
    idle: Idle,
    clock: Instant,
}

impl Farm {
    /// `kind`: what the subject does with dialogs. `slots`: most calls at a time. `timed`: record the time that every message
    /// took.
    pub(crate) fn new(layout: Layout, kind: Kind, slots: usize, timed: bool, idle: Idle) -> io::Result<Farm> {
        let client = datagrams::socket(layout.client, false)?;
        client.connect(&layout.target.into())?;
        let servers = datagrams::socket(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, layout.server_port), true)?;
        let texts = Texts::new("UDP", std::process::id(), layout.client, layout.target, &layout.servers());
        Ok(Farm {
            client,
            servers,
            client_inbox: Inbox::new(BATCH, false),
            server_inbox: Inbox::new(BATCH, true),
            client_post: Post::default(),
            server_post: Post::default(),
            client_sender: Sender::new(None),
            server_sender: Sender::new(Some(layout.target)),
            calls: Calls::new(texts, kind, slots, timed),
            layout,
            idle,
            clock: Instant::now(),
        })
    }

    /// Runs calls. Calls that are outstanding at the end stay so, and the next run carries them on.
    pub(crate) fn run(&mut self, pace: Pace, until: Until) -> io::Result<Interval> {
        let before = self.calls.counters;
        let begin = self.now();
        let mut due = begin as f64;
        loop {
            let (now, arrived) = self.turn()?;
            let mut next = now + SLEEP_NANOS_MAX;
            match pace {
                Pace::Closed(outstanding) => {
                    while self.calls.outstanding() < outstanding
                        && self.calls.start(now, &mut self.client_post)
                    {}
                }
                Pace::CallsPerSecond(rate) => {
                    let step = 1e9 / rate;
                    for _ in 0..CATCH_UP_MAX {
                        if due > now as f64 || !self.calls.start(now, &mut self.client_post) {
                            break;
                        }
                        due += step;
                    }
                    next = next.min(due as u64);
                }
            }
            self.flush()?;
            if arrived == 0 && self.idle == Idle::Sleep {
                self.sleep(next.saturating_sub(self.now()))?;
            }
            let elapsed = Duration::from_nanos(now - begin);
            let over = match until {
                Until::Elapsed(limit) => elapsed >= limit,
                Until::InProgress(calls) => self.calls.in_progress() >= calls,
                Until::Attempts(calls) => self.calls.counters.attempts - before.attempts >= calls,
            };
            if over {
                return Ok(Interval { elapsed, counters: self.calls.counters.since(&before) });
            }
        }
    }

    /// Lets outstanding calls complete or fail, and begins none.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        while self.calls.outstanding() > 0 {
            self.turn()?;
            self.flush()?;
        }
        Ok(())
    }

    /// Sleeps until a message arrives, but no longer than this.
    fn sleep(&self, nanos: u64) -> io::Result<()> {
        let wait =
            |socket: &Socket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut sockets = [wait(&self.client), wait(&self.servers)];
        let limit = libc::timespec { tv_sec: 0, tv_nsec: nanos.min(SLEEP_NANOS_MAX) as i64 };
        // SAFETY: both pointers are to live values for the length of the call; no signal mask is given.
        let result =
            unsafe { libc::ppoll(sockets.as_mut_ptr(), sockets.len() as u64, &limit, std::ptr::null()) };
        match io::Error::last_os_error() {
            error if result < 0 && error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    /// Takes the messages that have arrived at both sockets; returns the time and their number.
    fn turn(&mut self) -> io::Result<(u64, usize)> {
        let mut arrived = 0;
        let count = self.client_inbox.receive(self.client.as_raw_fd(), 0)?;
        let now = self.now();
        arrived += count;
        for index in 0..count {
            self.calls.client_receives(self.client_inbox.bytes(index), now, &mut self.client_post);
        }
        let count = self.server_inbox.receive(self.servers.as_raw_fd(), 0)?;
        let now = self.now();
        arrived += count;
        for index in 0..count {
            let known = self.layout.server_number(self.server_inbox.destination(index));
            match known.filter(|_| self.server_inbox.source(index) == self.layout.target) {
                Some(server) => {
                    let bytes = self.server_inbox.bytes(index);
                    self.calls.server_receives(server, bytes, now, &mut self.server_post);
                }
                None => self.calls.counters.stray += 1,
            }
        }
        self.calls.expire(now);
        Ok((now, arrived))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.client_sender.flush(self.client.as_raw_fd(), &mut self.client_post, |_| None)?;
        let layout = &self.layout;
        self.server_sender.flush(self.servers.as_raw_fd(), &mut self.server_post, |server| {
            Some(*layout.server(server as usize).ip())
        })
    }
}
