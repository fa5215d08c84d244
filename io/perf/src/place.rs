//! One place that is polled: its lasting connection (the "persistent performance client" of FIG. 12), the question that is
//! out, and what came of it. Whatever a place sends, it costs a bounded amount of memory and time, and what is wrong in it
//! ends the connection and counts as no answer.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use base::{Chance, Duration, Time};
use heartbeat::measure::{By, Measured};
use heartbeat::stream::{Frame, FrameReader};
use heartbeat::{Heartbeat, Ignored, Load, Query, Replay, ServerState};
use tracing::info;

use crate::agent_check::{self, LINE_BYTES_MAX};
use crate::board::{Board, SERVERS_MAX};
use crate::connect::Link;
use crate::options::Options;
use crate::poller::Counts;

/// Notifications at most in a second, and some more: an agent sends one in each round of its collection loop while it is above
/// a threshold, and a round takes 50 ms at least. A performance server passes on those of all its servers.
const NOTIFICATIONS_PER_SECOND_MAX: u64 = 20;
const NOTIFICATIONS_MORE: u64 = 64;

/// The question that is out.
#[derive(Clone, Copy, Debug)]
struct Asked {
    nonce: u64,
    at: Time,
}

/// What runs to the place.
#[derive(Debug)]
enum Wire {
    None,
    Stream { link: Link, reader: FrameReader, answer: Vec<Heartbeat> },
    Line { link: Link, line: Vec<u8> },
    Options(Options),
}

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Place {
    measured: Measured,
    wire: Wire,
    asked: Option<Asked>,
    poll_at: Time,
    /// The server that the place is about; of an agent it may only be known once it has answered.
    server: Option<SocketAddr>,
    replay: Replay,
    notifications: u64,
    /// It did not answer, and that was told.
    down: bool,
    /// The last failure as it was logged, so that each is said once and its end too.
    failure: Option<String>,
}

impl Place {
    pub(crate) fn new(measured: Measured, first: Time) -> Place {
        Place {
            measured,
            wire: Wire::None,
            asked: None,
            poll_at: first,
            server: measured.server,
            replay: Replay::default(),
            notifications: 0,
            down: false,
            failure: None,
        }
    }

    pub(crate) fn measured(&self) -> Measured {
        self.measured
    }

    /// What the poll is to watch.
    pub(crate) fn watch(&self) -> Option<(RawFd, i16)> {
        match &self.wire {
            Wire::None => None,
            Wire::Stream { link, .. } | Wire::Line { link, .. } => Some((link.fd(), link.events())),
            Wire::Options(options) => Some((options.fd(), libc::POLLIN)),
        }
    }

    pub(crate) fn next_deadline(&self, answer_within: Duration) -> Time {
        self.asked.map_or(self.poll_at, |asked| asked.at + answer_within)
    }

    /// Everything that is due or has come. Never waits.
    pub(crate) fn turn(&mut self, now: Time, context: &mut Context<'_>) {
        if let Err(why) = self.read(now, context) {
            self.fail(now, &why, context);
        }
        if self.asked.is_some_and(|asked| now >= asked.at + context.answer_within) {
            self.fail(now, &format!("no answer within {} ms", context.answer_within.as_millis()), context);
        }
        if self.asked.is_none() && now >= self.poll_at {
            // Late by a whole period or more: the polls that were missed are not made up for.
            self.poll_at = if self.poll_at + context.poll > now { self.poll_at } else { now } + context.poll;
            self.notifications = 0;
            if let Err(error) = self.ask(now, context) {
                self.fail(now, &error.to_string(), context);
            }
        }
    }

