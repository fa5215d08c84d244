//! The other load managers of the farm (SPEC A8). Each tells the others of its calls over a socket, and a thread hears the
//! others. A worker tells before it sends, in one datagram a turn. Others then know a call that reached a server even if
//! this process dies at that moment. Nobody repeats a datagram that is lost on the way.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use heartbeat::notice::{self, BATCH_BYTES_MAX, Disbelieved, NOTICES_MAX, Notice, Sender, Senders};
use lb::memory::calls::told::Told;
use lb::settings;
use lb::shared::Shared;
use net::Clock;
use socket2::SockRef;
use tracing::info;

use crate::lb::over::Over;
use crate::lb::sockets::Sockets;

/// Room for what the others tell while the thread waits for its turn: about a thousand batches.
const RECEIVE_BUFFER: usize = 4 << 20;
/// The thread checks this often whether it is still wanted.
const PATIENCE: Duration = Duration::from_secs(1);

/// The counts of telling and hearing.
#[derive(Debug, Default)]
pub(crate) struct PeerCounters {
    told: AtomicU64,
    unsent: AtomicU64,
    heard: AtomicU64,
    learnt: AtomicU64,
    otherwise: AtomicU64,
    full: AtomicU64,
    ignored: [AtomicU64; Disbelieved::ALL.len()],
}

impl PeerCounters {
    /// With their names in status and metrics.
    pub(crate) fn read(&self) -> Vec<(String, u64)> {
        let named = [
            // Notices sent, to each of the others.
            ("notices_told", &self.told),
            // Batches that the kernel would not take.
            ("notices_unsent", &self.unsent),
            // Notices of others, believed.
            ("notices_heard", &self.heard),
            // Those of calls that were new to us.
            ("notices_learnt", &self.learnt),
            // Those of calls that we had given to another server.
            ("notices_otherwise", &self.otherwise),
            // Those for which the memory of calls had no room.
            ("notices_full", &self.full),
        ];
        let mut all: Vec<(String, u64)> =
            named.iter().map(|(name, value)| ((*name).to_owned(), value.load(Relaxed))).collect();
        for reason in Disbelieved::ALL {
            let value = self.ignored[reason.index()].load(Relaxed);
            all.push((format!("notices_ignored_{}", reason.name()), value));
        }
        all
    }
}

/// The socket, shared by all tellers.
pub(crate) struct Peers {
    shared: Arc<Shared>,
    /// `None`: another process has it.
    socket: ArcSwapOption<UdpSocket>,
    to: Vec<SocketAddr>,
    /// Chance, which distinguishes this run from all others.
    process: u64,
    pub(crate) counters: Arc<PeerCounters>,
}

impl Peers {
    /// Opens the port. `None`: there are no others. `process`: chance from outside, which distinguishes
    /// this run from all others.
    pub(crate) fn open(
        shared: Arc<Shared>,
        process: u64,
        sockets: &Sockets,
    ) -> io::Result<Option<Arc<Peers>>> {
        let Some(settings) = shared.settings.peers.clone() else { return Ok(None) };
        let place = format!("{} (peers.listen)", settings.listen);
        let name = format!("peers at {}, group {:?}", settings.listen, settings.group);
        let unavailable = |error| crate::process::ports::unavailable(&place, &error);
        let socket = sockets.take_or(&name, || open(&settings).map_err(unavailable))?;
        let counters = Arc::new(PeerCounters::default());
        let socket = ArcSwapOption::from_pointee(socket);
        Ok(Some(Arc::new(Peers { shared, socket, to: settings.to, process, counters })))
    }

