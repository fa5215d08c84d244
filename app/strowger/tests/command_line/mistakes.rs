//! Mistakes of somebody who starts an engine, a farm or a state tier for the first time. Each says where it is, what is wrong and
//! what to do, and nothing is started.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::check;

/// The options or the file are wrong.
const USAGE: i32 = 64;
/// They are right, but something is not there, or is taken.
const FAILED: i32 = 1;

/// Words as they are typed. `remedy:` is expected besides the words that are named.
fn mistakes(status: i32, all: &[(&str, &[&str])]) {
    for (line, expected) in all {
        let words: Vec<&str> = line.split_whitespace().collect();
        check(&words, status, &[*expected, &["remedy: "]].concat());
    }
}

#[test]
fn of_an_engine() {
    mistakes(
        USAGE,
        &[
            ("engine --listen udp:127.0.0.1:5060", &["--to <URI>", "strowger engine --help"]),
            ("engine --lisen udp:127.0.0.1:5060 --to sip:192.0.2.9", &["--lisen", "'--listen'"]),
            ("engine --listen nonsense --to sip:192.0.2.9", &["--listen nonsense: `nonsense` is a name"]),
            ("engine --listen udp:0.0.0.0:5060 --to sip:192.0.2.9", &["nobody can send to 0.0.0.0"]),
            ("engine --listen udp:127.0.0.1:0 --to sip:192.0.2.9", &["`127.0.0.1:0` has port 0"]),
            (
                "engine --listen udp:127.0.0.1:5060 --listen udp:127.0.0.1:5060 --to sip:192.0.2.9",
                &["udp:127.0.0.1:5060 is given twice", "remove one of the two"],
            ),
            ("engine --to 192.0.2.9", &["--to 192.0.2.9: not a SIP URI", "write it as sip:HOST"]),
            ("engine --to sip:", &["--to sip:: not a SIP URI"]),
            ("engine --to sip:192.0.2.9 --to sip:192.0.2.9", &["--to sip:192.0.2.9 is given twice"]),
            ("engine --listen udp:127.0.0.1:5060 --to sip:127.0.0.1", &["each call would call itself"]),
            (
                "engine --listen udp:127.0.0.1:5070 --to sip:127.0.0.1 --lb 127.0.0.1",
                &["each call would call itself"],
            ),
            (
                "engine --listen tcp:127.0.0.1:5060 --to sip:192.0.2.9",
                &["no listener is for udp and IPv4", "add --listen udp:ADDRESS:PORT"],
            ),
            ("engine --to sip:[2001:db8::9]", &["no listener is for udp and IPv6"]),
            ("engine --to sip:192.0.2.9 --lb farm.example", &["--lb farm.example: `farm.example` is a name"]),
            ("engine --to sip:192.0.2.9 --lb tcp:192.0.2.1:5060", &["calls leave over UDP"]),
            ("engine --to sip:192.0.2.9 --mode prxy", &["'prxy'", "'proxy'"]),
            ("engine --to sip:192.0.2.9 --ring-max 0", &["0 is not in 1..=3600"]),
            ("engine --to sip:192.0.2.9 --state redis", &["--state redis is no address of a node"]),
            (
                "engine --to sip:192.0.2.9;transport=tcp --listen tcp:127.0.0.1:5060 --state 192.0.2.5:6379",
                &["--state: engines hand messages to each other over UDP"],
            ),
            ("engine --to sip:192.0.2.9 --state-password-file farm.password", &["--state <NODE>"]),
            (
                "engine --to sip:192.0.2.9 --state 192.0.2.5:6379 --state-password-file /nonexistent",
                &["--state-password-file: the password file /nonexistent: No such file"],
            ),
            (
                "engine --listen tls:127.0.0.1:5061 --to sips:192.0.2.9",
                &["a listener with TLS needs a certificate"],
            ),
        ],
    );
}

#[test]
fn of_an_engine_that_lacks_something() {
    let holder = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = format!("udp:{}", holder.local_addr().expect("its address"));
    let (here, there) = ("udp:127.0.0.1:5069", "--to sip:192.0.2.9");
    mistakes(
        FAILED,
        &[
            (&format!("engine --listen {taken} {there}"), &[&taken, "`ss -lntup` shows which"]),
            (&format!("engine --listen udp:192.0.2.77:5060 {there}"), &["no interface of this machine"]),
            (
                &format!("engine --listen {here} --to sip:nowhere.invalid"),
                &["no address of nowhere.invalid", "write the IP address"],
            ),
        ],
    );
}

