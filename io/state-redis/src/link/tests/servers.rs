//! Redis servers of our own, for the time of a test.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use state::configuration::{Setup, StartedBy};

use crate::link::call::Call;
use crate::link::greeting::Login;
use crate::link::{Address, Settings};
use crate::resp::Value;

/// A folder that is gone at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("strowger-link-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server, killed at the end.
pub(super) struct Server {
    process: Child,
    pub(super) address: Address,
    file: PathBuf,
}

impl Server {
    /// At a Unix socket, with these further lines in its file.
    pub(super) fn start(folder: &Folder, name: &str, lines: &str) -> Server {
        let folder = folder.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let socket = folder.join("socket");
        let lines = format!("port 0\nunixsocket {}\n{lines}", socket.display());
        Server::with_file(&folder, &lines, false, Address::Unix(socket))
    }

    /// At a port of its own, alone or in a cluster.
    pub(super) fn start_tcp(folder: &Folder, name: &str, cluster: bool, lines: &str) -> Server {
        let folder = folder.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let port = free_port();
        // The bus of a cluster would be 10,000 ports higher, which may be none.
        let bus = if cluster { format!("cluster-port {}\n", free_port()) } else { String::new() };
        let lines = format!("bind 127.0.0.1\nport {port}\n{bus}{lines}");
        Server::with_file(&folder, &lines, cluster, Address::Tcp(format!("127.0.0.1:{port}").into()))
    }

    /// Host and port, as two words of a command.
    pub(super) fn host_and_port(&self) -> (String, String) {
        let text = self.address.to_string();
        let (host, port) = text.rsplit_once(':').expect("an address");
        (host.into(), port.into())
    }

    fn with_file(folder: &Path, lines: &str, cluster: bool, address: Address) -> Server {
        let setup = Setup { cluster, started_by: StartedBy::Agent, memory_max_bytes: 1 << 28 };
        let file = folder.join("redis.conf");
        fs::write(&file, format!("{}dir {}\n{lines}", setup.file(), folder.display())).expect("a file");
        let process = spawn(&file);
        let server = Server { process, address, file };
        server.until(|call| call.call(&[b"PING"]).is_ok());
        server
    }

    pub(super) fn settings(&self) -> Settings {
        Settings { nodes: vec![self.address.clone()], ..Settings::default() }
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().expect("a process");
        self.process.wait().expect("its end");
    }

    /// It starts with nothing.
    pub(super) fn start_again(&mut self) {
        self.process = spawn(&self.file);
        self.until(|call| call.call(&[b"PING"]).is_ok());
    }

    pub(super) fn signal(&self, signal: i32) {
        // SAFETY: the process is ours and was not waited for, so its number is no other's.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, signal) }, 0);
    }

    pub(super) fn call(&self) -> io::Result<Call> {
        Call::connect(&self.address.to_string(), &Login::default())
    }

    pub(super) fn say(&self, words: &[&str]) -> Value {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.call().and_then(|mut call| call.value(&words)).expect("an answer")
    }

    /// Waits until its answer is so, at most ten seconds.
    pub(super) fn until_says(&self, words: &[&str], is_so: impl Fn(&str) -> bool) {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.until(|call| call.value(&words).is_ok_and(|value| is_so(&text(&value))));
    }

    fn until(&self, is_true: impl Fn(&mut Call) -> bool) {
        let begin = std::time::Instant::now();
        while !self.call().is_ok_and(|mut call| is_true(&mut call)) {
            assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{} is not so", self.address);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn spawn(file: &Path) -> Child {
    let process = Process::new("redis-server").arg(file).stdout(Stdio::null()).spawn();
    process.unwrap_or_else(|error| {
        panic!("this test needs redis-server (Debian package redis-server), which does not start: {error}")
    })
}
