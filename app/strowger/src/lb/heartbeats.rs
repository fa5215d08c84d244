//! The heartbeat port. Each datagram is decoded, its signature and its count are checked, and its content goes into the
//! server table.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use base::{Key, Time};
use heartbeat::datagram::DATAGRAM_BYTES_MAX;
use heartbeat::{Heartbeat, Ignored, Replay};
use lb::farm::server_table::{Refusal, ServerTable};
use lb::settings;
use tracing::{info, warn};

use crate::process::ports;

/// Senders whose counts are remembered: more than the largest table has rows.
const SENDERS_MAX: usize = 8192;

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
    pub(crate) counts: HeartbeatCounts,
}

impl Heartbeats {
    /// Opens the port, if one is configured.
    pub(crate) fn open(settings: &settings::Heartbeats, key: Option<Key>) -> io::Result<Heartbeats> {
        let socket = heartbeat_socket(settings)?;
        Ok(Heartbeats { socket, key, replay: HashMap::new(), counts: HeartbeatCounts::default() })
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

fn heartbeat_socket(settings: &settings::Heartbeats) -> io::Result<Option<UdpSocket>> {
    let Some(listen) = settings.listen else { return Ok(None) };
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
    Ok(Some(socket))
}
