//! What runs where: the addresses of a farm, and the command line of each of its processes.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use config::{Generated, Run};
use lb::farm::condition::Condition;

use super::folder::Folder;
use crate::report::status::{ServerStatus, StatusReport};

/// Ports are taken from here on: below the range that systems give out by themselves.
const FIRST_PORT: u16 = 15_060;
/// Ports that are tried.
const PORTS: u16 = 2_000;
/// An engine that answers nothing for so long is killed: longer than a machine that is moved or frozen for a moment stands still.
const HUNG_MS: u64 = 10_000;
/// An engine that is replaced gets no new calls for so long before it ends, milliseconds.
const DRAIN_MS: u32 = 300;

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) run: Run,
    /// The program as it lies on the disk: after it was replaced, children are started from the new one.
    pub(crate) program: PathBuf,
    pub(crate) engines: Vec<SocketAddr>,
    /// The socket of the farm's own state process.
    pub(crate) own_state: Option<PathBuf>,
}

impl Plan {
    /// What a file may leave out.
    pub(crate) fn generated(folder: &Folder, control: PathBuf) -> io::Result<Generated> {
        let ports = free_ports(Ipv4Addr::LOCALHOST.into(), FIRST_PORT, 1)?;
        let heartbeat = (Ipv4Addr::LOCALHOST, ports[0]).into();
        Ok(Generated { heartbeat, key_file: folder.keys(), control })
    }

