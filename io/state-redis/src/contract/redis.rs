//! A Redis server of our own, for the time of a test.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use state::configuration::{Setup, StartedBy};

use super::{BOUNDS, Client};
use crate::functions::{EFFECTS_MAX, LIBRARY};
use crate::link::Address;
use crate::resp::Value;

/// A server with a folder of its own, both gone at the end.
pub(crate) struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    /// Starts `redis-server` with the file that we would have it have, and our functions in it.
    pub(crate) fn start() -> Redis {
        Redis::with_memory(1 << 30)
    }

    pub(crate) fn with_memory(memory_max_bytes: u64) -> Redis {
        let setup = Setup { cluster: false, started_by: StartedBy::Agent, memory_max_bytes };
        Redis::with_file(&setup.file())
    }

    /// With these lines in its file.
    pub(crate) fn with_file(lines: &str) -> Redis {
        let redis = Redis::without_functions(lines);
        redis.load();
        redis
    }

    /// The same without our functions: perhaps nobody may load them without a login.
    pub(crate) fn without_functions(lines: &str) -> Redis {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("strowger-redis-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let socket = folder.join("socket");
        let socket_line = format!("unixsocket {}", socket.display());
        let file = format!("port 0\n{socket_line}\nenable-debug-command local\n{lines}");
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
        // It is there when it takes a connection.
        drop(redis.client());
        redis
    }

    pub(crate) fn load(&self) {
        let mut client = self.client();
        let library = LIBRARY.replace(
            &format!("EFFECTS_MAX = {EFFECTS_MAX}"),
            &format!("EFFECTS_MAX = {}", BOUNDS.effects_max),
        );
        let loaded = client.call(&[b"FUNCTION", b"LOAD", b"REPLACE", library.as_bytes()]);
        assert_eq!(loaded, Value::Bytes(b"strowger"[..].into()));
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.folder.join("socket"))
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.folder.join("socket"))
    }

    /// A connection to the server, which is empty.
    pub(crate) fn empty(&self) -> Client {
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
