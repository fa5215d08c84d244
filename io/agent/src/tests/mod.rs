//! The agent as a process beside real servers: it is started, killed and signalled from outside, and judged by what it
//! sends.
//!
//! This test binary is agent and server as well: the ignored tests at the end are those processes, started by the other
//! tests.

mod adoption;
mod cluster;
mod control_socket;
mod log;
mod stopping;
mod supervision;
mod wire;

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use heartbeat::{Heartbeat, ServerState, Transport};

use crate::control;
use crate::settings::{ReadyCheck, Settings, ShardSettings};
use crate::supervise::GiveUp;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Longest wait for anything: a loaded machine is slow, a broken agent is slower.
const PATIENCE: Duration = Duration::from_secs(10);

/// Of all servers; each has an address of its own.
const SIP_PORT: u16 = 5060;

/// A receiver in place of a load manager, an agent, and its files. Dropping it ends and removes all of them.
pub(crate) struct Rig {
    folder: PathBuf,
    ear: UdpSocket,
    pub(crate) sip: SocketAddr,
    key: Option<&'static str>,
    agent: Option<Child>,
    /// Servers seen; the rig ends them.
    servers: Vec<i32>,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig::listening_at("127.0.0.1:0")
    }

    pub(crate) fn listening_at(ear: &str) -> Rig {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("strowger-agent-{}-{n}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ear = UdpSocket::bind(ear).unwrap();
        let sip = SocketAddr::from((own_address(n), SIP_PORT));
        Rig { folder, ear, sip, key: None, agent: None, servers: Vec::new() }
    }

    pub(crate) fn with_key(mut self) -> Rig {
        self.key = Some(KEY);
        self
    }

    pub(crate) fn ear(&self) -> &UdpSocket {
        &self.ear
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts an agent for `sh -c command`. `settings` are pairs for [`settings_of`].
    pub(crate) fn start(&mut self, command: &str, settings: &[(&str, &str)]) {
        let mut all = vec![
            ("sip".to_owned(), self.sip.to_string()),
            ("to".to_owned(), self.ear.local_addr().unwrap().to_string()),
            ("state_file".to_owned(), self.file("state").display().to_string()),
            ("control".to_owned(), self.file("control").display().to_string()),
            ("command".to_owned(), command.to_owned()),
        ];
        all.extend(self.key.map(|key| ("key".to_owned(), key.to_owned())));
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let text: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.file("log")).unwrap();
        let mut process = this_binary("tests::agent_process");
        process.env("STROWGER_TEST_AGENT", text.join("\n")).stderr(log);
        // The agent blocks its signals itself, but the test harness has another thread before that.
        unsafe {
            process.pre_exec(|| {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                for signal in crate::signals::STOP.into_iter().chain(crate::signals::PASSED) {
                    libc::sigaddset(&mut set, signal);
                }
                libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
                Ok(())
            });
        }
        self.agent = Some(process.spawn().unwrap());
    }

    /// The next heartbeat, which must be good.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        self.ear.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 600];
        let (length, _) = self.ear.recv_from(&mut buffer).expect("a heartbeat");
        Heartbeat::decode(&buffer[..length], self.key.map(str::as_bytes)).expect("a good heartbeat")
    }

    /// Where the next heartbeat comes from.
    pub(crate) fn heartbeat_from(&self) -> SocketAddr {
        self.ear.set_read_timeout(Some(PATIENCE)).unwrap();
        self.ear.recv_from(&mut [0; 600]).expect("a heartbeat").1
    }

    /// Waits for a heartbeat with `state`; returns all heartbeats that came, with that heartbeat last.
    pub(crate) fn until(&self, state: ServerState) -> Vec<Heartbeat> {
        let begin = Instant::now();
        let mut all = Vec::new();
        while begin.elapsed() < PATIENCE {
            let heartbeat = self.heartbeat();
            all.push(heartbeat);
            if heartbeat.state == state {
                return all;
            }
        }
        panic!("no heartbeat said {state} within {PATIENCE:?}:\n{}", self.log());
    }

    /// The heartbeats that wait in the socket now.
    pub(crate) fn pending(&self) -> Vec<Heartbeat> {
        self.ear.set_nonblocking(true).unwrap();
        let mut all = Vec::new();
        let mut buffer = [0; 600];
        while let Ok((length, _)) = self.ear.recv_from(&mut buffer) {
            all.push(Heartbeat::decode(&buffer[..length], self.key.map(str::as_bytes)).unwrap());
        }
        self.ear.set_nonblocking(false).unwrap();
        all
    }

    pub(crate) fn tell(&self, command: control::Command) -> HashMap<String, String> {
        let text = control::tell(&self.file("control"), command).unwrap();
        text.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// The pid of the server, as the agent tells.
    pub(crate) fn server(&mut self) -> i32 {
        let pid = self.tell(control::Command::Status)["pid"].parse().unwrap();
        self.servers.push(pid);
        pid
    }

    pub(crate) fn agent(&mut self) -> &mut Child {
        self.agent.as_mut().expect("an agent was started")
    }

    pub(crate) fn signal_agent(&mut self, signal: i32) {
        kill(self.agent().id() as i32, signal);
    }

    /// Waits for the agent's end.
    pub(crate) fn agent_exit(&mut self) -> ExitStatus {
        let mut exit = None;
        eventually("the agent ends", || {
            exit = self.agent().try_wait().unwrap();
            exit.is_some()
        });
        exit.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn logged(&self, times: usize, what: &str) {
        let log = self.log();
        assert_eq!(log.matches(what).count(), times, "{what:?} in:\n{log}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // The server that the agent knows is ended, too; first the agent, so that it starts no other server.
        if let Ok(text) = fs::read_to_string(self.file("state"))
            && let Some(pid) = text.lines().find_map(|line| line.strip_prefix("pid "))
        {
            self.servers.extend(pid.parse::<i32>().ok().filter(|pid| *pid > 1));
        }
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        for server in &self.servers {
            crate::proc::signal_session(*server, libc::SIGKILL);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A loopback address that no other test uses. A port of 127.0.0.1 that was free a moment ago may be given to the next connection
/// of any program.
fn own_address(n: u32) -> Ipv4Addr {
    const TESTS_OF_A_PROCESS: u32 = 128;
    // 127.0.0.0 and the addresses next to it are others'.
    const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 0]);
    const COUNT: u32 = 0x00fe_0000;
    let number = std::process::id().wrapping_mul(TESTS_OF_A_PROCESS).wrapping_add(n);
    Ipv4Addr::from_bits(FIRST + number % COUNT)
}

pub(crate) fn kill(pid: i32, signal: i32) {
    assert!(pid > 1, "not a process of ours");
    // SAFETY: kill takes any numbers.
    unsafe { libc::kill(pid, signal) };
}

/// Whether the process runs. A process that has ended but is not reaped does not run.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    stat.is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn this_binary(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture", "--quiet"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A shell command that becomes a server at `address` (`udp:…` or `tcp:…`), which opens its port after `delay_ms`.
pub(crate) fn server_at(address: &str, delay_ms: u32) -> String {
    let binary = std::env::current_exe().unwrap();
    format!(
        "STROWGER_TEST_SERVER='{address} {delay_ms}' exec '{}' --exact tests::server_process --ignored --nocapture --quiet",
        binary.display()
    )
}

fn settings_of(text: &str) -> Settings {
    let pairs: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let get = |name: &str| pairs.get(name).copied();
    let millis = |name: &str| get(name).map(|value| Duration::from_millis(value.parse().unwrap()));
    let command = match get("program") {
        Some(program) => vec![program.into()],
        None => ["sh", "-c", pairs["command"]].map(Into::into).to_vec(),
    };
    let to = pairs["to"].split(' ').map(|to| to.parse().unwrap()).collect();
    let place = pairs["sip"].parse().unwrap();
    let mut settings = match get("redis") {
        Some(_) => Settings::of_shard(place, ShardSettings::default(), command),
        None => Settings::new(place, to, command),
    };
    settings.server_id = 42;
    settings.hung_after = millis("hung_ms");
    settings.state_file = get("state_file").map(PathBuf::from);
    settings.control = get("control").map(PathBuf::from);
    settings.query = get("query").map(|at| at.parse().unwrap());
    settings.state_tier = get("state_tier").map(|id| id.parse().unwrap());
    settings.figures_from = get("figures_from").map(PathBuf::from);
    settings.key = get("key").map(|key| key.as_bytes().to_vec().into());
    settings.interface = get("interface").map(|at| at.parse().unwrap());
    settings.ready.check = match get("ready") {
        Some("options") => ReadyCheck::Options,
        Some("port") => ReadyCheck::Port,
        _ => ReadyCheck::None,
    };
    if get("transport") == Some("tcp") {
        settings.transport = Transport::Tcp;
    }
    // Out of reach unless the test asks: a busy machine would add heartbeats that a test does not expect.
    settings.cpu_high_permille = get("cpu_high_permille").map_or(1001, |value| value.parse().unwrap());
    let policy = &mut settings.policy;
    settings.collect = millis("collect_ms");
    settings.period = millis("period_ms").unwrap_or(Duration::from_millis(100));
    policy.restart_delay = millis("restart_delay_ms").unwrap_or(policy.restart_delay);
    policy.drain = millis("drain_ms").unwrap_or(Duration::ZERO);
    policy.stop_timeout = millis("stop_timeout_ms").unwrap_or(policy.stop_timeout);
    if let Some(restarts) = get("give_up") {
        policy.give_up =
            Some(GiveUp { restarts: restarts.parse().unwrap(), window: Duration::from_secs(60) });
    }
    settings
}

#[test]
#[ignore = "is the agent that other tests start"]
fn agent_process() {
    let settings =
        std::env::var("STROWGER_TEST_AGENT").expect("the settings, from the test that starts this");
    tracing::subscriber::set_global_default(log::Lines).expect("no other log in this process");
    let code = crate::run(settings_of(&settings));
    // An ExitCode cannot be read; these are the codes that `run` returns.
    let code = [0, 1, 2].into_iter().find(|n| std::process::ExitCode::from(*n) == code);
    std::process::exit(code.map_or(9, i32::from));
}

#[test]
#[ignore = "is the server that other tests start"]
fn server_process() {
    let setting = std::env::var("STROWGER_TEST_SERVER").expect("the address, from the test that starts this");
    let (address, delay_ms) = setting.split_once(' ').unwrap();
    std::thread::sleep(Duration::from_millis(delay_ms.parse().unwrap()));
    let (transport, address) = address.split_once(':').unwrap();
    // Ends by itself if nobody ends it.
    let end = Instant::now() + Duration::from_secs(60);
    if transport == "tcp" {
        let _listener = std::net::TcpListener::bind(address).unwrap();
        std::thread::sleep(end - Instant::now());
    } else {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut buffer = [0; 2000];
        while Instant::now() < end {
            if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                socket.send_to(b"SIP/2.0 404 Not Found\r\nContent-Length: 0\r\n\r\n", from).unwrap();
            }
        }
    }
}
