//! Engines as measured programs: how they and their state are started, and the peer that does the same.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::farm::Layout;
use crate::process::Program;
use crate::subject::{Places, State};

/// Longest time until a server of the state is ready.
const READY_LIMIT: Duration = Duration::from_secs(15);
/// Room for a million calls.
const MEMORY: &str = "4G";

impl Places {
    fn state_socket(&self) -> PathBuf {
        self.scratch.join("state.sock")
    }

    /// The address of a Redis server: the first is the primary. The run's own ports lie below.
    fn redis_address(layout: &Layout, number: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, layout.server_port + 1 + number)
    }

    /// `home`: the layout that its state was started with.
    pub(crate) fn engine(&self, state: State, layout: &Layout, home: &Layout) -> Command {
        let mut command = Command::new(self.binaries.join("strowger"));
        command.args(["engine", "--listen", &format!("udp:{}", layout.target)]);
        command.args(["--to", &format!("sip:{}", layout.server(0))]);
        match state {
            State::Own => {}
            State::Process => {
                command.args(["--state", &format!("unix:{}", self.state_socket().display())]);
            }
            State::Redis => {
                command.args(["--state", &Places::redis_address(home, 0).to_string()]);
            }
        }
        command
    }

    /// Starts what an engine's records lie in.
    pub(crate) fn start_state(&self, state: State, layout: &Layout) -> io::Result<Vec<Program>> {
        match state {
            State::Own => Ok(Vec::new()),
            State::Process => {
                let socket = self.state_socket();
                let _ = fs::remove_file(&socket);
                let mut command = Command::new(self.binaries.join("strowger"));
                command.args(["state", "--memory", MEMORY]);
                command.args(["--listen", &format!("unix:{}", socket.display())]);
                let ready = |_: &mut Program| until("a socket", || socket.exists());
                Ok(vec![self.launch_until("strowger state", command, ready)?])
            }
            State::Redis => {
                let primary = Places::redis_address(layout, 0);
                let one = self.launch_until("redis primary", self.redis(layout, 0)?, |_| {
                    until("an answer", || says(primary, "PING", "+PONG"))
                })?;
                let mut command = self.redis(layout, 1)?;
                command.args(["--replicaof", &format!("{} {}", primary.ip(), primary.port())]);
                let other = self.launch_until("redis replica", command, |_| {
                    until("a replica in step", || says(primary, "INFO replication", "state=online"))
                })?;
                Ok(vec![one, other])
            }
        }
    }

    /// A Redis server with the configuration that `strowger state --redis-conf` prints, and huge pages as docs/state.md has
    /// them for many calls.
    fn redis(&self, layout: &Layout, number: u16) -> io::Result<Command> {
        let directory = self.scratch.join(format!("redis-{number}"));
        fs::create_dir_all(&directory)?;
        let mut print = Command::new(self.binaries.join("strowger"));
        let printed = print.args(["state", "--redis-conf", "--under-agent", "--memory", MEMORY]).output()?;
        let file = directory.join("redis.conf");
        fs::write(&file, printed.stdout)?;
        let mut command = Command::new(&self.redis);
        command.arg(&file).args(["--bind", "127.0.0.1", "--daemonize", "no", "--dir"]).arg(&directory);
        command.args(["--port", &Places::redis_address(layout, number).port().to_string()]);
        command.args(["--disable-thp", "no"]).env("MALLOC_CONF", "thp:always");
        Ok(command)
    }

    pub(crate) fn sippy(&self, layout: &Layout) -> Command {
        let mut command = Command::new(&self.sippy);
        command.args(["-f", "-l", &layout.target.ip().to_string(), "-p", &layout.target.port().to_string()]);
        command.args(["-n", &layout.server(0).to_string()]).env("SIPLOG_BEND", "none");
        command
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) -> io::Result<()> {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > READY_LIMIT {
            return Err(io::Error::other(format!("{what} did not come in {READY_LIMIT:?}")));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether a Redis server's answer to a command of one line has this text.
fn says(server: SocketAddrV4, command: &str, text: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(server)?;
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(answer),
            other => other.map(|_| answer),
        }
    };
    ask().is_ok_and(|answer: Vec<u8>| String::from_utf8_lossy(&answer).contains(text))
}
