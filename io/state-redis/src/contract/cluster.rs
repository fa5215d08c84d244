//! Redis servers of a cluster: what a replica has when it takes over, and that a command takes effect whole or not at all while
//! its slot moves to another server.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use state::configuration::{Setup, StartedBy};
use state::{Also, Command, Create, Del, Effect, Header, Key, Partition, Put, view::slot};

use super::redis::Redis;
use super::{BOUNDS, Client, PARTITION, Server, compare, questions, scripts};
use crate::link::{Settings, check};
use crate::resp::Value;
use crate::wire::Unread;

/// Longer than a failover takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    redis: Redis,
    port: u16,
    bus: u16,
    client: Client,
    id: String,
}

impl Node {
    fn start() -> Node {
        // Free a moment ago; nobody but a test takes ports here.
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").port()
        };
        let (port, bus) = (free(), free());
        let setup = Setup { cluster: true, started_by: StartedBy::Agent, memory_max_bytes: 1 << 28 };
        let lines =
            format!("{}port {port}\ncluster-port {bus}\nbind 127.0.0.1\nloglevel warning\n", setup.file());
        let redis = Redis::without_functions(&lines);
        let mut client = redis.client();
        let Value::Bytes(id) = client.call(&[b"CLUSTER", b"MYID"]) else { panic!("no id") };
        let node = Node { redis, port, bus, client, id: String::from_utf8_lossy(&id).into_owned() };
        node.redis.load();
        node
    }

    fn say(&mut self, words: &[&str]) -> Value {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.client.call(&words)
    }

    fn done(&mut self, words: &[&str]) {
        assert_eq!(self.say(words), Value::Status("OK".into()), "{words:?}");
    }

    fn until(&mut self, what: &[&str], says: &str) {
        let begin = Instant::now();
        loop {
            let Value::Bytes(text) = self.say(what) else { panic!("{what:?}") };
            if String::from_utf8_lossy(&text).contains(says) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{what:?} never says {says}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn migrate(&mut self, to: &Node, name: &Value) {
        let Value::Bytes(name) = name else { panic!("{name:?}") };
        let port = to.port.to_string();
        let moved = self.client.call(&[b"MIGRATE", b"127.0.0.1", port.as_bytes(), name, b"0", b"5000"]);
        assert_eq!(moved, Value::Status("OK".into()));
    }
}

/// Primaries, of which the first has the partition of these tests.
fn cluster(primaries: u16) -> Vec<Node> {
    let mut nodes: Vec<Node> = (0..primaries).map(|_| Node::start()).collect();
    let (first, bus) = (nodes[0].port.to_string(), nodes[0].bus.to_string());
    let slot = slot(PARTITION);
    nodes[0].done(&["CLUSTER", "ADDSLOTS", &slot.to_string()]);
    let last = nodes.len() - 1;
    // Each has some: only those count when a replica is elected.
    for (node, from, to) in [(1, 0, slot - 1), (last, slot + 1, 16_383)] {
        nodes[node].done(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
    }
    for node in &mut nodes[1..] {
        node.done(&["CLUSTER", "MEET", "127.0.0.1", &first, &bus]);
    }
    let ids: Vec<String> = nodes.iter().map(|node| node.id.clone()).collect();
    for node in &mut nodes {
        node.until(&["CLUSTER", "INFO"], "cluster_state:ok");
        ids.iter().for_each(|id| node.until(&["CLUSTER", "NODES"], id));
    }
    nodes
}

fn key(last: u8) -> Key {
    let mut key = [last; 12];
    key[0] = PARTITION;
    Key(key)
}

fn record() -> Box<[u8]> {
    let mut bytes = Vec::new();
    Header { owner: 1, ..Header::default() }.write(&mut bytes);
    bytes.into()
}

fn also() -> Also {
    let effect = Effect { key: b"key"[..].into(), body: b"body"[..].into() };
    Also { counter: Some((b"a"[..].into(), 1)), name: Some(b"a"[..].into()), effects: vec![effect] }
}

fn create(last: u8, also: Also) -> Command {
    Command::Create(Create { key: key(last), record: record(), wake: 10, also })
}

fn put(last: u8, wake: Option<u64>, also: Also) -> Command {
    Command::Put(Put { key: key(last), expected: Header::default().stamp, record: record(), wake, also })
}

fn del(last: u8) -> Command {
    let expected = Header::default().stamp;
    Command::Del(Del { key: key(last), expected, tombstone: Some(record()), also: also() })
}

#[test]
fn a_replica_that_takes_over_has_the_functions_and_all_that_was_waited_for() {
    let mut nodes = cluster(3);
    let settings = Settings { nodes: vec![nodes[0].redis.address()], ..Settings::default() };
    let checked = check(&settings, StartedBy::Agent).expect("an answer");
    assert!(checked.cluster && checked.wrong.is_empty(), "{checked:?}");
    let mut replica = Node::start();
    // A replica takes the functions of its primary, over its own.
    let (port, bus, id) = (nodes[0].port.to_string(), nodes[0].bus.to_string(), nodes[0].id.clone());
    replica.done(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    replica.until(&["CLUSTER", "NODES"], &id);
    replica.done(&["CLUSTER", "REPLICATE", &id]);
    replica.until(&["INFO", "replication"], "master_link_status:up");
    for node in nodes.iter_mut().chain([&mut replica]) {
        // A server votes for a replica of which it knows that it is one.
        node.until(&["CLUSTER", "NODES"], &format!("slave {id}"));
        node.until(&["CLUSTER", "INFO"], "cluster_size:3");
    }
    let mut partition = Partition::new(BOUNDS);
    for command in
        [create(1, also()), create(2, also()), put(1, Some(5), also()), del(2), create(3, Also::default())]
    {
        let expected = partition.apply(0, command.clone());
        assert_eq!(nodes[0].client.ask(&command), expected);
        assert_eq!(nodes[0].say(&["WAIT", "1", "1000"]), Value::Integer(1));
    }
    drop(nodes.remove(0));
    // The others may not know yet that they do not reach it.
    let promoted = (0..PATIENCE.as_secs()).any(|_| {
        let _ = replica.say(&["CLUSTER", "FAILOVER", "FORCE"]);
        (0..50).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            let Value::Bytes(info) = replica.say(&["INFO", "replication"]) else { panic!("no INFO") };
            String::from_utf8_lossy(&info).contains("role:master")
        })
    });
    assert!(promoted);
    replica.until(&["CLUSTER", "INFO"], "cluster_state:ok");
    for question in questions() {
        let expected = partition.apply(0, question.clone());
        assert_eq!(replica.client.ask(&question), expected, "{question:?}");
    }
    for (name, commands) in scripts::all() {
        replica.done(&["FLUSHALL"]);
        compare(&mut replica.client, &commands).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

/// What a server refuses that is losing the slot, or is getting it.
fn is_of_a_move(error: &str) -> bool {
    ["ASK ", "TRYAGAIN ", "MOVED "].iter().any(|kind| error.starts_with(kind))
        // A function that looks at several records found one of them gone, before it wrote.
        || error.contains("attempted to access a non local key")
}

#[derive(Debug, Default)]
struct Outcomes {
    answered: u32,
    refused: u32,
}

impl Outcomes {
    /// The first server that does not refuse answers as a partition would; if both refuse, both hold what they held before.
    fn of(&mut self, command: &Command, partition: &mut Partition, mut nodes: [&mut Node; 2]) {
        let before = nodes.each_mut().map(|node| node.client.digest());
        // As engines do: nobody follows ASK.
        for node in &mut nodes {
            match node.client.apply(command) {
                Ok(answer) => {
                    assert_eq!(answer, partition.apply(0, command.clone()), "{command:?}");
                    self.answered += 1;
                    return;
                }
                Err(Unread::Error(why)) => assert!(is_of_a_move(&why), "{why} to {command:?}"),
                Err(Unread::Strange) => panic!("{command:?}"),
            }
        }
        assert_eq!(nodes.map(|node| node.client.digest()), before, "{command:?}");
        self.refused += 1;
    }
}

#[test]
fn a_command_takes_effect_whole_or_not_at_all_while_its_slot_moves() {
    let mut nodes = cluster(2);
    let (mut to, mut from) = (nodes.remove(1), nodes.remove(0));
    let mut partition = Partition::new(BOUNDS);
    for command in [create(1, also()), create(2, Also::default()), create(3, also())] {
        assert_eq!(from.client.ask(&command), partition.apply(0, command.clone()));
    }
    let slot = slot(PARTITION).to_string();
    to.done(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from.id]);
    from.done(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id]);
    let Value::Array(names) = from.say(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]) else {
        panic!("no names")
    };
    assert_eq!(names.len(), 7, "three records, due, counters, names, out: {names:?}");
    let commands = || {
        let mut commands = vec![create(9, also()), create(9, Also::default())];
        for last in 1..=3 {
            commands.extend([
                put(last, None, Also::default()),
                put(last, Some(5), also()),
                put(last, Some(4), Also::default()),
            ]);
            commands.push(Command::Peek { key: key(last), cached: None });
            commands.push(Command::Wake { key: key(last), expected: Header::default().stamp, at: 7 });
        }
        commands.push(Command::Due(state::Due { now: 8, lease: 2, limit: 9 }));
        commands.push(Command::OwnedBy(state::OwnedBy { engine: 1, after: 0, until: 99, limit: 9 }));
        commands.push(Command::List(state::List { after: 0, limit: 9 }));
        commands.push(Command::Find { name: b"a"[..].into() });
        commands
    };
    let mut outcomes = Outcomes::default();
    // Each alone, there and back, and then one after the other.
    for name in &names {
        from.migrate(&to, name);
        for command in commands() {
            outcomes.of(&command, &mut partition, [&mut from, &mut to]);
        }
        // The owner takes it back only while it does not give the slot away.
        from.done(&["CLUSTER", "SETSLOT", &slot, "STABLE"]);
        to.migrate(&from, name);
        from.done(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id]);
    }
    for name in &names {
        from.migrate(&to, name);
        for command in commands() {
            outcomes.of(&command, &mut partition, [&mut from, &mut to]);
        }
    }
    assert!(outcomes.answered > 20 && outcomes.refused > 20, "{outcomes:?}");
    let id = to.id.clone();
    to.done(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
    for question in questions() {
        assert_eq!(to.client.ask(&question), partition.apply(0, question.clone()), "{question:?}");
    }
}
