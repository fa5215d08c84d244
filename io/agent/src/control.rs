//! The control socket: a Unix stream socket that only the agent's user (and root) may connect to. The client sends one word
//! and gets a few lines of text over the same connection.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use base::{Duration, Time};

/// Clients at a time: an operator, and perhaps a script. Further clients wait in the kernel's queue.
const CLIENTS_MAX: usize = 8;
/// A client that has not sent its word within this time is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long [`tell`] waits for the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Longer than any word.
const WORD_BYTES_MAX: usize = 64;
/// Longer than any answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The commands of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Show state and figures; change nothing.
    Status,
    /// Give the server no new calls; it goes on running.
    Drain,
    /// Give the server new calls again.
    Resume,
    /// Drain, then end the server and the agent.
    Stop,
    /// End the agent and leave the server running, for another agent to adopt.
    Detach,
}

impl Command {
    pub const ALL: [Command; 5] =
        [Command::Status, Command::Drain, Command::Resume, Command::Stop, Command::Detach];

    pub const fn word(self) -> &'static str {
        match self {
            Command::Status => "status",
            Command::Drain => "drain",
            Command::Resume => "resume",
            Command::Stop => "stop",
            Command::Detach => "detach",
        }
    }

    fn of(word: &[u8]) -> Option<Command> {
        Command::ALL.into_iter().find(|command| command.word().as_bytes() == word.trim_ascii())
    }
}

/// The agent's end.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

/// A client that has connected and has not yet sent a whole word.
#[derive(Debug)]
struct Client {
    stream: UnixStream,
    word: Vec<u8>,
    until: Time,
}

/// A command, and the client that waits for the answer.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) command: Command,
    stream: UnixStream,
}

impl Asked {
    /// Sends a few lines, which the kernel takes at once. A client that did not wait gets no answer.
    pub(crate) fn answer(mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes());
    }
}

impl Control {
    pub(crate) fn open(path: &Path) -> io::Result<Control> {
        let listener = os::unix::listen(path)?;
        listener.set_nonblocking(true)?;
        Ok(Control { listener, path: path.to_owned(), clients: Vec::new() })
    }

    /// The descriptors for the poll.
    pub(crate) fn fds(&self) -> impl Iterator<Item = RawFd> {
        let listener = (self.clients.len() < CLIENTS_MAX).then(|| self.listener.as_raw_fd());
        listener.into_iter().chain(self.clients.iter().map(|client| client.stream.as_raw_fd()))
    }

    /// The time when [`Control::next`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.clients.iter().map(|client| client.until).min()
    }

    /// The next command. An unknown word is answered here. Never waits.
    pub(crate) fn next(&mut self, now: Time) -> Option<Asked> {
        while self.clients.len() < CLIENTS_MAX
            && let Ok((stream, _)) = self.listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client { stream, word: Vec::new(), until: now + PATIENCE });
            }
        }
        let mut at = 0;
        while at < self.clients.len() {
            match self.clients[at].read(now) {
                Said::Nothing => at += 1,
                Said::Gone => drop(self.clients.remove(at)),
                Said::Word => {
                    let Client { mut stream, word, .. } = self.clients.remove(at);
                    if let Some(command) = Command::of(&word) {
                        return Some(Asked { command, stream });
                    }
                    let words: Vec<&str> = Command::ALL.iter().map(|command| command.word()).collect();
                    let _ = stream.write_all(format!("error: not one of {}\n", words.join(", ")).as_bytes());
                }
            }
        }
        None
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

enum Said {
    Nothing,
    Word,
    Gone,
}

impl Client {
    /// A word ends at the end of the line, or when the client ends its sending.
    fn read(&mut self, now: Time) -> Said {
        let mut buffer = [0; WORD_BYTES_MAX];
        match self.stream.read(&mut buffer) {
            Ok(0) if self.word.is_empty() => Said::Gone,
            Ok(0) => Said::Word,
            Ok(length) => {
                self.word.extend_from_slice(&buffer[..length]);
                let whole = self.word.contains(&b'\n') || self.word.len() >= WORD_BYTES_MAX;
                if whole { Said::Word } else { Said::Nothing }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                if now < self.until { Said::Nothing } else { Said::Gone }
            }
            Err(_) => Said::Gone,
        }
    }
}

/// Sends `command` to the agent at `path` and returns the answer.
pub fn tell(path: &Path, command: Command) -> Result<String, String> {
    let fail = |error: io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("no agent at {}: check that the agent runs with this --control", path.display())
        }
        ErrorKind::WouldBlock => format!("the agent at {} does not answer", path.display()),
        _ if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
            format!(
                "the agent at {} is of an earlier version: ask with the strowger of that version",
                path.display()
            )
        }
        _ => format!("control socket {}: {error}", path.display()),
    };
    let mut stream = UnixStream::connect(path).map_err(fail)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(fail)?;
    stream.write_all(format!("{}\n", command.word()).as_bytes()).map_err(fail)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).map_err(fail)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    match text.strip_prefix("error: ") {
        Some(error) => Err(error.trim_end().to_owned()),
        None if text.is_empty() => Err(format!("the agent at {} ended before it answered", path.display())),
        None => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_makes_room_for_the_next_after_a_while() {
        let path = std::env::temp_dir().join(format!("strowger-agent-patience-{}", std::process::id()));
        let mut control = Control::open(&path).unwrap();
        let _silent = [(); CLIENTS_MAX].map(|()| UnixStream::connect(&path).unwrap());
        let mut asking = UnixStream::connect(&path).unwrap();
        asking.write_all(b"status\n").unwrap();
        let now = Time::from_secs(10);
        assert!(control.next(now).is_none());
        assert_eq!((control.fds().count(), control.next_deadline()), (CLIENTS_MAX, Some(now + PATIENCE)));
        assert!(control.next(now + PATIENCE).is_none(), "the silent ones go");
        assert_eq!(control.next(now + PATIENCE).map(|asked| asked.command), Some(Command::Status));
        assert_eq!((control.fds().count(), control.next_deadline()), (1, None));
    }
}
