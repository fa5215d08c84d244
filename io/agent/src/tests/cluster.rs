//! Agents beside the servers of a Redis cluster, three primaries and a replica of each: who is promoted when one dies, and how the
//! dead server comes back.

use std::time::{Duration, Instant};

use state::configuration::{Setup, StartedBy};
use state_redis::link::say;
use state_redis::resp::Value;

use super::{Rig, control, kill};

const SERVERS: usize = 6;
const PRIMARIES: usize = SERVERS / 2;
const SLOTS: usize = 16_384;

struct Node {
    rig: Rig,
    address: String,
}

impl Node {
    fn start(settings: &[(&str, &str)]) -> Node {
        let mut rig = Rig::new();
        let setup = Setup { cluster: true, started_by: StartedBy::Agent, memory_max_bytes: 1 << 26 };
        let log = rig.file("log");
        let (ip, port) = (rig.sip.ip(), rig.sip.port());
        // For Redis only 127.0.0.1 is this machine.
        let lines = format!("bind {ip}\nport {port}\nbind-source-addr {ip}\nprotected-mode no\n");
        let place = format!("dir {}\nlogfile {}\nloglevel warning\n", rig.folder.display(), log.display());
        std::fs::write(rig.file("conf"), format!("{}{lines}{place}", setup.file())).unwrap();
        let command = format!("exec redis-server {}", rig.file("conf").display());
        rig.start(&command, &[&[("redis", "yes"), ("give_up", "99")], settings].concat());
        let address = rig.sip.to_string();
        let node = Node { rig, address };
        in_time("the server answers", || say(&node.address, &["PING"]).is_ok());
        node
    }

    fn done(&self, words: &[&str]) {
        assert_eq!(say(&self.address, words).unwrap(), Value::Status("OK".into()), "{words:?}");
    }