    /// Begins to hear, on a thread of its own, until another process does.
    pub(crate) fn start(self: &Arc<Peers>, clock: Clock, over: Over) -> io::Result<()> {
        let hearing = Arc::downgrade(self);
        std::thread::Builder::new().name("peers".into()).spawn(move || {
            let mut senders = Senders::default();
            let mut bytes = [0u8; BATCH_BYTES_MAX + 1];
            while let Some(peers) = hearing.upgrade() {
                let Some(socket) = peers.socket.load_full().filter(|_| !over.is_so()) else {
                    return peers.socket.store(None);
                };
                // There is nothing, or an error of an earlier datagram: in both cases the thread tries again.
                match socket.recv_from(&mut bytes) {
                    // Another process hears by this socket now: it gets what was not meant for this one any more.
                    Ok((length, _)) if over.is_so() => _ = socket.send_to(&bytes[..length], peers.own()),
                    Ok((length, _)) => peers.hear(clock, &mut senders, &bytes[..length]),
                    Err(_) => {}
                }
            }
        })?;
        if let Some(settings) = &self.shared.settings.peers {
            info!("peers: other load managers are heard at {}", settings.listen);
        }
        Ok(())
    }

    /// Where this socket itself is reached.
    fn own(&self) -> SocketAddr {
        let mut own =
            self.shared.settings.peers.as_ref().map_or(SocketAddr::from(([0; 4], 0)), |peers| peers.listen);
        if own.ip().is_unspecified() {
            own.set_ip(if own.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        own
    }

    fn hear(&self, clock: Clock, senders: &mut Senders, bytes: &[u8]) {
        // Keys and calls of this moment: a reload may have changed them.
        let terms = self.shared.terms();
        let batch = notice::decode(bytes, |id| terms.keys.notice_key(id)).and_then(|batch| {
            // A group also delivers our own notices.
            if Sender::is_of(self.process, &batch) {
                return Ok(None);
            }
            senders.admit(wall_micros(), &batch)?;
            Ok(Some(batch))
        });
        match batch {
            Err(reason) => _ = self.counters.ignored[reason.index()].fetch_add(1, Relaxed),
            Ok(None) => {}
            Ok(Some(batch)) => {
                let now = clock.now();
                for notice in batch.notices() {
                    self.counters.heard.fetch_add(1, Relaxed);
                    let counter = match terms.calls.told(now, notice) {
                        Told::Known => continue,
                        Told::Learnt => &self.counters.learnt,
                        Told::Otherwise => &self.counters.otherwise,
                        Told::Full => &self.counters.full,
                    };
                    counter.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// What one worker needs to tell.
    pub(crate) fn teller(self: &Arc<Peers>, worker: u8) -> Teller {
        let sender = Sender::new(self.process, worker);
        Teller { peers: Arc::clone(self), sender, bytes: Vec::with_capacity(BATCH_BYTES_MAX) }
    }
}

/// One worker's voice.
pub(crate) struct Teller {
    peers: Arc<Peers>,
    sender: Sender,
    bytes: Vec<u8>,
}

impl Teller {
    /// Tells all notices to all, and empties the list. Never waits: what the kernel does not take is not told.
    pub(crate) fn tell(&mut self, notices: &mut Vec<Notice>) {
        let peers = &self.peers;
        let Some(socket) = peers.socket.load_full() else { return notices.clear() };
        let (id, key) = peers.shared.terms().keys.signing_notice_key();
        for batch in notices.chunks(NOTICES_MAX) {
            let (sender, count) = self.sender.next(wall_micros());
            self.bytes.clear();
            notice::encode(sender, count, batch, (id, &key), &mut self.bytes);
            for to in &peers.to {
                let flags = libc::MSG_DONTWAIT;
                match SockRef::from(&*socket).send_to_with_flags(&self.bytes, &(*to).into(), flags) {
                    Ok(_) => peers.counters.told.fetch_add(batch.len() as u64, Relaxed),
                    Err(_) => peers.counters.unsent.fetch_add(1, Relaxed),
                };
            }
        }
        notices.clear();
    }
}

fn open(settings: &settings::Peers) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(settings.listen)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A smaller buffer than asked for is no reason not to start.
    let _ = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    match settings.group {
        None => {}
        Some(IpAddr::V4(group)) => {
            let interface = match settings.listen.ip() {
                IpAddr::V4(ip) if !ip.is_multicast() => ip,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            socket.join_multicast_v4(&group, &interface)?;
        }
        Some(IpAddr::V6(group)) => socket.join_multicast_v6(&group, 0)?,
    }
    Ok(socket)
}

fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