/// A folder for a farm, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("strowger-mistakes-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its owner");
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn of_a_farm() {
    let folder = Folder::new("farm");
    let run = |options: &str| format!("run --folder {} {options}", folder.0.display());
    let listen = "--listen udp:127.0.0.1:5069";
    let usage: [(&str, &[&str]); 8] = [
        (listen, &["--to <URI>", "strowger run --help"]),
        ("--listen tcp:127.0.0.1:5069 --to sip:192.0.2.9", &["engines send through a listener for UDP"]),
        (&format!("{listen} {listen} --to sip:192.0.2.9"), &["is already used by the listener"]),
        (&format!("{listen} --to sip:127.0.0.1:5069"), &["each call would call itself"]),
        (&format!("{listen} --to sip:192.0.2.9 --engines 0"), &["--engines 0: 0 is out of range"]),
        (&format!("{listen} --to sip:192.0.2.9 --state redis"), &["redis: no address of a node"]),
        (
            &format!("{listen} --to sip:192.0.2.9 --state 192.0.2.5:6379 --state-user me"),
            &["a user of the state tier needs a password"],
        ),
        (
            &format!("{listen} --to sip:192.0.2.9 --state-password-file /nonexistent"),
            &["own state process needs no password"],
        ),
    ];
    for (options, expected) in usage {
        mistakes(USAGE, &[(&run(options), expected)]);
    }
    let failed: [(&str, &[&str]); 3] = [
        (&format!("{listen} --to sip:nowhere.invalid"), &["no address of nowhere.invalid"]),
        // Nobody listens at port 1.
        (
            &format!("{listen} --to sip:192.0.2.9 --state 127.0.0.1:1"),
            &["the state tier: 127.0.0.1:1", "start it (strowger state, or Redis"],
        ),
        ("--folder /nonexistent/farm", &[]),
    ];
    for (options, expected) in failed {
        match options.strip_prefix("--folder ") {
            Some(path) => {
                let line = format!("run --folder {path} {listen} --to sip:192.0.2.9");
                mistakes(FAILED, &[(&line, &[path, "(--folder)"])]);
            }
            None => mistakes(FAILED, &[(&run(options), expected)]),
        }
    }
}

#[test]
fn in_the_file_of_a_farm() {
    let folder = Folder::new("file");
    let path = folder.file("farm.toml");
    let udp = "[[listen]]\naddress = \"udp:127.0.0.1:5069\"\n";
    let with = |run: &str| format!("{udp}[run]\n{run}\n");
    let cases: [(String, &str); 9] = [
        (with("to = [\"192.0.2.9\"]"), ":4:6: 192.0.2.9: not a SIP URI"),
        (with("to = [\"sip:127.0.0.1:5069\"]"), ":4:6: sip:127.0.0.1:5069: it is an address of our own"),
        (with("to = [\"sip:192.0.2.9\", \"sip:192.0.2.9\"]"), ":4:6: sip:192.0.2.9 is named twice"),
        (with("engine = 3"), ":4:1: unknown key `engine`"),
        (with("to = [\"sip:192.0.2.9\"]\nengines = 99"), ":5:11: `engines`: 99 is out of range"),
        (with("to = [\"sip:192.0.2.9\"]\nstate = [\"redis\"]"), ":5:9: redis: no address of a node"),
        (
            with("to = [\"sip:192.0.2.9\"]\nstate = [\"a:1\"]\nstate_password_file = \"/nonexistent\""),
            ":6:23: /nonexistent cannot be read",
        ),
        (with("to = [\"sip:192.0.2.9\"]\nstate_user = \"me\""), ":5:14: a user of the state tier needs"),
        (udp.to_owned(), "nobody is named who gets the calls"),
    ];
    for (text, named) in cases {
        fs::write(&path, text).expect("a file");
        let line = format!("run --folder {} --config {path}", folder.0.display());
        mistakes(USAGE, &[(&line, &[named, "farm.toml"])]);
    }
    assert!(!Path::new(&folder.file("lb.log")).exists(), "nothing was started");
}

#[test]
fn of_a_state_tier() {
    mistakes(
        USAGE,
        &[
            ("state --listen /tmp/socket", &["write unix:/PATH"]),
            ("state --memory 4", &["write 512M or 4G; the least is 16M"]),
            ("state --check-redis redis", &["redis is no address of a node"]),
            ("state --cluster", &["--redis-conf"]),
            ("state --redis-conf --effects file", &["--effects <FILE>"]),
        ],
    );
    let folder = Folder::new("state");
    let socket = folder.file("socket");
    let holder = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    mistakes(
        FAILED,
        &[
            ("state --listen unix:/nonexistent/socket", &["/nonexistent/socket: No such", "make the folder"]),
            (&format!("state --listen unix:{socket}"), &[&socket, "end the other process"]),
            (
                &format!("state --listen unix:{} --effects /nonexistent/file", folder.file("other")),
                &["--effects /nonexistent/file: No such file"],
            ),
            // Nobody listens at port 1.
            ("state --check-redis 127.0.0.1:1", &["127.0.0.1:1: Connection refused", "start the server"]),
            ("state --check-redis 127.0.0.1:1 --user me", &["--user needs a password", "--password-file"]),
        ],
    );
    drop(holder);
}
