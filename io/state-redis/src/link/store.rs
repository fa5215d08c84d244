//! The state tier, as one worker of an engine has it.

use std::io;
use std::os::fd::RawFd;

use base::Time;
use state::links::{Links, Said, Words};
use state::{Ask, Millis, Reply};

use super::heard;
use super::settings::Settings;
use super::sockets::{News, Sockets};
use super::start::Start;

/// What operators and metrics are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub links: state::links::Status,
    /// The newest reason for a connection that was not made or was lost.
    pub trouble: Option<Box<str>>,
    /// How far each node's clock is from that of the state tier, where it is far, by the node's number.
    pub offsets: Vec<state::skew::Offset>,
}

/// See the head of this module. No call waits.
pub struct Store {
    links: Links,
    sockets: Sockets,
    /// What the state tier's clock said at the start: microseconds, and when.
    started: (Time, u64),
}

impl Store {
    /// Begins to connect. `start`: what the engine has got from the state tier at its start.
    pub fn connect(settings: &Settings, start: &Start) -> io::Result<Store> {
        let links = Links::new(settings.bounds, settings.addresses()?);
        Ok(Store { links, sockets: Sockets::new(settings.login())?, started: start.clock })
    }

    /// Takes all questions of a turn, and sends what can be sent.
    pub fn ask(&mut self, now: Time, asks: &mut Vec<Ask>) {
        asks.drain(..).for_each(|ask| self.links.ask(now, ask));
        self.turn(now);
    }

    /// A descriptor that is readable while there is something to do: then call [`Store::answers`].
    pub fn source(&self) -> RawFd {
        self.sockets.source()
    }

    /// Appends the replies that have come, and goes on with what waits. Called when [`Store::source`] is readable and when
    /// [`Store::next_deadline`] has passed.
    pub fn answers(&mut self, now: Time, replies: &mut Vec<Reply>) {
        // Without its epoll, a worker hears nothing more: patience ends, and the asker is told so.
        let ready = self.sockets.ready().unwrap_or_default();
        for link in ready {
            let links = &mut self.links;
            let gone = self.sockets.go_on(link, &mut |socket, news| match news {
                News::Up(life) => links.up(now, link, life),
                News::Value(value) => {
                    let said = match links.expected(link) {
                        // Two values answer it.
                        Some(Words::Look) if socket.first.is_none() => {
                            socket.first = Some(value);
                            return;
                        }
                        Some(words) => heard::said(&socket.address, &words, socket.first.take(), value),
                        None => Said::Unread,
                    };
                    links.said(now, link, said);
                }
            });
            if let Err(error) = gone {
                self.sockets.remove(link, &error);
                self.links.lost(now, link);
            }
        }
        self.turn(now);
        self.links.replies(replies);
    }

    /// When [`Store::answers`] must be called at the latest.
    pub fn next_deadline(&self) -> Option<Time> {
        if self.links.has_replies() {
            return Some(Time::ZERO);
        }
        Some(self.links.next_deadline()).filter(|deadline| *deadline < Time::NEVER)
    }

    /// The time of the state tier, in milliseconds since 1970.
    pub fn state_time(&self, now: Time) -> Millis {
        self.state_micros(now) / 1000
    }

    /// The same in microseconds.
    pub fn state_micros(&self, now: Time) -> u64 {
        let (at, micros) = self.started;
        let since_start = micros.saturating_add(now.since(at).as_micros() as u64);
        self.links.clock().micros(now).unwrap_or(since_start)
    }

    /// The primaries that can be reached: the number of each, and one of its partitions. An engine marks itself alive at each.
    pub fn primaries(&self) -> impl Iterator<Item = (u32, u8)> + '_ {
        self.links.primaries()
    }

    /// The number of the node that is asked for a partition.
    pub fn owner(&self, partition: u8) -> Option<u32> {
        self.links.owner(partition)
    }

    pub fn status(&self, now: Time) -> Status {
        Status {
            links: self.links.status(),
            trouble: self.sockets.trouble.clone(),
            offsets: self.links.clock().offsets(now),
        }
    }

    fn turn(&mut self, now: Time) {
        self.links.turn(now, &mut self.sockets);
        // What broke while it was written to goes to another connection.
        let mut tries = 0;
        while !self.sockets.broken.is_empty() && tries < TRIES_MAX {
            std::mem::take(&mut self.sockets.broken).into_iter().for_each(|link| self.links.lost(now, link));
            self.links.turn(now, &mut self.sockets);
            tries += 1;
        }
    }
}

/// Connections of one node that may break in one turn.
const TRIES_MAX: usize = 8;
