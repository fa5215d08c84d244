//! The control socket: a Unix datagram socket that only the agent's user (and root) may write to. One word in, a few lines
//! of text out.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an operator can ask of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// State and figures, changing nothing.
    Status,
    /// No new calls; the server runs on.
    Drain,
    /// New calls again.
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
    socket: UnixDatagram,
    path: PathBuf,
}

impl Control {
    pub(crate) fn open(path: &Path) -> io::Result<Control> {
        // A socket that nobody reads is what a killed agent left.
        if path.exists() {
            let probe = UnixDatagram::unbound()?;
            match probe.connect(path) {
                Ok(()) => {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there"));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
                Err(error) => return Err(error),
            }
        }
        let socket = UnixDatagram::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok(Control { socket, path: path.to_owned() })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The next command and who wants the answer; a word that is none is answered here.
    pub(crate) fn next(&self) -> Option<(Command, SocketAddr)> {
        let mut word = [0; 64];
        let (length, from) = self.socket.recv_from(&mut word).ok()?;
        match Command::of(&word[..length]) {
            Some(command) => Some((command, from)),
            None => {
                let words: Vec<&str> = Command::ALL.iter().map(|command| command.word()).collect();
                self.answer(&format!("error: not one of {}\n", words.join(", ")), &from);
                None
            }
        }
    }

    pub(crate) fn answer(&self, text: &str, to: &SocketAddr) {
        // Whoever did not wait for the answer does not get it.
        let _ = self.socket.send_to_addr(text.as_bytes(), to);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Sends `command` to the agent at `path` and gives its answer.
pub fn tell(path: &Path, command: Command) -> Result<String, String> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!("no agent at {}: is it running with this --control?", path.display())
        }
        io::ErrorKind::WouldBlock => format!("the agent at {} does not answer", path.display()),
        _ => format!("control socket {}: {error}", path.display()),
    };
    let name = format!("strowger-{}-{:016x}", std::process::id(), crate::nonce());
    let own = SocketAddr::from_abstract_name(name).map_err(fail)?;
    let socket = UnixDatagram::bind_addr(&own).map_err(fail)?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(fail)?;
    socket.connect(path).map_err(fail)?;
    socket.send(command.word().as_bytes()).map_err(fail)?;
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).map_err(fail)?;
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    match text.strip_prefix("error: ") {
        Some(error) => Err(error.trim_end().to_owned()),
        None => Ok(text),
    }
}