    fn ask(&mut self, now: Time, context: &mut Context<'_>) -> io::Result<()> {
        let nonce = context.chance.next_u64();
        self.asked = Some(Asked { nonce, at: now });
        context.counts.polls += 1;
        match self.measured.by {
            By::Agent | By::PerformanceServer => {
                if !matches!(self.wire, Wire::Stream { .. }) {
                    let link = Link::connect(self.measured.address)?;
                    context.counts.connections += 1;
                    self.wire = Wire::Stream { link, reader: FrameReader::default(), answer: Vec::new() };
                }
                if let Wire::Stream { link, answer, .. } = &mut self.wire {
                    answer.clear();
                    link.write(&Frame::Query(Query { nonce }).encode(context.key))?;
                }
            }
            // The text has no question and no end: a connection for each answer, as HAProxy makes them.
            By::AgentCheck => {
                let link = Link::connect(self.measured.address)?;
                context.counts.connections += 1;
                self.wire = Wire::Line { link, line: Vec::new() };
            }
            By::Options => {
                if !matches!(self.wire, Wire::Options(_)) {
                    self.wire = Wire::Options(Options::open(self.measured.address)?);
                }
                if let Wire::Options(options) = &mut self.wire {
                    options.ask(nonce)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in what has come. An error ends the connection.
    fn read(&mut self, now: Time, context: &mut Context<'_>) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        match &mut self.wire {
            Wire::None => Ok(()),
            Wire::Stream { link, reader, .. } => {
                link.flush().map_err(text)?;
                let mut bytes = Vec::new();
                let open = link.read(|part| bytes.extend_from_slice(part)).map_err(text)?;
                reader.push(&bytes);
                self.take_frames(now, context)?;
                if open { Ok(()) } else { Err("it closed the connection".to_owned()) }
            }
            Wire::Line { link, line } => {
                link.flush().map_err(text)?;
                let open = link.read(|part| line.extend_from_slice(part)).map_err(text)?;
                let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                match end {
                    None if line.len() > LINE_BYTES_MAX => {
                        context.counts.ignored[Ignored::Long.index()] += 1;
                        Err(format!("its line is longer than {LINE_BYTES_MAX} bytes"))
                    }
                    None if open => Ok(()),
                    end => {
                        let line = std::mem::take(line);
                        self.wire = Wire::None;
                        self.take_line(now, &line[..end.unwrap_or(line.len())], context)
                    }
                }
            }
            Wire::Options(options) => {
                let Some(asked) = self.asked else {
                    // An answer that comes too late, or an error that belongs to an earlier question.
                    let _ = options.is_answered(0);
                    return Ok(());
                };
                if options.is_answered(asked.nonce).map_err(text)? {
                    let latency = now.since(asked.at).as_micros().min(u128::from(u32::MAX)) as u32;
                    let load = Load { latency_us: Some(latency), ..Load::default() };
                    self.answered(now, vec![self.told(ServerState::Started, load)], context);
                }
                Ok(())
            }
        }
    }

    fn take_frames(&mut self, now: Time, context: &mut Context<'_>) -> Result<(), String> {
        loop {
            let Wire::Stream { reader, answer, .. } = &mut self.wire else { return Ok(()) };
            let frame = match reader.next() {
                Ok(Some(datagram)) => Frame::decode(datagram, context.key),
                Ok(None) => return Ok(()),
                Err(reason) => Err(reason),
            };
            let nonce = self.asked.map(|asked| asked.nonce);
            match frame {
                Ok(Frame::Heartbeat(heartbeat)) if heartbeat.nonce.is_none() => {
                    self.notified(now, heartbeat, context)?;
                }
                // The rest of an answer that came too late would end up here: its connection is closed by then.
                Ok(Frame::Heartbeat(heartbeat)) if heartbeat.nonce == nonce => {
                    let most = if self.measured.by == By::Agent { 1 } else { SERVERS_MAX };
                    if answer.len() >= most {
                        context.counts.ignored[Ignored::Long.index()] += 1;
                        return Err(format!("its answer has more than {most} servers"));
                    }
                    answer.push(heartbeat);
                }
                Ok(Frame::End(end)) if Some(end.nonce) == nonce && end.servers as usize == answer.len() => {
                    let answer = std::mem::take(answer);
                    if let Some(last) = answer.last() {
                        // The nonce proves that it is new, even from a sender whose clock went back.
                        self.replay = Replay::default();
                        let _ = self.replay.admit(last);
                    }
                    self.answered(now, answer, context);
                }
                Ok(Frame::Heartbeat(_) | Frame::End(_) | Frame::Query(_)) => {
                    context.counts.ignored[Ignored::Replayed.index()] += 1;
                    return Err("it answers what was not asked".to_owned());
                }
                Err(reason) => {
                    context.counts.ignored[reason.index()] += 1;
                    return Err(format!("what it sent is {reason}"));
                }
            }
        }
    }

    /// A threshold was crossed there.
    fn notified(&mut self, now: Time, heartbeat: Heartbeat, context: &mut Context<'_>) -> Result<(), String> {
        self.notifications += 1;
        let most = self.notifications_max(context.poll);
        if self.notifications > most {
            return Err(format!("more than {most} notifications between two polls"));
        }
        if context.key.is_some() && self.replay.admit(&heartbeat).is_err() {
            context.counts.ignored[Ignored::Replayed.index()] += 1;
            return Err("a notification is older than what it said before".to_owned());
        }
        context.counts.notifications += 1;
        if let Some(server) = self.keep(now, heartbeat, context) {
            context.told.insert(server);
        }
        Ok(())
    }

    fn notifications_max(&self, poll: Duration) -> u64 {
        let servers = if self.measured.by == By::PerformanceServer { SERVERS_MAX as u64 } else { 1 };
        (NOTIFICATIONS_MORE + NOTIFICATIONS_PER_SECOND_MAX * poll.as_secs().max(1)) * servers
    }

    fn take_line(&mut self, now: Time, line: &[u8], context: &mut Context<'_>) -> Result<(), String> {
        match agent_check::parse(line) {
            Ok(said) => {
                let told = Heartbeat { down: said.down, ..self.told(said.state, said.load) };
                self.answered(now, vec![told], context);
                Ok(())
            }
            Err(why) => {
                context.counts.ignored[Ignored::WrongProtocol.index()] += 1;
                Err(format!("its agent-check line was not understood: {why}"))
            }
        }
    }

    /// A heartbeat in the name of the server that the place is about.
    fn told(&self, state: ServerState, load: Load) -> Heartbeat {
        let server = self.server.unwrap_or(self.measured.address);
        let load = (load != Load::default()).then_some(load);
        Heartbeat { sip_address: Some(server.ip()), load, ..Heartbeat::plain(0, server.port(), state) }
    }

    fn answered(&mut self, now: Time, heartbeats: Vec<Heartbeat>, context: &mut Context<'_>) {
        self.asked = None;
        let back = std::mem::take(&mut self.down);
        context.counts.answers += 1;
        if self.failure.take().is_some() {
            info!("{} answers again", self.name());
        }
        for heartbeat in heartbeats {
            let server = self.keep(now, heartbeat, context);
            context.told.extend(server.filter(|_| back));
        }
    }

    /// The server whose figures were kept.
    fn keep(&mut self, now: Time, heartbeat: Heartbeat, context: &mut Context<'_>) -> Option<SocketAddr> {
        let ip = heartbeat.sip_address.unwrap_or(self.measured.address.ip()).to_canonical();
        let server = SocketAddr::new(ip, heartbeat.sip_port);
        let heartbeat = match self.measured.by {
            By::PerformanceServer => heartbeat,
            By::Agent => Heartbeat { age_ms: None, down: false, ..heartbeat },
            By::AgentCheck | By::Options => heartbeat,
        };
        match self.server {
            _ if self.measured.by == By::PerformanceServer => {}
            Some(known) if known != server => {
                context.counts.other_server += 1;
                if self.failure.is_none() {
                    let why = format!("it speaks of {server}, and {known} was meant");
                    info!("{}: {why}", self.name());
                    self.failure = Some(why);
                }
                return None;
            }
            Some(_) | None => self.server = Some(server),
        }
        context.board.put(now, server, self.measured.by, heartbeat).then_some(server)
    }

    /// No answer: the server is down. What a performance server said before only grows older: it is another machine that
    /// is silent.
    fn fail(&mut self, now: Time, why: &str, context: &mut Context<'_>) {
        self.wire = Wire::None;
        if self.asked.take().is_none() {
            // Between two polls a connection may end; the next poll makes another.
            return;
        }
        context.counts.misses += 1;
        if self.failure.as_deref() != Some(why) {
            info!("{}: {why}", self.name());
            self.failure = Some(why.to_owned());
        }
        if let (Some(server), false) = (self.server, self.measured.by == By::PerformanceServer) {
            let down = Heartbeat { down: true, ..self.told(ServerState::Started, Load::default()) };
            context.board.put(now, server, self.measured.by, down);
            // Whoever polls us need not find out by his next poll; he is told once, as nothing of it changes until an answer.
            if !std::mem::replace(&mut self.down, true) {
                context.told.insert(server);
            }
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.measured.by.name(), self.measured.address)
    }
}

/// What a place needs of the loop around it.
pub(crate) struct Context<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) poll: Duration,
    pub(crate) answer_within: Duration,
    pub(crate) board: &'a Board,
    pub(crate) counts: &'a mut Counts,
    pub(crate) chance: &'a mut Chance,
    /// Servers of which there is news that whoever polls us shall hear at once.
    pub(crate) told: &'a mut BTreeSet<SocketAddr>,
}
