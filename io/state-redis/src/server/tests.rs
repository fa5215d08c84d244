//! The server of this crate, over its socket: what strangers send, what waits, and what is bounded.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use state::{Also, Answer, Command, Create, Del, Effect, Header, Key, Put};

use super::*;
use crate::contract::Client;
use crate::resp::{Value, write_words};
use crate::wire::write_command;

/// A server that runs in a thread until this is dropped.
pub(crate) struct Running {
    pub(crate) path: PathBuf,
    folder: PathBuf,
    stop: UnixStream,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    pub(crate) fn start(change: impl FnOnce(&mut Settings, &Path)) -> Running {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("strowger-state-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("socket");
        let mut settings = Settings::new(&path);
        change(&mut settings, &folder);
        let mut server = Server::open(settings).expect("a server");
        let (stop, stopped) = UnixStream::pair().expect("a pair");
        let thread = std::thread::spawn(move || server.run(stopped.as_raw_fd()));
        Running { path, folder, stop, thread: Some(thread) }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.path)
    }

    /// The result of the server.
    fn stop(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.stop.write_all(b"x")?;
        thread.join().expect("no panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let stopped = self.stop();
        let _ = fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            stopped.expect("a server that ends well");
        }
    }
}

fn key(number: u32) -> Key {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B9).to_be_bytes());
    key[4..8].copy_from_slice(&number.to_be_bytes());
    Key(key)
}

fn record(bytes: usize) -> Box<[u8]> {
    let mut record = Vec::new();
    Header::default().write(&mut record);
    record.resize(bytes, 7);
    record.into()
}

fn create(number: u32, bytes: usize, effects: Vec<Effect>) -> Command {
    let also = Also { effects, ..Also::default() };
    Command::Create(Create { key: key(number), record: record(bytes), wake: 1, also })
}

fn ask(client: &mut Client, number: u32, command: &Command) -> Answer {
    client.ask_in(key(number).partition(), command)
}

#[test]
fn the_commands_that_engines_send_at_their_start() {
    let server = Running::start(|_, _| ());
    let mut client = server.client();
    let text = |text: &str| Value::Bytes(text.as_bytes().into());
    let status = |text: &str| Value::Status(text.into());
    assert_eq!(client.call(&[b"ping"]), status("PONG"));
    assert_eq!(client.call(&[b"PING", b"a"]), text("a"));
    assert_eq!(client.call(&[b"INCR", b"engines"]), Value::Integer(1));
    assert_eq!(client.call(&[b"INCR", b"engines"]), Value::Integer(2));
    assert_eq!(client.call(&[b"GET", b"secret"]), Value::Nil);
    assert_eq!(client.call(&[b"SET", b"secret", b"one", b"NX"]), status("OK"));
    assert_eq!(client.call(&[b"SET", b"secret", b"two", b"NX"]), Value::Nil);
    assert_eq!(client.call(&[b"GET", b"secret"]), text("one"));
    assert_eq!(client.call(&[b"SET", b"secret", b"three"]), status("OK"));
    assert_eq!(client.call(&[b"GET", b"secret"]), text("three"));
    assert_eq!(client.call(&[b"WAIT", b"1", b"100"]), Value::Integer(0));
    assert_eq!(client.call(&[b"FUNCTION", b"LOAD", b"REPLACE", b"x"]), text("strowger"));
    let Value::Array(time) = client.call(&[b"TIME"]) else { panic!("no time") };
    assert_eq!(time.len(), 2);
    for words in [&[&b"HELLO"[..]][..], &[b"HELLO", b"2"]] {
        let Value::Array(hello) = client.call(words) else { panic!("no greeting") };
        assert!(hello.windows(2).any(|pair| pair == [text("role"), text("master")]), "{hello:?}");
    }
    for bad in [
        &[&b"HELLO"[..], b"3"][..],
        &[b"EVAL", b"return 1", b"0"],
        &[b"GET"],
        &[b"INCR", b"secret"],
        &[b"FCALL"],
    ] {
        assert!(matches!(client.call(bad), Value::Error(_)), "{bad:?}");
    }
}

#[test]
fn engines_read_this_server_as_one_primary_with_all_partitions() {
    let server = Running::start(|_, _| ());
    let mut client = server.client();
    let text = |value| match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    };
    let nodes = text(client.call(&[b"CLUSTER", b"NODES"]));
    let sight = state::view::Sight::of_cluster("unix:/socket", &nodes).expect("nodes");
    assert_eq!(sight, state::view::Sight::alone("unix:/socket"));
    let info = text(client.call(&[b"INFO", b"replication"]));
    let sight = state::view::Sight::of_replication("unix:/socket", &info).expect("nodes");
    assert_eq!(sight, state::view::Sight::alone("unix:/socket"));
    assert!(info.contains("maxmemory:1073741824\r\n"), "{info}");
}

