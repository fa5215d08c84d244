//! A connection to one server for somebody with a loop of his own: he watches its descriptor, asks, and gets the answers in the
//! order of the questions. Nothing waits.

use std::io;
use std::os::fd::RawFd;

use super::greeting::{Greeting, Login};
use super::settings::Settings;
use super::socket::{Phase, Socket};
use crate::resp::{Value, write_words};

/// See the head of this module.
pub struct Talk {
    socket: Socket,
    login: Login,
    /// Asked before the server has let us in.
    early: Vec<u8>,
}

impl Talk {
    /// Begins to connect to `address`, in numbers. Of `settings`, user and password are read.
    pub fn open(address: &str, settings: &Settings) -> io::Result<Talk> {
        Ok(Talk { socket: Socket::open(address)?, login: settings.login(), early: Vec::new() })
    }

    /// The descriptor to watch, and whether it is watched for room to write, too.
    pub fn watched(&self) -> (RawFd, bool) {
        (self.socket.fd(), self.socket.waits())
    }

    /// A question; it leaves with the next [`Talk::turn`].
    pub fn ask(&mut self, words: &[&str]) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let out = if matches!(self.socket.phase, Phase::Up) { &mut self.socket.out } else { &mut self.early };
        write_words(&words, out);
    }

    /// Sends and receives what it can; the answers that have come whole are added to `answers`.
    ///
    /// # Errors
    ///
    /// The connection is lost or was not made, or the server does not let us in. No further answer comes.
    pub fn turn(&mut self, answers: &mut Vec<Value>) -> io::Result<()> {
        if let Phase::Connecting = self.socket.phase {
            if !self.socket.is_connected()? {
                return Ok(());
            }
            self.socket.phase = Phase::Greeting(Greeting::write(&self.login, false, &mut self.socket.out));
        }
        self.socket.send()?;
        loop {
            while let Some(value) = self.socket.value()? {
                if let Phase::Greeting(greeting) = &mut self.socket.phase {
                    let refused = |text: Box<str>| io::Error::other(String::from(text));
                    if greeting.heard(&value).map_err(refused)?.is_some() {
                        self.socket.phase = Phase::Up;
                        self.socket.out.append(&mut self.early);
                        self.socket.send()?;
                    }
                } else {
                    answers.push(value);
                }
            }
            if !self.socket.receive()? {
                return Ok(());
            }
        }
    }
}
