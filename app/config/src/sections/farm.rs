//! Sections of the load manager alone: the servers of its farm, how calls find them, what is remembered of calls.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use lb::register::settings::{Accept, InsertPath, RegisterTo};
use lb::settings::{Affinity, HashKind, HoldSetup, Probe, Selection};
use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Effect, Field, Held, Key, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::value::{Endpoint, Value, Wrong};
use crate::sections::words::{NewCalls, ThreadModel};

sections! {
    /// A server of the farm. Servers whose agents send heartbeats need no section: they come by themselves.
    many server as Server {
        /// Its SIP address.
        live address: Endpoint = Required;
        /// Share of new calls against the other servers.
        live weight: u64 = Is("1"), 1..=1000;
        /// Where its HTTP is, for section http. Left out: at `http.server_port` of its address if that is set, else it has none.
        live http: Option<SocketAddr> = Unset;
    }

    /// How a message of a call that is already known finds its server.
    one affinity as AffinitySection {
        /// How a message of a known call finds its server.
        restart kind: Affinity = Is("tag");
        /// Which table the hash of the Call-ID is taken over, with kind `hash` and for calls that are taken over.
        restart hash: HashKind = Is("consistent");
        /// Send the tag in the header field `Strowger-Tag` too, for servers that echo header fields but lose Record-Route,
        /// and for those that write it into links (docs/http.md).
        live tag_header: bool = Is("false");
    }

    /// How the server for a new call is chosen.
    one selection as SelectionSection {
        /// How the server for a new call is chosen. Left out: `round-robin`, or `hash` when the affinity is `hash`, which allows no other.
        live kind: Option<Selection> = Unset;
        /// For `tlwl`: the weight of an INVITE transaction against any other, in hundredths.
        live invite_weight_percent: u64 = Is("175"), 100..=10000;
    }

    /// Heartbeats that the servers' agents send.
    one heartbeat as HeartbeatSection {
        /// Where to listen for heartbeats. Left out: none are received, the farm is what the `server` sections say.
        restart listen: Option<SocketAddr> = Unset;
        /// Multicast group to join.
        restart group: Option<IpAddr> = Unset;
        /// Time between two heartbeats of a server, milliseconds. Shorter finds a dead server sooner.
        live period_ms: u64 = Is("1000"), 10..=60000;
        /// After how many silent periods a server is failed.
        live decay_periods: u64 = Is("3"), 3..=5;
        /// The most servers the table takes; one more is refused and reported. Left out: the table grows.
        restart table_size: Option<u64> = Unset, 1..=65535;
    }

    /// Other load managers of the same farm. They tell each other, in a few signed bytes, which server each new call went to, so
    /// that its next message may reach any of them. All need the same tag keys (docs/redundant-load-managers.md).
    one peers as PeersSection {
        /// Where this one hears the others: a UDP port of its own, which it also sends from. Left out: it hears none and tells none.
        restart listen: Option<SocketAddr> = Unset;
        /// Multicast group to join.
        restart group: Option<IpAddr> = Unset;
        /// Whom it tells: their `listen` addresses, or the group with its port.
        restart to: Vec<String> = Unset;
    }

    /// Servers without an agent, and servers that were silent.
    one health as Health {
        /// How servers without an agent are judged.
        live probe: Probe = Is("traffic");
        /// Time between two OPTIONS to one server, and until a failed server is tried again, milliseconds.
        live interval_ms: u64 = Is("5000"), 100..=600000;
        /// A request unanswered for this long makes a silent server suspect, milliseconds.
        live silence_ms: u64 = Is("2000"), 100..=60000;
        /// How many refused sends in a row, or unanswered OPTIONS in a row, make a server failed. More forgives more, and
        /// notices a dead server later.
        live fail_after: u64 = Is("2"), 1..=10;
        /// A failed server stays failed at least this long, whatever it answers, milliseconds: one that flaps is then out, not
        /// in and out.
        live stay_out_ms: u64 = Is("0"), 0..=600000;
        /// A server that returns, or is new, gets a twentieth of its share of new calls at first, and all of it after this time,
        /// milliseconds; 0: at once. Off by default, as a SIP server that answers is warm, and the others carry what it does
        /// not. Worth 10 to 60 seconds for servers that fill caches. Selection `hash` takes no notice of it.
        live slow_start_ms: u64 = Is("0"), 0..=600000;
    }

    /// Set-ups that the load manager repeats on behalf of others.
    one hold_setup as HoldSetupSection {
        /// Which INVITEs are kept until their final answer, so that a call being set up survives the death of its server.
        live kind: HoldSetup = Is("stream");
        /// An INVITE that is kept and that its server refuses with 500, 503 or 504 is given to another server, as a proxy tries
        /// the next of its targets (RFC 3261 §16.7 step 5). Off: the caller gets the refusal.
        live retry_refused: bool = Is("true");
        /// How many at once; beyond that, set-ups pass without being held.
        restart held_max: u64 = Is("100000"), 0..=10000000;
        /// Bytes of all held messages together.
        restart held_bytes_max: u64 = Is("268435456"), 0..=68719476736;
    }

    /// Registrations: they go by user, not by call.
    one register as RegisterSection {
        /// Which server gets a REGISTER. `hash`: by the hash of the address of record, so that a refresh and every telephone of one
        /// user reach the same server. `all`: to all servers, one answer back built of theirs; for servers that each keep their own
        /// bindings. `registrar:ADDRESS[,ADDRESS]`: the first of these that answers.
        live to: RegisterTo = Is("hash");
        /// With `all`: how many of the servers that answered must accept.
        live accept: Accept = Is("any");
        /// With `all`: how long silent servers are waited for when others have answered; with several registrars: until the
        /// next is asked; milliseconds.
        live wait_ms: u64 = Is("2000"), 100..=16000;
        /// When a REGISTER gets a Path entry of ours, by which servers find the telephone's connection. Registrars must keep Path.
        live path: InsertPath = Is("supported");
        /// REGISTERs that may be in progress, with those lately answered; one more is refused with 503.
        restart in_progress_max: u64 = Is("20000"), 1..=10000000;
        /// Bytes of all their messages.
        restart bytes_max: u64 = Is("67108864"), 65536..=68719476736;
    }

    /// Bounds of what is remembered and of what is sent.
    one limits as Limits {
        /// How long a new call's server is remembered, seconds: 64·T1 (RFC 3261 §16.11) catches every repetition.
        live new_call_seconds: u64 = Is("32"), 32..=600;
        /// Entries of the new-call table. About calls per second × `new_call_seconds` are in use.
        restart new_calls_max: u64 = Is("1000000"), 1000..=100000000;
        /// With affinity `session`: a session ends after this much silence, seconds.
        live session_idle_seconds: u64 = Is("3600"), 60..=86400;
        /// With affinity `session`: entries of the session list.
        restart sessions_max: u64 = Is("1000000"), 1000..=100000000;
        /// Retry-After in a 503 of our own, seconds.
        live retry_after_seconds: u64 = Is("5"), 1..=3600;
        /// A request larger than this leaves by TCP where the server takes it, bytes (RFC 3261 §18.1.1).
        live datagram_bytes_max: u64 = Is("1300"), 500..=65000;
        /// Count the calls in progress at each server whatever the selection, at most `sessions_max`, at up to 64 bytes a
        /// call. Without it a drain knows, with affinity `tag` and `hash`, only calls of the last 32 seconds.
        live count_calls: bool = Is("false");
        /// Most datagrams of one size to one destination that leave as one, which the kernel or the network card cuts apart (udp(7),
        /// UDP_SEGMENT); their receivers see each by itself, those of one call in their order. It saves up to a sixth of the processor
        /// where many messages of a batch are alike, as those of one trunk are. While a program captures packets in the network
        /// namespace of `lb` (sngrep, tcpdump), from 0.2 s after its start, each leaves by itself all the same. Who captures at a
        /// container's outside sees several as one packet unless this is 1: each leaves by itself always.
        restart segments_max: u64 = Is("32"), 1..=64;
    }

    /// Who does the work.
    one threads as Threads {
        /// The thread model: who does the work.
        restart model: ThreadModel = Is("per-core");
        /// Workers of the model `per-core`; 0: one per core.
        restart workers: u64 = Is("0"), 0..=64;
    }

    /// What happens at SIGTERM. A second one ends the load manager at once, as SIGINT does.
    one drain as DrainSection {
        /// How long known calls are carried on at SIGTERM, seconds; it ends sooner when it remembers none. 0: ends at once. Left out: 0
        /// where another start goes on with every call that is up, which is with affinity `tag` or `hash` and a tag key that is
        /// configured; else 10.
        live seconds: Option<u64> = Unset, 0..=86400;
        /// What happens to new calls meanwhile.
        live new_calls: NewCalls = Is("refuse");
    }

    /// HTTP to the servers of the farm, with session affinity, so that SIP and HTTP of one session meet at one server (docs/http.md).
    one http as HttpSection {
        /// Where to listen for HTTP/1.1. Left out: nowhere.
        restart listen: Option<SocketAddr> = Unset;
        /// The port of HTTP of every server whose section does not say, such as those that come by heartbeat.
        live server_port: Option<u64> = Unset, 1..=65535;
        /// The cookie that holds the identifier of a session, and that is set where a session begins.
        live cookie: String = Is("strowger");
        /// The header field of a request that may hold it instead.
        live header: String = Is("Strowger-Session");
        /// The parameter of the URL that may: `?name=value`, `;name=value`.
        live parameter: String = Is("strowger");
        /// Connections of clients at once; one more waits.
        restart connections_max: u64 = Is("1000"), 1..=100000;
        /// The head of a request may have so many bytes; more is answered 431.
        live head_bytes_max: u64 = Is("32768"), 8192..=1048576;
        /// The body of a request may; more is answered 413. None is kept whole.
        live body_bytes_max: u64 = Is("104857600"), 0..=1099511627776;
        /// A client that has not sent the head of a request by then is cut off, one without a next request too, seconds.
        live head_seconds: u64 = Is("10"), 1..=3600;
        /// A server that has not answered by then is given up with 504; so is a body, either way, of which so long nothing came, seconds.
        live idle_seconds: u64 = Is("60"), 1..=3600;
        /// A connection that became another protocol, such as WebSocket, ends after so much silence, seconds.
        live upgraded_idle_seconds: u64 = Is("600"), 1..=86400;
        /// A server that does not take a connection by then is passed over, milliseconds.
        live connect_ms: u64 = Is("2000"), 10..=60000;
    }
}