    /// Nothing: it is not there.
    fn text(&self, words: &[&str]) -> String {
        match say(&self.address, words) {
            Ok(Value::Bytes(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            _ => String::new(),
        }
    }

    fn says(&self, words: &[&str], what: &str) -> bool {
        self.text(words).contains(what)
    }

    fn is(&self, what: &str) -> bool {
        self.says(&["INFO", "replication"], what)
    }

    /// Nothing: its agent has no time to answer.
    fn told(&self, name: &str) -> String {
        let status = control::tell(&self.rig.file("control"), control::Command::Status).unwrap_or_default();
        let row = status.lines().filter_map(|line| line.split_once(' ')).find(|(key, _)| *key == name);
        row.map(|(_, value)| value.to_owned()).unwrap_or_default()
    }

    /// Its process.
    fn server(&mut self) -> i32 {
        let mut pid = 0;
        in_time("the agent tells the process", || {
            pid = self.told("pid").parse().unwrap_or(0);
            pid > 1
        });
        self.rig.servers.push(pid);
        pid
    }

    fn kill(&mut self) -> i32 {
        let pid = self.server();
        kill(pid, libc::SIGKILL);
        pid
    }
}

/// Longer than an election takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn in_time(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The primaries, then the replica of each.
fn cluster(settings: &[(&str, &str)]) -> Vec<Node> {
    let nodes: Vec<Node> = (0..SERVERS).map(|_| Node::start(settings)).collect();
    for (number, node) in nodes[..PRIMARIES].iter().enumerate() {
        let (first, end) = (SLOTS * number / PRIMARIES, SLOTS * (number + 1) / PRIMARIES);
        node.done(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
        node.done(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
    }
    let (ip, port) = (nodes[0].rig.sip.ip().to_string(), nodes[0].rig.sip.port().to_string());
    nodes[1..].iter().for_each(|node| node.done(&["CLUSTER", "MEET", &ip, &port]));
    let all = format!("cluster_known_nodes:{SERVERS}");
    in_time("all know all", || nodes.iter().all(|node| node.says(&["CLUSTER", "INFO"], &all)));
    for (primary, replica) in nodes.iter().zip(&nodes[PRIMARIES..]) {
        replica.done(&["CLUSTER", "REPLICATE", &primary.text(&["CLUSTER", "MYID"])]);
    }
    in_time("the cluster is whole", || {
        nodes.iter().all(|node| {
            node.says(&["CLUSTER", "INFO"], "cluster_state:ok")
                && node.text(&["CLUSTER", "NODES"]).matches("slave ").count() == PRIMARIES
        })
    });
    in_time("replicas are in step", || {
        nodes[..PRIMARIES].iter().all(|node| node.told("replicas_in_step") == "1")
    });
    nodes
}

#[test]
fn a_primary_that_dies_is_replaced_at_once_and_comes_back_as_a_replica() {
    let mut nodes = cluster(&[]);
    // In a slot of the first.
    nodes[0].done(&["SET", "{p3f}b", "kept"]);
    let (mut primary, mut replica) = (0, PRIMARIES);
    in_time("the replica has it", || nodes[replica].says(&["INFO", "keyspace"], "keys=1"));
    // An agent that gets no processor for a second has nobody promoted, so each has some tries.
    for _ in 0..5 {
        in_time("a replica is in step", || nodes[primary].told("replicas_in_step") == "1");
        let before = nodes[primary].kill();
        in_time("the replica is promoted", || nodes[replica].is("role:master"));
        in_time("the server comes back as a replica with a copy", || {
            let node = &nodes[primary];
            node.told("pid") != before.to_string()
                && node.is("role:slave")
                && node.is("master_link_status:up")
                && node.told("server") == "running"
        });
        assert_eq!(nodes[replica].text(&["GET", "{p3f}b"]), "kept");
        in_time("it may be promoted", || {
            let setting = say(&nodes[primary].address, &["CONFIG", "GET", "cluster-replica-no-failover"]);
            matches!(setting, Ok(Value::Array(words)) if words.last() == Some(&Value::Bytes(b"no"[..].into())))
        });
        assert!(nodes[primary].rig.log().contains("is the primary now"));
        if nodes[primary].rig.log().contains("it is to be promoted") {
            return;
        }
        std::mem::swap(&mut primary, &mut replica);
    }
    panic!("no agent had a replica promoted:\n{}{}", nodes[primary].rig.log(), nodes[replica].rig.log());
}

#[test]
fn an_agent_that_stood_still_promotes_nobody() {
    let mut nodes = cluster(&[]);
    nodes[0].done(&["SET", "{p3f}b", "kept"]);
    in_time("the replica has it", || nodes[PRIMARIES].says(&["INFO", "keyspace"], "keys=1"));
    let server = nodes[0].server();
    nodes[0].rig.signal_agent(libc::SIGSTOP);
    // What the agent has seen is old after a second.
    std::thread::sleep(Duration::from_millis(1_300));
    kill(server, libc::SIGKILL);
    nodes[0].rig.signal_agent(libc::SIGCONT);
    in_time("the cluster has elected", || nodes[PRIMARIES].is("role:master"));
    in_time("the server comes back", || nodes[0].is("role:slave") && nodes[0].is("master_link_status:up"));
    assert_eq!(nodes[PRIMARIES].text(&["GET", "{p3f}b"]), "kept");
    nodes[0].rig.logged(0, "it is to be promoted");
    nodes[0].rig.logged(1, "no replica is known to be in step");
}

#[test]
fn an_agent_that_ends_its_server_has_the_replica_promoted_first() {
    let mut nodes = cluster(&[]);
    nodes[0].rig.signal_agent(libc::SIGTERM);
    assert!(nodes[0].rig.agent_exit().success());
    in_time("the replica is promoted", || nodes[PRIMARIES].is("role:master"));
}

#[test]
fn a_server_that_hangs_is_killed_and_replaced() {
    let mut nodes = cluster(&[("hung_ms", "1000")]);
    let before = nodes[0].server();
    kill(before, libc::SIGSTOP);
    in_time("the replica is promoted", || nodes[PRIMARIES].is("role:master"));
    in_time("the server comes back", || {
        nodes[0].told("pid") != before.to_string() && nodes[0].is("role:slave")
    });
}