#[test]
fn engines_start_here_as_at_redis() {
    use crate::link::{Address, Settings, Start};
    let server = Running::start(|_, _| ());
    let nodes = vec![Address::Unix(server.path.clone())];
    let settings = Settings { nodes, ..Settings::default() };
    let start =
        || Start::wait(&settings, &os::Clock::start(), Duration::from_secs(10), |_| {}).expect("a start");
    let (first, second) = (start(), start());
    assert_eq!(second.engine, first.engine + 1);
    assert_eq!(second.secret.get(), first.secret.get());
}

#[test]
fn only_the_owner_may_connect_and_the_socket_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut server = Running::start(|_, _| ());
    assert_eq!(fs::metadata(&server.path).expect("a socket").permissions().mode() & 0o777, 0o600);
    let second = Server::open(Settings::new(&server.path)).expect_err("served already");
    assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
    server.stop().expect("the end");
    assert!(!server.path.exists());
}

#[test]
fn commands_in_one_piece_are_answered_in_their_order() {
    let server = Running::start(|_, _| ());
    let mut client = server.client();
    let mut bytes = Vec::new();
    for number in 0..5000 {
        write_command(key(number).partition(), &create(number, 100, Vec::new()), &mut bytes);
        write_words(&[b"PING", number.to_string().as_bytes()], &mut bytes);
    }
    // More than fits a socket: answers wait while we write.
    let mut stream = client.stream();
    let writer = std::thread::spawn(move || stream.write_all(&bytes));
    for number in 0..5000 {
        assert_eq!(client.value(), Value::Status("OK".into()));
        assert_eq!(client.value(), Value::Bytes(number.to_string().into_bytes().into()));
    }
    writer.join().expect("no panic").expect("all written");
}

#[test]
fn a_client_that_does_not_read_waits_alone() {
    let server = Running::start(|_, _| ());
    let mut client = server.client();
    assert_eq!(ask(&mut client, 1, &create(1, 60_000, Vec::new())), Answer::Done);
    let mut peek = Vec::new();
    write_command(key(1).partition(), &Command::Peek { key: key(1), cached: None }, &mut peek);
    // 120 MB of answers, none of which is read: it is not executed further than a megabyte.
    let mut deaf = server.client().stream();
    deaf.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let all = peek.repeat(2000);
    let _ = deaf.write(&all);
    for _ in 0..100 {
        assert_eq!(client.call(&[b"PING"]), Value::Status("PONG".into()));
    }
    // And it gets all that it asked for, once it reads.
    deaf.set_nonblocking(false).expect("blocking");
    deaf.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut sample = vec![0; 1_000_000];
    deaf.read_exact(&mut sample).expect("answers");
    assert!(sample.starts_with(b"$60000\r\n"));
}

#[test]
fn what_is_no_command_ends_the_connection_with_a_reason() {
    let server = Running::start(|settings, _| settings.command_bytes_max = 1000);
    let many = format!("*1\r\n$1001\r\n{}", "a".repeat(1001));
    for (bytes, expected) in [
        (&b"PING\r\n"[..], "not RESP"),
        (b"*1\r\n:1\r\n", "byte strings"),
        (b"*1\r\n*1\r\n:1\r\n", "too long"),
        (b"*0\r\n", "byte strings"),
        (many.as_bytes(), "too long"),
        (b"*99999\r\n", "too long"),
    ] {
        let mut client = server.client();
        let Value::Error(why) = client.send(bytes) else {
            panic!("taken: {}", String::from_utf8_lossy(bytes))
        };
        assert!(why.contains(expected), "{why}");
        assert_eq!(client.stream().read(&mut [0; 10]).expect("the end"), 0);
    }
}

#[test]
fn there_are_no_more_clients_than_may_be() {
    let server = Running::start(|settings, _| settings.clients_max = 3);
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.call(&[b"PING"]), Value::Status("PONG".into()));
    }
    let mut refused = String::new();
    let _ = server.client().stream().read_to_string(&mut refused);
    assert_eq!(refused, "-ERR max number of clients reached\r\n");
    drop(clients.pop());
    // The server may see the new one before it sees that the old one has gone.
    let taken = (0..1000).any(|_| {
        let mut stream = server.client().stream();
        std::thread::sleep(Duration::from_millis(1));
        let mut answer = [0; 5];
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer == *b"+PONG"
    });
    assert!(taken);
}

