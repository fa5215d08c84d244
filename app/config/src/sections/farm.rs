//! Sections of the load manager alone: the servers of its farm, how calls find them, what is remembered of calls.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use lb::register::settings::{Accept, InsertPath, RegisterTo};
use lb::settings::{Affinity, HashKind, HoldSetup, Probe, Selection};
use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Effect, Field, Held, KeyHelp, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::server_address::ServerAddress;
use crate::language::value::{Value, Wrong};
use crate::sections::words::{NewCalls, ThreadModel};

sections! {
    /// A server of the farm. A server whose agent sends heartbeats needs no section: the load manager learns it from the
    /// heartbeats.
    many server as Server {
        /// The server's SIP address, or a name that stands for one or more servers (docs/names.md). With a port, all
        /// addresses of the name are servers. Without a port, its NAPTR and SRV records name the servers; if it has none, its
        /// addresses are servers at the default port. A name that begins with an underscore, such as
        /// `_sip._udp.farm.example.net`, is that of SRV records. The servers come and go with the records.
        live address: ServerAddress = Required;
        /// The server's share of new calls, relative to the other servers. SRV records with weights say it themselves.
        live weight: u64 = Is("1"), 1..=1000;
        /// The server's place among the servers, 0 first. A server gets new calls only while no server with a lower number
        /// takes them: each of those has failed, is drained, or has no room. Known calls stay where they are. Servers of SRV
        /// records with the best priority have this number; those with the next priority, one more; and so on.
        live priority: u64 = Is("0"), 0..=255;
        /// The most calls in progress at the server. A server with that many gets no new call; if no server has room, a new
        /// call is answered 503 with Retry-After. The load manager then counts the calls of each server, as with
        /// `limits.count_calls`: those that it gave the server itself since it started to count. If left out, there is no limit.
        live calls_max: Option<u64> = Unset, 1..=10000000;
        /// The most new calls that the server gets in any second. If left out, there is no limit.
        live calls_per_second_max: Option<u64> = Unset, 1..=10000;
        /// The server's address for HTTP (section http). If left out, the server's IP address with the port
        /// `http.server_port`; without that setting, the server has no HTTP.
        live http: Option<SocketAddr> = Unset;
    }

    /// How names are looked up: those of servers, and those in requests of servers to clients (docs/names.md). No worker waits for
    /// it. While name servers are silent or fail, the last good answer goes on.
    one resolver as ResolverSection {
        /// The name servers to ask, in this order, each an address with or without a port. If left out, those of
        /// `/etc/resolv.conf`, which is read again when it changes.
        restart name_servers: Vec<String> = Unset;
        /// How long one name server may take, in milliseconds. Each is asked twice.
        restart timeout_ms: u64 = Is("2000"), 50..=30000;
        /// An answer counts at least this long, in seconds, whatever its TTL.
        live ttl_min_seconds: u64 = Is("1"), 1..=3600;
        /// An answer counts at most this long, in seconds, whatever its TTL. A change of the records is noticed no later.
        live ttl_max_seconds: u64 = Is("3600"), 1..=86400;
        /// How long a failure counts, in seconds, before the same is asked again.
        live failure_seconds: u64 = Is("5"), 1..=300;
    }

    /// How the load manager finds the server of a call that is already known.
    one affinity as AffinitySection {
        /// Where the load manager keeps the server of a call.
        restart kind: Affinity = Is("tag");
        /// How the hash of the Call-ID chooses a server: with kind `hash`, and for calls whose server has failed.
        restart hash: HashKind = Is("consistent");
        /// Send the tag in the header field `Strowger-Tag`, too: for servers that echo header fields but lose Record-Route,
        /// and for servers that write the tag into links (docs/http.md).
        live tag_header: bool = Is("false");
        /// An INVITE with Replaces or Join (RFC 3891, RFC 3911) goes to the server of the call that it names, as long as the
        /// load manager knows that server: with kind `session` and `hash` as long as the call lasts, with `tag` as long as it
        /// is remembered (`limits.new_call_seconds`) or counted (`limits.count_calls`).
        live replaces: bool = Is("true");
        /// SUBSCRIBE and PUBLISH outside of a dialog go to the server of their presentity, the user in the Request-URI: by
        /// the hash by which REGISTERs of that user go (`register.to = "hash"`). For servers that each keep their own state
        /// of presence.
        live presentity: bool = Is("false");
    }

    /// How the server for a new call is chosen.
    one selection as SelectionSection {
        /// The rule that chooses the server. If left out, `round-robin`; with affinity `hash` it is `hash`, and no other is
        /// allowed.
        live kind: Option<Selection> = Unset;
        /// For `tlwl`: the weight of an INVITE transaction in percent of the weight of any other transaction.
        live invite_weight_percent: u64 = Is("175"), 100..=10000;
    }

    /// Heartbeats that the servers' agents send.
    one heartbeat as HeartbeatSection {
        /// The address to listen on for heartbeats. If left out, no heartbeats are received, and the farm is the `server`
        /// sections.
        restart listen: Option<SocketAddr> = Unset;
        /// The multicast group to join.
        restart group: Option<IpAddr> = Unset;
        /// Time between two heartbeats of a server, in milliseconds. With a shorter time, a dead server is noticed sooner.
        live period_ms: u64 = Is("1000"), 10..=60000;
        /// A server is failed after this many periods without a heartbeat.
        live decay_periods: u64 = Is("3"), 3..=5;
        /// The most servers that the table takes. A further server is refused, and the log says so. If left out, the table
        /// has no limit.
        restart table_size: Option<u64> = Unset, 1..=65535;
    }

    /// Other load managers of the same farm. Load managers tell each other which server each new call went to, in a few
    /// signed bytes. The next message of the call can then arrive at any of them. All need the same tag keys
    /// (docs/redundant-load-managers.md).
    one peers as PeersSection {
        /// A UDP port of its own, on which this load manager hears the others and from which it sends. If left out, it
        /// neither hears nor tells.
        restart listen: Option<SocketAddr> = Unset;
        /// The multicast group to join.
        restart group: Option<IpAddr> = Unset;
        /// The load managers to tell: their `listen` addresses, or the group with its port.
        restart to: Vec<String> = Unset;
    }

    /// How the load manager judges servers that have no agent, and servers that have stopped answering; and what it says when
    /// it is asked itself.
    one health as Health {
        /// How servers without an agent are judged.
        live probe: Probe = Is("traffic");
        /// Time between two OPTIONS to one server, and the time until a failed server is tried again, in milliseconds.
        live interval_ms: u64 = Is("5000"), 100..=600000;
        /// Time without an answer to a request after which a silent server is suspected, in milliseconds.
        live silence_ms: u64 = Is("2000"), 100..=60000;
        /// A server is failed after this many sends in a row that were refused, or this many OPTIONS in a row without an
        /// answer. With a higher number, more losses are forgiven, and a dead server is noticed later.
        live fail_after: u64 = Is("2"), 1..=10;
        /// The shortest time that a failed server stays failed, even if it answers, in milliseconds. A server that fails and
        /// returns again and again then stays out.
        live stay_out_ms: u64 = Is("0"), 0..=600000;
        /// Time in which a server that is new or has returned comes up to its full share of new calls, in milliseconds; it
        /// begins with a twentieth of its share. 0: the full share at once. It is off by default, because a SIP server that
        /// answers is usually warm, and the other servers must carry its calls meanwhile. Use 10 to 60 seconds for servers
        /// that fill caches. Selection `hash` ignores this setting.
        live slow_start_ms: u64 = Is("0"), 0..=600000;
        /// Whether the load manager itself answers OPTIONS that are for it: whose Request-URI is an address or a name of a
        /// listener without a user part (`OPTIONS sip:192.0.2.1`), outside of a dialog. It answers 200 while some server
        /// takes new calls, and 503 with Retry-After while none does and from SIGTERM on, so that those in front send new calls
        /// elsewhere in time. With probe `traffic`, a failed server that is tried again counts as one that takes calls,
        /// because only calls can show that it is back. Off: a server gets such a request, as any other.
        live answer_options: bool = Is("false");
    }

    /// Set-ups (INVITEs without a final answer) that the load manager keeps, to repeat them in place of the sender.
    one hold_setup as HoldSetupSection {
        /// Which INVITEs are kept until their final answer. A call whose INVITE is kept survives the death of its server
        /// while it is being set up.
        live kind: HoldSetup = Is("stream");
        /// If a server refuses a kept INVITE with 500, 503 or 504, give the INVITE to another server, as a proxy tries its
        /// next target (RFC 3261 §16.7 step 5). Off: the caller gets the refusal.
        live retry_refused: bool = Is("true");
        /// The most INVITEs that are kept at once. Further INVITEs are forwarded without being kept.
        restart held_max: u64 = Is("100000"), 0..=10000000;
        /// The most bytes of all kept messages together.
        restart held_bytes_max: u64 = Is("268435456"), 0..=68719476736;
    }

    /// How REGISTERs are distributed: by user, not by call.
    one register as RegisterSection {
        /// Which server gets a REGISTER. `hash`: the hash of the address of record chooses the server, so that a refresh and
        /// all telephones of one user reach the same server. `all`: every server gets the REGISTER, and the telephone gets
        /// one answer made from all answers; for servers that each keep their own bindings. `registrar:ADDRESS[,ADDRESS]`:
        /// the first of these registrars that answers.
        live to: RegisterTo = Is("hash");
        /// With `all`: how many of the servers that answered must accept.
        live accept: Accept = Is("any");
        /// With `all`: how long the load manager waits for silent servers once others have answered. With several
        /// registrars: how long it waits before it asks the next one. In milliseconds.
        live wait_ms: u64 = Is("2000"), 100..=16000;
        /// When we add a Path entry to a REGISTER. By that entry, servers find the telephone's connection. The registrar
        /// must store Path.
        live path: InsertPath = Is("supported");
        /// The most REGISTERs in progress, together with those answered in the last seconds. A further REGISTER is refused
        /// with 503.
        restart in_progress_max: u64 = Is("20000"), 1..=10000000;
        /// The most bytes of all messages of these REGISTERs.
        restart bytes_max: u64 = Is("67108864"), 65536..=68719476736;
    }

    /// What the load manager lets pass although RFC 3261 has it refuse or drop it: for telephones and servers that cannot be
    /// mended.
    one tolerance as ToleranceSection {
        /// Option tags of Proxy-Require that do not make a request fail with 420, such as `privacy`: the servers must do what
        /// they ask for. At most 32.
        live proxy_require: Vec<String> = Unset;
        /// Whether NUL bytes, and line ends where none belong, are skipped: in front of the message of a datagram, and between
        /// two messages on a connection. A datagram of nothing else is dropped: it keeps the way through a NAT open. Off: such
        /// a datagram counts as malformed, and such a connection ends, except for CRLF between messages (RFC 3261 §7.5, RFC
        /// 5626 §3.5.1).
        restart stray_bytes: bool = Is("false");
    }

    /// Bounds on what the load manager remembers and sends.
    one limits as Limits {
        /// How long the server of a new call is remembered, in seconds. 64·T1 (RFC 3261 §16.11) covers every repetition.
        live new_call_seconds: u64 = Is("32"), 32..=600;
        /// Entries of the new-call table. About calls per second × `new_call_seconds` entries are in use.
        restart new_calls_max: u64 = Is("1000000"), 1000..=100000000;
        /// With affinity `session`: silence, in seconds, after which a session ends.
        live session_idle_seconds: u64 = Is("3600"), 60..=86400;
        /// With affinity `session`: entries of the session list.
        restart sessions_max: u64 = Is("1000000"), 1000..=100000000;
        /// The value of Retry-After in our own 503 answers, in seconds.
        live retry_after_seconds: u64 = Is("5"), 1..=3600;
        /// The largest request that goes by UDP, in bytes. A larger one goes by TCP, if the server takes TCP (RFC 3261
        /// §18.1.1).
        live datagram_bytes_max: u64 = Is("1300"), 500..=65000;
        /// Count the calls in progress at each server, with every selection: at most `sessions_max` calls, up to 64 bytes
        /// each. Without this setting, and with affinity `tag` or `hash`, a drain knows only the calls of the last 32
        /// seconds.
        live count_calls: bool = Is("false");
        /// The most datagrams of one size and one destination that the load manager hands to the kernel as one. The kernel
        /// or the network card cuts them apart (udp(7), UDP_SEGMENT); receivers see single datagrams, and those of one call
        /// stay in order. This saves up to a sixth of the processor time where many messages of a batch are alike, as on a
        /// trunk. While a program captures packets in the network namespace of `lb` (sngrep, tcpdump), each datagram leaves
        /// by itself, beginning 0.2 s after the program's start. A program that captures outside the container sees several
        /// datagrams as one packet. 1: each datagram always leaves by itself.
        restart segments_max: u64 = Is("32"), 1..=64;
    }

    /// Which threads do the work.
    one threads as Threads {
        /// Which threads there are.
        restart model: ThreadModel = Is("per-core");
        /// Number of workers of the model `per-core`. 0: one per core.
        restart workers: u64 = Is("0"), 0..=64;
    }

    /// What happens at SIGTERM. A second SIGTERM ends the load manager at once, as SIGINT does.
    one drain as DrainSection {
        /// How long known calls go on after SIGTERM, in seconds. The load manager ends sooner if it remembers no call. 0: it
        /// ends at once. If left out: 0 where the next start can go on with every call (a configured tag key, and affinity
        /// `tag` or `hash` or a memory file), else 10.
        live seconds: Option<u64> = Unset, 0..=86400;
        /// What happens to new calls during that time.
        live new_calls: NewCalls = Is("refuse");
    }

    /// What the load manager remembers of calls over its own restart.
    one memory as MemorySection {
        /// The memory file. When the load manager ends, it writes what it remembers of calls to this file: new calls, all calls with
        /// affinity `session`, and the transport of large INVITEs. When it starts, it reads the file and removes it. So an INVITE that
        /// is repeated across a restart reaches the server that already has it. Both runs must have the same keys. A call takes 20
        /// bytes. If left out, the load manager forgets its calls when it ends.
        live file: Option<PathBuf> = Unset;
    }

    /// HTTP to the servers of the farm. SIP and HTTP of one session reach the same server (docs/http.md).
    one http as HttpSection {
        /// The address to listen on for HTTP/1.1. If left out, there is no HTTP to servers.
        restart listen: Option<SocketAddr> = Unset;
        /// The HTTP port of every server without `http` in its section, such as servers that are known by heartbeat.
        live server_port: Option<u64> = Unset, 1..=65535;
        /// The cookie that holds the identifier of a session. The load manager sets it when a session begins.
        live cookie: String = Is("strowger");
        /// The header field of a request that may hold the identifier instead.
        live header: String = Is("Strowger-Session");
        /// The parameter of the URL that may hold the identifier instead: `?name=value` or `;name=value`.
        live parameter: String = Is("strowger");
        /// The most connections of clients at once. A further client waits.
        restart connections_max: u64 = Is("1000"), 1..=100000;
        /// The most bytes of the head of a request. A request with more is answered 431.
        live head_bytes_max: u64 = Is("32768"), 8192..=1048576;
        /// The most bytes of the body of a request. A request with more is answered 413. No body is kept whole in memory.
        live body_bytes_max: u64 = Is("104857600"), 0..=1099511627776;
        /// Time, in seconds, in which a client must send the head of a request, also between two requests. A client that
        /// does not is disconnected.
        live head_seconds: u64 = Is("10"), 1..=3600;
        /// Time, in seconds, in which a server must answer; a server that does not is given up with 504. A body, in either
        /// direction, ends after the same time without data.
        live idle_seconds: u64 = Is("60"), 1..=3600;
        /// Silence, in seconds, after which a connection that became another protocol, such as WebSocket, is closed.
        live upgraded_idle_seconds: u64 = Is("600"), 1..=86400;
        /// Time, in milliseconds, in which a server must accept a connection. A server that does not is passed over.
        live connect_ms: u64 = Is("2000"), 10..=60000;
    }
}
