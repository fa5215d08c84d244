//! One polled place: its lasting connection (the "persistent performance client" of FIG. 12), the open question, and the
//! result. Whatever a place sends, it costs a bounded amount of memory and time. A wrong answer ends the connection and
//! counts as no answer.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use base::{Chance, Duration, Time};
use heartbeat::measure::{By, Measured};
use heartbeat::stream::{Frame, FrameReader};
use heartbeat::{Heartbeat, Ignored, Load, Query, Replay, ServerState};
use tracing::{info, warn};

use crate::agent_check::{self, LINE_BYTES_MAX};
use crate::board::{Board, SERVERS_MAX};
use crate::connect::Link;
use crate::counts::Counts;
use crate::options::Options;

/// Bound on notifications in a second. An agent above a threshold sends a notification in each round of its collection loop,
/// and a round takes at least 50 ms. A performance server passes on the notifications of all its servers.
const NOTIFICATIONS_PER_SECOND_MAX: u64 = 20;
const NOTIFICATIONS_MORE: u64 = 64;

/// The open question.
#[derive(Clone, Copy, Debug)]
struct Asked {
    nonce: u64,
    at: Time,
}

/// The connection to the place.
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
    /// The server of the place. For an agent, it may be known only after the first answer.
    server: Option<SocketAddr>,
    replay: Replay,
    notifications: u64,
    /// The place did not answer, and others were told so.
    down: bool,
    /// The last failure in the log. Each failure, and its end, is logged once.
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

    /// The descriptors for the poll.
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

    /// Does everything that is due or has come. Never waits.
    pub(crate) fn turn(&mut self, now: Time, context: &mut Context<'_>) {
        if let Err(why) = self.read(now, context) {
            self.fail(now, &why, context);
        }
        if self.asked.is_some_and(|asked| now >= asked.at + context.answer_within) {
            self.fail(now, &format!("no answer within {} ms", context.answer_within.as_millis()), context);
        }
        if self.asked.is_none() && now >= self.poll_at {
            // If the loop is late by a period or more, the missed polls are not made up for.
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
            // The text has no question and no end: each answer has a connection of its own, as HAProxy does it.
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

    /// Takes what has come. An error ends the connection.
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
                if open { Ok(()) } else { Err("the place closed the connection".to_owned()) }
            }
            Wire::Line { link, line } => {
                link.flush().map_err(text)?;
                let open = link.read(|part| line.extend_from_slice(part)).map_err(text)?;
                let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                match end {
                    None if line.len() > LINE_BYTES_MAX => {
                        context.counts.ignored[Ignored::Long.index()] += 1;
                        Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"))
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
                // The rest of a late answer would arrive here, but its connection is closed by then.
                Ok(Frame::Heartbeat(heartbeat)) if heartbeat.nonce == nonce => {
                    let most = if self.measured.by == By::Agent { 1 } else { SERVERS_MAX };
                    if answer.len() >= most {
                        context.counts.ignored[Ignored::Long.index()] += 1;
                        return Err(format!("the answer has more than {most} servers"));
                    }
                    answer.push(heartbeat);
                }
                Ok(Frame::End(end)) if Some(end.nonce) == nonce && end.servers as usize == answer.len() => {
                    let answer = std::mem::take(answer);
                    if let Some(last) = answer.last() {
                        // The nonce proves that the answer is new, even if the sender's clock went back.
                        self.replay = Replay::default();
                        let _ = self.replay.admit(last);
                    }
                    self.answered(now, answer, context);
                }
                Ok(Frame::Heartbeat(_) | Frame::End(_) | Frame::Query(_)) => {
                    context.counts.ignored[Ignored::Replayed.index()] += 1;
                    return Err("the answer belongs to no question".to_owned());
                }
                Err(reason) => {
                    context.counts.ignored[reason.index()] += 1;
                    return Err(format!("the frame is {reason}"));
                }
            }
        }
    }

    /// A threshold was crossed at the place.
    fn notified(&mut self, now: Time, heartbeat: Heartbeat, context: &mut Context<'_>) -> Result<(), String> {
        self.notifications += 1;
        let most = self.notifications_max(context.poll);
        if self.notifications > most {
            return Err(format!("more than {most} notifications between two polls"));
        }
        if context.key.is_some() && self.replay.admit(&heartbeat).is_err() {
            context.counts.ignored[Ignored::Replayed.index()] += 1;
            return Err("a notification is older than earlier data".to_owned());
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
                Err(format!("the agent-check line cannot be understood: {why}"))
            }
        }
    }

    /// A heartbeat in the name of the place's server.
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
                    let why = format!("the answer is about {server}, but {known} was expected");
                    warn!("{}: {why}", self.name());
                    self.failure = Some(why);
                }
                return None;
            }
            Some(_) | None => self.server = Some(server),
        }
        context.board.put(now, server, self.measured.by, heartbeat).then_some(server)
    }

    /// No answer: the server is down. The data of a performance server only grows older: the performance server is silent,
    /// not its servers.
    fn fail(&mut self, now: Time, why: &str, context: &mut Context<'_>) {
        self.wire = Wire::None;
        if self.asked.take().is_none() {
            // A connection may end between two polls; the next poll opens another.
            return;
        }
        context.counts.misses += 1;
        if self.failure.as_deref() != Some(why) {
            warn!("{}: {why}", self.name());
            self.failure = Some(why.to_owned());
        }
        if let (Some(server), false) = (self.server, self.measured.by == By::PerformanceServer) {
            let down = Heartbeat { down: true, ..self.told(ServerState::Started, Load::default()) };
            context.board.put(now, server, self.measured.by, down);
            // Programs that poll us are told at once, not at their next poll; and only once, because nothing changes until
            // an answer comes.
            if !std::mem::replace(&mut self.down, true) {
                context.told.insert(server);
            }
        }
    }

    fn name(&self) -> String {
        format!("{} {}", self.measured.by.name(), self.measured.address)
    }
}

/// What a place needs of the loop.
pub(crate) struct Context<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) poll: Duration,
    pub(crate) answer_within: Duration,
    pub(crate) board: &'a Board,
    pub(crate) counts: &'a mut Counts,
    pub(crate) chance: &'a mut Chance,
    /// Servers with news that programs that poll us must hear at once.
    pub(crate) told: &'a mut BTreeSet<SocketAddr>,
}