#[test]
fn without_room_no_call_begins_in_any_partition_and_calls_go_on() {
    let server = Running::start(|settings, _| settings.memory_bytes = 10_000_000);
    let mut client = server.client();
    let begun =
        (0..20_000).take_while(|at| ask(&mut client, *at, &create(*at, 1000, Vec::new())) == Answer::Done);
    let begun = begun.count() as u32;
    assert!((7000..8000).contains(&begun), "{begun}");
    let vote = Command::Count { poll: [].into(), choice: [].into(), voter: [].into() };
    assert_eq!(client.ask_in(9, &vote), Answer::Full);
    assert_eq!(ask(&mut client, 0, &create(0, 1000, Vec::new())), Answer::Refused(Some(record(1000))));
    let expected = Header::default().stamp;
    for number in 0..begun {
        let put = Put { key: key(number), expected, record: record(2000), wake: None, also: Also::default() };
        assert_eq!(ask(&mut client, number, &Command::Put(put)), Answer::Done);
    }
    for number in 0..begun {
        let del = Del { key: key(number), expected, tombstone: None, also: Also::default() };
        assert_eq!(ask(&mut client, number, &Command::Del(del)), Answer::Done);
    }
    assert_eq!(client.ask_in(9, &vote), Answer::Counted(true));
    let Value::Bytes(info) = client.call(&[b"INFO"]) else { panic!("no INFO") };
    assert!(String::from_utf8_lossy(&info).contains("used_memory:64\r\n"), "one vote");
}

#[test]
fn values_are_bounded() {
    let server = Running::start(|_, _| ());
    let mut client = server.client();
    let long = [b'a'; 1025];
    assert!(matches!(client.call(&[b"SET", b"a", &long]), Value::Error(_)));
    assert!(matches!(client.call(&[b"INCR", &long]), Value::Error(_)));
    let taken = |number: &u32| client.call(&[b"INCR", number.to_string().as_bytes()]) == Value::Integer(1);
    assert_eq!((0..2000).take_while(taken).count(), 1024);
    assert_eq!(client.call(&[b"INCR", b"7"]), Value::Integer(2));
}

#[test]
fn effects_come_to_the_file_in_their_order_and_leave_the_partitions() {
    let mut server = Running::start(|settings, folder| settings.effects = Some(folder.join("effects")));
    let file = server.path.with_file_name("effects");
    let mut client = server.client();
    let effect = |number: u32| Effect {
        key: format!("call {number}").into_bytes().into(),
        body: if number == 7 { vec![0xFF, 0].into() } else { b"\"line\n"[..].into() },
    };
    for number in 0..3000 {
        let created = create(number, 100, vec![effect(number), effect(10_000 + number)]);
        assert_eq!(ask(&mut client, number, &created), Answer::Done);
    }
    for _ in 0..1000 {
        let Value::Bytes(info) = client.call(&[b"INFO"]) else { panic!("no INFO") };
        if String::from_utf8_lossy(&info).contains("effects_waiting:0\r\n") {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let lines = || {
        let text = fs::read_to_string(&file).expect("a file");
        let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON");
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines().len(), 6000);
    // What comes last is written before the server ends.
    assert_eq!(ask(&mut client, 5000, &create(5000, 100, vec![effect(5000)])), Answer::Done);
    server.stop().expect("the end");
    let all = lines();
    assert_eq!(all.len(), 6001);
    for partition in 0..=255_u8 {
        let of = |line: &&serde_json::Value| line["partition"] == format!("{partition:02x}");
        let numbers: Vec<u64> = all.iter().filter(of).filter_map(|line| line["number"].as_u64()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
    let seven = all.iter().find(|line| line["key"] == "call 7").expect("the effect");
    assert_eq!((&seven["body_hex"], seven.get("body")), (&"ff00".into(), None));
    let eight = all.iter().find(|line| line["key"] == "call 8").expect("the effect");
    assert_eq!(eight["body"], "\"line\n");
}

#[test]
fn a_file_that_cannot_be_written_is_refused_at_the_start() {
    let path = std::env::temp_dir().join(format!("strowger-state-{}-nowhere", std::process::id()));
    let effects = Some(path.join("no-such-folder").join("effects"));
    assert!(Server::open(Settings { effects, ..Settings::new(&path) }).is_err());
    assert!(!path.exists());
}
