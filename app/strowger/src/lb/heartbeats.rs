//! The heartbeat port. Each datagram is decoded, its signature and its count are checked, and its content goes into the
//! server table. From here the servers of a state tier are told that one of them is gone.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use base::{Key, Time};
use heartbeat::datagram::DATAGRAM_BYTES_MAX;
use heartbeat::notice::Sender;
use heartbeat::{Heartbeat, Ignored, Replay};
use lb::farm::server_table::{DeathNotice, Refusal, ServerTable};
use lb::settings;
use tracing::{info, warn};

use crate::lb::sockets::Sockets;
use crate::process::ports;

/// Senders whose counts are remembered: more than the largest table has rows.
const SENDERS_MAX: usize = 8192;
/// The number of the control thread among those of a process that tell; workers have lower numbers.
const TELLER: u8 = u8::MAX;

/// The counts of heartbeats.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeartbeatCounts {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) ignored: [u64; Ignored::ALL.len()],
}

pub(crate) struct Heartbeats {
    socket: Option<UdpSocket>,
    key: Option<Key>,
    replay: HashMap<SocketAddr, Replay>,
    /// Who tells of deaths, for those that are told.
    sender: Sender,
    pub(crate) counts: HeartbeatCounts,
}

impl Heartbeats {
    /// Opens the port, if one is configured. `run`: chance, which distinguishes this run from all others.
    pub(crate) fn open(
        settings: &settings::Heartbeats,
        key: Option<Key>,
        run: u32,
        sockets: &Sockets,
    ) -> io::Result<Heartbeats> {
        let socket = match settings.listen {
            None => None,
            Some(listen) => {
                let name = format!("heartbeats at {listen}, group {:?}", settings.group);
                Some(sockets.take_or(&name, || heartbeat_socket(settings, listen))?)
            }
        };
        let sender = Sender::new(run.into(), TELLER);
        let counts = HeartbeatCounts::default();
        Ok(Heartbeats { socket, key, replay: HashMap::new(), sender, counts })
    }

    /// Hears and tells nothing from now on.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }

    /// Heartbeats must be signed with this key from now on.
    pub(crate) fn set_key(&mut self, key: Option<Key>) {
        self.key = key;
    }

