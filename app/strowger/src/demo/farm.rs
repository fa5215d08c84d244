//! The processes of the demo: one load manager, and servers under their agents. All are children of this process, and all
//! use loopback. They end with this process, however it ends.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::ctl::socket;
use crate::report::status::StatusReport;
use crate::run::child::{child_of, last_lines, signal, spawn, wait_or_kill};

/// Time between two heartbeats, milliseconds: less than a third of the usual time, so that the demo is short.
const HEARTBEAT_MS: u32 = 300;
/// A server is failed after this many periods without a heartbeat. On a busy machine all agents may be late at once, and a farm
/// in which all servers are failed refuses calls: the demo must bear 1.5 s.
const DECAY_PERIODS: u32 = 5;
/// Time from the 180 to the 200, milliseconds: because of it, some calls are being set up at any moment.
const ANSWER_MS: u32 = 400;
/// Longest wait until all servers are known.
const START_PATIENCE: Duration = Duration::from_secs(15);
/// Time from SIGTERM to the kill.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

pub(crate) struct Settings {
    pub(crate) affinity: String,
    pub(crate) selection: String,
    pub(crate) servers: usize,
    /// All ports: load manager, heartbeats, then the servers.
    pub(crate) ports: Vec<u16>,
}

pub(crate) struct Farm {
    folder: PathBuf,
    lb: Child,
    agents: Vec<Child>,
    servers: Vec<SocketAddr>,
    keep_folder: bool,
}

/// Free UDP ports of loopback, all different. They are free now; another process could take one before this one does.
pub(crate) fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let sockets: Vec<UdpSocket> =
        (0..count).map(|_| UdpSocket::bind(("127.0.0.1", 0))).collect::<io::Result<_>>()?;
    sockets.iter().map(|socket| socket.local_addr().map(|address| address.port())).collect()
}

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

impl Farm {
    /// Starts everything and waits until the load manager knows all servers.
    pub(crate) fn start(settings: &Settings) -> io::Result<Farm> {
        let program = std::env::current_exe()?;
        let folder = std::env::temp_dir().join(format!("strowger-demo-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        let keys = folder.join("farm.keys");
        fs::write(
            &keys,
            format!("{}\n{}\n", config::fresh_tag_line(None)?, config::fresh_heartbeat_line()?),
        )?;
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600))?;
        let heartbeat_port = settings.ports[1];
        fs::write(folder.join("farm.toml"), configuration(settings, &folder))?;

        let mut command = Command::new(&program);
        command.arg("lb").arg("--config").arg(folder.join("farm.toml"));
        let lb = spawn(command, &folder.join("lb.log"))?;
        let servers: Vec<SocketAddr> =
            settings.ports[2..].iter().take(settings.servers).map(|port| loopback(*port)).collect();
        let mut farm = Farm { folder, lb, agents: Vec::new(), servers, keep_folder: false };
        for index in 0..farm.servers.len() {
            let agent = farm.agent(&program, index, heartbeat_port, &keys)?;
            farm.agents.push(agent);
        }
        farm.wait_until_known()?;
        Ok(farm)
    }

    fn agent(&self, program: &Path, index: usize, heartbeat_port: u16, keys: &Path) -> io::Result<Child> {
        let server = self.servers[index];
        let mut command = Command::new(program);
        command
            .args(["agent", "--sip", &server.to_string(), "--to", &loopback(heartbeat_port).to_string()])
            .args(["--id", &index.to_string(), "--period-ms", &HEARTBEAT_MS.to_string()])
            .args(["--drain-ms", "0", "--stop-timeout-ms", "1000", "--key-file"])
            .arg(keys)
            .arg("--")
            .arg(program)
            .args(["answer", "--listen", &format!("udp:{server}"), "--take-over"])
            .args(["--answer-ms", &ANSWER_MS.to_string()]);
        spawn(command, &self.folder.join(format!("agent-{index}.log")))
    }

    fn wait_until_known(&mut self) -> io::Result<()> {
        let end = Instant::now() + START_PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.lb.try_wait()? {
                return Err(self.failed(&format!("the load manager ended: {status}"), "lb.log"));
            }
            for index in 0..self.agents.len() {
                if let Some(status) = self.agents[index].try_wait()? {
                    return Err(
                        self.failed(&format!("agent {index} ended: {status}"), &format!("agent-{index}.log"))
                    );
                }
            }
            if self.report().is_ok_and(|report| report.active.len() >= self.servers.len()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let seconds = START_PATIENCE.as_secs();
        Err(self.failed(&format!("the load manager does not know all servers after {seconds} s"), "lb.log"))
    }

    fn failed(&mut self, what: &str, log: &str) -> io::Error {
        self.keep_folder = true;
        let path = self.folder.join(log);
        io::Error::other(format!(
            "{what}\n  {}\n  remedy: look at the logs in {}",
            last_lines(&path),
            self.folder.display()
        ))
    }

    pub(crate) fn report(&self) -> io::Result<StatusReport> {
        socket::ask(&self.folder.join("control.sock"))
    }

    pub(crate) fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Requests that another server took over, counted from the load manager's fault records.
    pub(crate) fn faults(&self) -> usize {
        fs::read_to_string(self.folder.join("faults.json")).map_or(0, |text| text.lines().count())
    }

    /// The process of a server: the child of its agent.
    pub(crate) fn server_process(&self, index: usize) -> Option<i32> {
        let agent = self.agents.get(index)?.id();
        child_of(agent)
    }

    /// Kills an agent, so that its server has no agent any more.
    pub(crate) fn kill_agent(&mut self, index: usize) {
        if let Some(agent) = self.agents.get_mut(index) {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }

    /// Fails if a process that should run has ended.
    pub(crate) fn check(&mut self) -> io::Result<()> {
        if let Some(status) = self.lb.try_wait()? {
            return Err(self.failed(&format!("the load manager ended: {status}"), "lb.log"));
        }
        Ok(())
    }

    /// Keeps the logs for the operator.
    pub(crate) fn keep_logs(&mut self) -> &Path {
        self.keep_folder = true;
        &self.folder
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        let servers: Vec<i32> =
            (0..self.agents.len()).filter_map(|index| self.server_process(index)).collect();
        for child in self.agents.iter().chain([&self.lb]) {
            signal(child.id() as i32, libc::SIGTERM);
        }
        let end = Instant::now() + STOP_PATIENCE;
        for child in self.agents.iter_mut().chain([&mut self.lb]) {
            wait_or_kill(child, end);
        }
        // If the agent was killed, its server is still running: agents leave their servers running.
        let program = std::env::current_exe().ok();
        for process in servers {
            if program.is_some() && fs::read_link(format!("/proc/{process}/exe")).ok() == program {
                signal(process, libc::SIGKILL);
            }
        }
        if !self.keep_folder {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn configuration(settings: &Settings, folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "[[listen]]\naddress = \"udp:{}\"\n\n[affinity]\nkind = \"{}\"\n\n[selection]\nkind = \"{}\"\n\n\
         [heartbeat]\nlisten = \"{}\"\nperiod_ms = {HEARTBEAT_MS}\ndecay_periods = {DECAY_PERIODS}\n\n[hold_setup]\nkind = \"all\"\n\n\
         [keys]\nfile = {:?}\n\n[control]\npath = {:?}\n\n[log]\nfaults = {:?}\n",
        loopback(settings.ports[0]),
        settings.affinity,
        settings.selection,
        loopback(settings.ports[1]),
        file("farm.keys"),
        file("control.sock"),
        file("faults.json"),
    )
}