    pub(crate) fn new(run: Run, folder: &Folder) -> io::Result<Plan> {
        let (through, _) = run.through;
        let own_state = run.state.is_empty().then(|| folder.file("state.sock"));
        let ip = match (&own_state, through.ip()) {
            // Engines of other machines may know the same state tier, and write to the engines here.
            (None, ip) if !ip.is_unspecified() => ip,
            (_, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
            (_, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
        };
        let heartbeats = run.heartbeats.0.port();
        let from = if heartbeats >= FIRST_PORT { heartbeats.saturating_add(1) } else { FIRST_PORT + 1 };
        let ports = free_ports(ip, from, run.engines)?;
        let engines = ports.into_iter().map(|port| (ip, port).into()).collect();
        Ok(Plan { run, program: std::env::current_exe()?, engines, own_state })
    }

    /// Another configuration for the same places.
    pub(crate) fn change(&mut self, run: Run) {
        self.run = Run { engines: self.engines.len(), ..run };
    }

    /// Whether this engine takes calls, as the load manager sees it.
    pub(crate) fn is_active(&self, index: usize, report: &StatusReport) -> bool {
        takes_calls(self.engines[index], report)
    }

    /// The nodes of the state tier.
    pub(crate) fn nodes(&self) -> Vec<String> {
        match &self.own_state {
            Some(path) => vec![format!("unix:{}", path.display())],
            None => self.run.state.clone(),
        }
    }

    pub(crate) fn lb(&self, folder: &Folder) -> Vec<OsString> {
        words(["lb", "--config"]).chain([folder.file("farm.toml").into()]).collect()
    }

    /// The load manager's file. It names the engines, so that a load manager that was started again knows them before their
    /// first heartbeats.
    pub(crate) fn lb_text(&self) -> String {
        let server = |engine: &SocketAddr| format!("\n[[server]]\naddress = \"udp:{engine}\"\n");
        self.engines.iter().map(server).fold(self.run.lb_text.clone(), |text, server| text + &server)
    }

    /// `None`: the state tier is an outside one.
    pub(crate) fn state(&self, folder: &Folder) -> Option<Vec<OsString>> {
        self.own_state.as_ref()?;
        let memory = format!("{}M", self.run.memory_mib);
        let control = words(["--control"]).chain([Plan::control("state", folder).into()]);
        Some(words(["state", "--listen", &self.nodes()[0], "--memory", &memory]).chain(control).collect())
    }

    /// An agent with its engine.
    pub(crate) fn agent(&self, index: usize, folder: &Folder) -> Vec<OsString> {
        let (to, period) = self.run.heartbeats;
        let own = self.engines[index];
        let number = index + 1;
        let mut arguments: Vec<OsString> =
            words(["agent", "--sip", &own.to_string(), "--to", &to.to_string()])
                .chain(words(["--id", &number.to_string(), "--period-ms", &period.as_millis().to_string()]))
                .chain(words(["--state-tier", &tier(&self.nodes()).to_string(), "--give-up", "never"]))
                .chain(words(["--hung-ms", &HUNG_MS.to_string()]))
                .chain(words(["--restart-delay-max-ms", "5000", "--stop-timeout-ms", "2000"]))
                .chain(words(["--drain-ms", &DRAIN_MS.to_string(), "--state-file"]))
                .chain([self.remembered(index, folder).into()])
                .collect();
        if let Some(keys) = &self.run.key_file {
            arguments.extend(words(["--key-file"]).chain([keys.into()]));
        }
        arguments.push("--".into());
        arguments.push(self.program.clone().into());
        arguments.extend(self.engine(own));
        arguments
            .extend(words(["--control"]).chain([Plan::control(&format!("engine-{number}"), folder).into()]));
        arguments
    }

    /// The control socket of an engine or of the state process.
    fn control(name: &str, folder: &Folder) -> PathBuf {
        folder.file(&format!("{name}.control.sock"))
    }

    /// What an agent that dies leaves for the next one. A file for each run: agents of a run that was killed may still be ending.
    pub(crate) fn remembered(&self, index: usize, folder: &Folder) -> PathBuf {
        folder.file(&format!("engine-{}.{}", index + 1, std::process::id()))
    }

    fn engine(&self, own: SocketAddr) -> Vec<OsString> {
        let run = &self.run;
        let both = [format!("udp:{own}"), format!("tcp:{own}")];
        let mut arguments: Vec<OsString> = words(["engine", "--listen", &both[0], "--listen", &both[1]])
            .chain(words(["--lb", &run.through.1.to_string(), "--workers", &run.workers.to_string()]))
            .chain(words(["--ring-max", &run.ring_max.as_secs().to_string()]))
            .collect();
        for uri in &run.to {
            arguments.extend(words(["--to", uri]));
        }
        for node in self.nodes() {
            arguments.extend(words(["--state", &node]));
        }
        if let Some(user) = &run.state_user {
            arguments.extend(words(["--state-user", user]));
        }
        if let Some(file) = &run.state_password_file {
            arguments.extend(words(["--state-password-file"]).chain([file.into()]));
        }
        arguments
    }
}

fn takes_calls(engine: SocketAddr, report: &StatusReport) -> bool {
    let row = report.servers.iter().find(|server| server.address == Some(engine));
    // Without a heartbeat nobody knows whether it is there. One that has just come is judged already, while the active table is
    // still the one from before.
    let is_well = |row: &ServerStatus| row.heartbeat_id.is_some() && row.state == Condition::Active.name();
    row.is_some_and(|row| is_well(row) && report.active.contains(&row.index))
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = OsString> {
    words.into_iter().map(OsString::from).collect::<Vec<_>>().into_iter()
}

/// An id for a state tier, the same wherever its nodes are named: FNV-1a over their sorted names.
fn tier(nodes: &[String]) -> u64 {
    let mut nodes = nodes.to_vec();
    nodes.sort();
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    nodes.join(" ").as_bytes().iter().fold(0xCBF2_9CE4_8422_2325, step)
}

/// Ports of this address that nobody uses now, for UDP and TCP. Another process could take one before a child does.
pub(crate) fn free_ports(ip: IpAddr, from: u16, count: usize) -> io::Result<Vec<u16>> {
    let is_free = |port: &u16| UdpSocket::bind((ip, *port)).is_ok() && TcpListener::bind((ip, *port)).is_ok();
    let last = from.saturating_add(PORTS);
    let ports: Vec<u16> = (from..last).filter(is_free).take(count).collect();
    match ports.len() == count {
        true => Ok(ports),
        false => {
            let text = format!(
                "{ip} has no {count} free ports from {from} to {last}: is it an address of this machine?"
            );
            Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_a_state_tier_depends_on_its_nodes_alone() {
        let nodes = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let both = tier(&nodes(&["192.0.2.5:6379", "192.0.2.6:6379"]));
        assert_eq!(both, tier(&nodes(&["192.0.2.6:6379", "192.0.2.5:6379"])));
        assert_ne!(both, tier(&nodes(&["192.0.2.5:6379"])));
    }

    #[test]
    fn an_engine_takes_calls_when_its_heartbeat_and_the_active_table_say_so() {
        let engine = SocketAddr::from(([127, 0, 0, 1], 15_061));
        let report = |heartbeat_id, condition: Condition, active| StatusReport {
            servers: vec![ServerStatus {
                address: Some(engine),
                heartbeat_id,
                state: condition.name().into(),
                ..ServerStatus::default()
            }],
            active,
            ..StatusReport::default()
        };
        assert!(takes_calls(engine, &report(Some(1), Condition::Active, vec![0])));
        for not_yet in [
            report(None, Condition::Active, vec![0]),
            // It said stopped a moment ago.
            report(Some(1), Condition::Failed, vec![0]),
            // It said started a moment ago.
            report(Some(1), Condition::Active, vec![]),
            StatusReport::default(),
        ] {
            assert!(!takes_calls(engine, &not_yet), "{not_yet:?}");
        }
    }

    #[test]
    fn ports_in_use_are_left_out() {
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let first = free_ports(ip, FIRST_PORT, 1).unwrap()[0];
        let taken = TcpListener::bind((ip, first)).unwrap();
        assert!(!free_ports(ip, FIRST_PORT, 3).unwrap().contains(&first));
        drop(taken);
        let not_ours = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(free_ports(not_ours, FIRST_PORT, 1).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
