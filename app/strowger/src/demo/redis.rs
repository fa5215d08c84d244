//! A Redis or Valkey cluster for the demo: three primaries, a replica of each, all on loopback and in one folder. It has the
//! configuration that `strowger state --redis-conf --cluster` prints. Its servers end with this process, however it ends.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use state::configuration::{Setup, StartedBy};
use state_redis::link::say;
use state_redis::resp::Value;

use crate::run::child::{last_lines, spawn, wait_or_kill};
use crate::run::free_ports;

/// The fewest with which a majority is left when one dies.
pub(crate) const PRIMARIES: usize = 3;
const SERVERS: usize = 2 * PRIMARIES;
/// Slots of a cluster.
const SLOTS: usize = 16_384;
/// Programs that understand the same, the usual one first.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// Room for the calls of a demo at its greatest pace.
const MEMORY_BYTES: u64 = 256 << 20;
/// Ports are taken from here on, above those of engines and below the range that systems give out by themselves. Each process
/// begins at another one, so that two demos at once do not want the same.
const FIRST_PORT: u16 = 17_200;
/// Longest wait until the cluster is whole.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// Time between two looks while it starts.
const LOOK: Duration = Duration::from_millis(20);

struct Node {
    process: Child,
    address: SocketAddr,
    log: PathBuf,
    /// Where the servers of the cluster talk to each other.
    bus: u16,
}

/// See the head of this module. The primaries come first, then their replicas in the same order.
pub(crate) struct Cluster(Vec<Node>);

impl Cluster {
    /// Starts the servers, and waits until each primary has its replica.
    pub(crate) fn start(folder: &Path) -> io::Result<Cluster> {
        let first = FIRST_PORT + (std::process::id() % 500) as u16 * 2 * SERVERS as u16;
        let ports = free_ports(Ipv4Addr::LOCALHOST.into(), first, 2 * SERVERS)?;
        let mut cluster = Cluster(Vec::new());
        for (index, (port, bus)) in ports[..SERVERS].iter().zip(&ports[SERVERS..]).enumerate() {
            let node = Node::start(&folder.join(format!("redis-{}", index + 1)), *port, *bus)?;
            cluster.0.push(node);
        }
        cluster.join(Instant::now() + START_PATIENCE)?;
        Ok(cluster)
    }

    fn join(&mut self, end: Instant) -> io::Result<()> {
        self.until("answers", end, |node| node.say(&["PING"]).is_ok())?;
        for (index, node) in self.0[..PRIMARIES].iter().enumerate() {
            let (from, to) = (SLOTS * index / PRIMARIES, SLOTS * (index + 1) / PRIMARIES - 1);
            node.say(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()])?;
            // Each primary its own: else those with the same number must first agree who changes it.
            node.say(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()])?;
        }
        for (index, node) in self.0.iter().enumerate() {
            for other in &self.0[..index] {
                let (port, bus) = (other.address.port().to_string(), other.bus.to_string());
                node.say(&["CLUSTER", "MEET", &other.address.ip().to_string(), &port, &bus])?;
            }
        }
        let all = format!("cluster_known_nodes:{SERVERS}\r\n");
        self.until("knows the others", end, |node| node.says(&["CLUSTER", "INFO"], &all))?;
        let mut names = Vec::new();
        for node in &self.0[..PRIMARIES] {
            names.push(text(node.say(&["CLUSTER", "MYID"])?));
        }
        for (node, primary) in self.0[PRIMARIES..].iter().zip(&names) {
            node.say(&["CLUSTER", "REPLICATE", primary])?;
        }
        self.until("sees a whole cluster", end, |node| {
            let replicas = node.said(&["CLUSTER", "NODES"]).matches("slave ").count();
            let in_step = ["master_link_status:up", "state=online"];
            let replication = node.said(&["INFO", "replication"]);
            replicas == SERVERS - PRIMARIES
                && node.says(&["CLUSTER", "INFO"], "cluster_state:ok")
                && in_step.iter().any(|sign| replication.contains(sign))
        })
    }

    /// Waits until all servers are so.
    fn until(&mut self, what: &str, end: Instant, is_so: impl Fn(&Node) -> bool) -> io::Result<()> {
        for node in &mut self.0 {
            while !is_so(node) {
                if let Some(status) = node.process.try_wait()? {
                    return Err(node.failed(&format!("ended: {status}")));
                }
                if Instant::now() >= end {
                    return Err(node.failed(&format!("never {what}")));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(())
    }

    /// The servers, as an engine names them.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.0.iter().map(|node| node.address.to_string()).collect()
    }

    /// kill -9 of a primary: its process, its address.
    pub(crate) fn kill(&mut self, primary: usize) -> io::Result<(u32, SocketAddr)> {
        let node = &mut self.0[primary];
        let process = node.process.id();
        node.process.kill()?;
        node.process.wait()?;
        Ok((process, node.address))
    }

    /// The replica of a primary, if it has become a primary itself.
    pub(crate) fn successor(&self, primary: usize) -> Option<SocketAddr> {
        let replica = &self.0[PRIMARIES + primary];
        replica.says(&["INFO", "replication"], "role:master").then_some(replica.address)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nobody needs what they would write to the disk before they end.
        for node in &mut self.0 {
            wait_or_kill(&mut node.process, Instant::now());
        }
    }
}

impl Node {
    fn start(folder: &Path, port: u16, bus: u16) -> io::Result<Node> {
        fs::create_dir_all(folder)?;
        let (file, log) = (folder.join("redis.conf"), folder.join("log"));
        fs::write(&file, configuration(port, bus))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for program in PROGRAMS {
            let mut command = Command::new(program);
            command.arg(&file).current_dir(folder);
            match spawn(command, &log) {
                Ok(process) => return Ok(Node { process, address, log, bus }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{program}: {error}"))),
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, NOT_INSTALLED))
    }

    fn say(&self, words: &[&str]) -> io::Result<Value> {
        say(&self.address.to_string(), words)
    }

    /// Its answer as text; nothing if there is none.
    fn said(&self, words: &[&str]) -> String {
        self.say(words).map(text).unwrap_or_default()
    }

    fn says(&self, words: &[&str], what: &str) -> bool {
        self.said(words).contains(what)
    }

    fn failed(&self, what: &str) -> io::Error {
        io::Error::other(format!(
            "the server of records {} {what}\n  {}\n  remedy: it takes Redis 7.0 or newer, or Valkey; the whole log is in {}",
            self.address,
            last_lines(&self.log),
            self.log.display()
        ))
    }
}

const NOT_INSTALLED: &str = "there is no redis-server and no valkey-server to be started
  remedy: install one (Debian, Ubuntu: apt-get install redis-server), or leave out --redis: then `strowger state` keeps the records";

/// Nobody starts a server again here, but the file is the one for systems where somebody does.
fn configuration(port: u16, bus: u16) -> String {
    let setup = Setup { cluster: true, started_by: StartedBy::Other, memory_max_bytes: MEMORY_BYTES };
    format!("{}bind 127.0.0.1\nport {port}\ncluster-port {bus}\n", setup.file())
}

fn text(value: Value) -> String {
    match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    }
}
