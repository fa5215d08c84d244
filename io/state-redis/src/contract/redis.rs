//! A Redis server of our own, for the time of a test.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use state::configuration::{Setup, StartedBy};
use state::{Answer, Command};

use super::{BOUNDS, PARTITION, Server};
use crate::functions::{EFFECTS_MAX, LIBRARY};
use crate::resp::{Limits, Reader, Value, write_words};
use crate::wire::{Unread, read_answer, write_command};

/// A server with a folder of its own, both gone at the end.
pub(super) struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    /// Starts `redis-server` with the file that we would have it have, and our functions in it.
    pub(super) fn start() -> Redis {
        Redis::with_memory(1 << 30)
    }

    pub(super) fn with_memory(memory_max_bytes: u64) -> Redis {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("strowger-redis-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let setup = Setup { cluster: false, started_by: StartedBy::Agent, memory_max_bytes };
        let socket = folder.join("socket");
        let file = format!("{}port 0\nunixsocket {}\n", setup.file(), socket.display());
        fs::write(folder.join("redis.conf"), file).expect("a file");
        let process = Process::new("redis-server")
            .arg(folder.join("redis.conf"))
            .current_dir(&folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("this test needs redis-server (Debian package redis-server), which does not start: {error}")
            });
        let redis = Redis { process, folder };
        let mut client = redis.client();
        let library = LIBRARY.replace(
            &format!("EFFECTS_MAX = {EFFECTS_MAX}"),
            &format!("EFFECTS_MAX = {}", BOUNDS.effects_max),
        );
        let loaded = client.call(&[b"FUNCTION", b"LOAD", b"REPLACE", library.as_bytes()]);
        assert_eq!(loaded, Value::Bytes(b"strowger"[..].into()));
        redis
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(&self.folder.join("socket"))
    }

    /// A connection to the server, which is empty.
    pub(super) fn empty(&self) -> Client {
        let mut client = self.client();
        assert_eq!(client.call(&[b"FLUSHALL"]), Value::Status("OK".into()));
        client
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A connection that waits for each answer.
pub(super) struct Client {
    stream: UnixStream,
    reader: Reader,
}

impl Client {
    /// Tries for ten seconds: a server that starts is not there at once.
    pub(super) fn connect(socket: &std::path::Path) -> Client {
        let begin = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
                    return Client { stream, reader: Reader::new(Limits::REPLIES) };
                }
                Err(error) if begin.elapsed() > Duration::from_secs(10) => {
                    panic!("no server at {}: {error}", socket.display())
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub(super) fn call(&mut self, words: &[&[u8]]) -> Value {
        let mut bytes = Vec::new();
        write_words(words, &mut bytes);
        self.send(&bytes)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Value {
        self.stream.write_all(bytes).expect("a server that reads");
        self.value()
    }

    /// The next value.
    pub(super) fn value(&mut self) -> Value {
        let mut piece = [0; 1 << 16];
        loop {
            if let Some(value) = self.reader.read().expect("RESP") {
                return value;
            }
            let length = self.stream.read(&mut piece).expect("an answer");
            assert!(length > 0, "the server closed the connection");
            self.reader.feed(&piece[..length]);
        }
    }

    /// The answer of a server that has one.
    pub(super) fn ask(&mut self, command: &Command) -> Answer {
        self.apply(command).unwrap_or_else(|failure| panic!("{failure:?} to {command:?}"))
    }

    fn number(&mut self, name: &[u8], field: &[u8]) -> i64 {
        let name = [b"{p3f}", name].concat();
        match self.call(&[b"HGET", &name, field]) {
            Value::Nil => 0,
            Value::Bytes(digits) => String::from_utf8_lossy(&digits).parse().expect("a number"),
            other => panic!("{other:?}"),
        }
    }
}

impl Server for Client {
    fn apply(&mut self, command: &Command) -> Result<Answer, Unread> {
        let mut bytes = Vec::new();
        write_command(PARTITION, command, &mut bytes);
        let value = self.send(&bytes);
        read_answer(command, value)
    }

    fn counter(&mut self, name: &[u8]) -> i64 {
        self.number(b"counters", name)
    }

    fn votes(&mut self, poll: &[u8], choice: &[u8]) -> u64 {
        self.number(&[b"choices:", poll].concat(), choice).unsigned_abs()
    }
}