    pub(crate) fn fd(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Takes at most `budget` heartbeats into the table, and returns how many.
    pub(crate) fn take(&mut self, now: Time, budget: usize, table: &mut ServerTable) -> usize {
        let mut bytes = [0u8; DATAGRAM_BYTES_MAX + 1];
        let mut taken = 0;
        while taken < budget {
            let Some(socket) = &self.socket else { break };
            // There is nothing, or an error of an earlier datagram: in both cases the next turn looks again.
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { break };
            taken += 1;
            self.take_one(now, &bytes[..length], from, table);
        }
        taken
    }

    /// Tells servers of deaths in their state tier, at the address that their heartbeats come from. Nobody repeats a datagram
    /// that is lost: the state tier says the same a little later.
    pub(crate) fn tell(&mut self, deaths: &[DeathNotice], clock_micros: u64) {
        let Some(socket) = &self.socket else { return };
        for DeathNotice { death, to } in deaths {
            let (sender, count) = self.sender.next(clock_micros);
            let bytes = death.encode(sender, count, self.key.as_deref());
            let told = to.iter().filter(|to| socket.send_to(&bytes, **to).is_ok()).count();
            info!(
                "{told} of {} servers of its state tier are told that server {} is gone",
                to.len(),
                death.sip
            );
        }
    }

    fn take_one(&mut self, now: Time, bytes: &[u8], from: SocketAddr, table: &mut ServerTable) {
        let heartbeat = Heartbeat::decode(bytes, self.key.as_deref()).and_then(|heartbeat| {
            self.admit(now, &heartbeat, table)?;
            Ok(heartbeat)
        });
        match heartbeat {
            Err(ignored) => self.ignored(ignored, bytes, from),
            Ok(heartbeat) => {
                let ip = heartbeat.sip_address.unwrap_or(from.ip());
                match table.heartbeat(now, ip, &heartbeat) {
                    Ok(heard) => {
                        self.counts.accepted += 1;
                        if heartbeat.state_tier.is_some() {
                            table.heard_from(SocketAddr::new(ip, heartbeat.sip_port), from);
                        }
                        if heard.joined {
                            let (server, id) = (SocketAddr::new(ip, heartbeat.sip_port), heartbeat.server_id);
                            info!("server {server} joins by heartbeat, id {id}");
                        }
                        if let Some(before) = heard.moved_from {
                            let (server, id) = (SocketAddr::new(ip, heartbeat.sip_port), heartbeat.server_id);
                            info!("server id {id} has moved from {before} to {server}");
                        }
                        if let Some(other) = heard.same_id_as {
                            let id = heartbeat.server_id;
                            warn!(
                                "servers {ip}:{} and {other} send the same heartbeat id {id}",
                                heartbeat.sip_port
                            );
                        }
                    }
                    Err(refusal) => self.refused(&refusal),
                }
            }
        }
    }

    /// A count proves nothing without a key, so it is only checked with a key.
    fn admit(&mut self, now: Time, heartbeat: &Heartbeat, table: &mut ServerTable) -> Result<(), Ignored> {
        if self.key.is_none() {
            return Ok(());
        }
        // The table refuses a heartbeat without an address; such a heartbeat must not take a place here.
        let Some(ip) = heartbeat.sip_address else { return Ok(()) };
        let sender = SocketAddr::new(ip, heartbeat.sip_port);
        if self.replay.len() >= SENDERS_MAX && !self.replay.contains_key(&sender) {
            return Err(Ignored::Replayed);
        }
        let replay = self.replay.entry(sender).or_default();
        let admitted = replay.admit(heartbeat);
        if admitted.is_err() {
            let behind = replay.behind(heartbeat);
            if table.replayed(now, sender, behind) {
                warn!(
                    "heartbeats of {sender} are refused as replayed: the clock of the server is {} s behind; remedy: set that clock, or give \
                     the agent a --state-file, which keeps the count over restarts",
                    behind.as_secs()
                );
            }
        }
        admitted
    }

    /// Logged only now and then, because a sender of wrong datagrams sends many. The server table reports replayed
    /// heartbeats.
    fn ignored(&mut self, ignored: Ignored, bytes: &[u8], from: SocketAddr) {
        let count = &mut self.counts.ignored[ignored.index()];
        *count += 1;
        if ignored == Ignored::Replayed || !count.is_power_of_two() {
            return;
        }
        let what = heartbeat::form::named(bytes);
        warn!("datagram ignored at the heartbeat port: {what} from {from}: {ignored} ({count} so far)");
    }

    /// Logged only now and then, not for each heartbeat: a farm that is too large for its table repeats its heartbeats.
    fn refused(&mut self, refusal: &Refusal) {
        self.counts.refused += 1;
        if self.counts.refused.is_power_of_two() {
            warn!("{refusal} ({} heartbeats refused so far)", self.counts.refused);
        }
    }
}

fn heartbeat_socket(settings: &settings::Heartbeats, listen: SocketAddr) -> io::Result<UdpSocket> {
    let context = |error: io::Error| ports::unavailable(&format!("{listen} (heartbeat.listen)"), &error);
    let socket = UdpSocket::bind(listen).map_err(context)?;
    socket.set_nonblocking(true)?;
    match settings.group {
        None => {}
        Some(IpAddr::V4(group)) => {
            let interface = match listen.ip() {
                IpAddr::V4(ip) if !ip.is_multicast() => ip,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            socket.join_multicast_v4(&group, &interface).map_err(context)?;
        }
        Some(IpAddr::V6(group)) => socket.join_multicast_v6(&group, 0).map_err(context)?,
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use heartbeat::{ServerState, death};
    use lb::farm::server_counters::ServerCounters;
    use lb::settings::Settings;

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";

    /// A server that sends heartbeats.
    fn server(lb: SocketAddr) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(lb).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        socket
    }

    #[test]
    fn a_server_is_told_of_a_death_in_its_tier_where_its_heartbeats_come_from() {
        let mut settings = Settings::small(Vec::new(), Vec::new(), [7; 16]);
        settings.keys.heartbeat = Some(KEY.to_vec().into());
        settings.heartbeat.listen = Some("127.0.0.1:0".parse().unwrap());
        let counters = ServerCounters::for_settings(&settings, 1);
        let now = Time::from_secs(100);
        let mut table = ServerTable::new(now, &settings, counters).unwrap();
        let mut port =
            Heartbeats::open(&settings.heartbeat, settings.keys.heartbeat.clone(), 1, &Sockets::default())
                .unwrap();
        let lb = port.socket.as_ref().unwrap().local_addr().unwrap();
        let servers = [server(lb), server(lb)];
        let mut count = 0;
        let mut beat = |n: usize, state| {
            count += 1;
            let heartbeat = Heartbeat {
                count: Some(count),
                sip_address: Some(IpAddr::from([127, 0, 0, 1])),
                state_tier: Some(u64::MAX),
                ..Heartbeat::plain(n as u32, 5060 + n as u16, state)
            };
            servers[n].send(&heartbeat.encode(Some(KEY))).unwrap();
            while port.take(now, 1, &mut table) == 0 {
                std::thread::yield_now();
            }
            table.tick(now);
            port.tell(&table.take_deaths(), 1_000_000);
        };
        beat(0, ServerState::Started);
        beat(1, ServerState::Started);
        beat(1, ServerState::Stopped);
        let mut bytes = [0; 600];
        let (length, from) = servers[0].recv_from(&mut bytes).unwrap();
        assert_eq!(from, lb);
        let told = death::decode(&bytes[..length], Some(KEY)).unwrap();
        let sip = SocketAddr::from(([127, 0, 0, 1], 5061));
        assert_eq!(told.death, death::Death { state_tier: u64::MAX, server_id: 1, sip });
        assert_eq!(told.count, 1_000_000);
    }
}
