//! A Redis server of our own, for the time of a test.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use state::configuration::{Setup, StartedBy};

use super::{BOUNDS, Client};
use crate::functions::{EFFECTS_MAX, LIBRARY};
use crate::resp::Value;

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
