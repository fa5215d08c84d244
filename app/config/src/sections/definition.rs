//! Every section and key of the configuration: name, kind, default, range, help. This is the one place; the reader, the
//! help of the command line and docs/configuration.md are made from it.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;

use heartbeat::measure::By;
use lb::register::settings::{Accept, InsertPath, RegisterTo};
use lb::settings::{Affinity, HashKind, HoldSetup, Probe, Selection};
use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Field, Key, SectionHelp, SectionName, default_of, read_key, sections, tables, unknown_keys,
    unknown_sections,
};
use crate::language::value::{Choice, Endpoint, Value};
use crate::sections::words::{LogFormat, NewCalls};

sections! {
    /// An address that clients and servers reach the load manager at. At least one; with UDP and TCP on one port, two sections.
    /// TCP, TLS and WebSocket each need a port of their own.
    many listen as Listen {
        /// Where to listen. A server without transport is reached by UDP when there is a UDP listener, else by TCP.
        address: Endpoint = Required;
        /// The address that Via and Record-Route carry: the one that clients and servers reach this listener by. Left out:
        /// the same as `address`, which then must not be a wildcard.
        advertise: Option<String> = Unset;
        /// Host names by which clients know this load manager, such as that of an outbound proxy. A Route with one of them is taken
        /// for ours, on whichever listener it comes. Also the address and port of another load manager with the same keys, where a
        /// third one in front gives us its calls when it is gone.
        names: Vec<String> = Unset;
        /// Certificate chain in PEM of this listener, `tls:` or `wss:`. Left out: that of section tls.
        certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        key: Option<PathBuf> = Unset;
        /// Whether clients of this listener must show a certificate. Left out: what section tls says.
        client_certificate: Option<ClientCertificate> = Unset;
        /// Certificates in PEM of the authorities that the certificates of this listener's clients must be signed by. Left out: those
        /// of section tls.
        client_ca: Option<PathBuf> = Unset;
    }

    /// A server of the farm. Servers whose agents send heartbeats need no section: they come by themselves.
    many server as Server {
        /// Its SIP address.
        address: Endpoint = Required;
        /// Share of new calls against the other servers.
        weight: u64 = Is("1"), 1..=1000;
        /// Where its HTTP is, for section http. Left out: at `http.server_port` of its address if that is set, else it has none.
        http: Option<SocketAddr> = Unset;
    }

    /// TLS: of listeners `tls:` and `wss:` that have no certificate of their own, and towards servers `tls:`. The files are read at
    /// start, and again when the process gets SIGHUP: connections that are open keep what they have, new ones take the new.
    one tls as TlsSection {
        /// Certificate chain in PEM: the own certificate first, then those that signed it.
        certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        key: Option<PathBuf> = Unset;
        /// Lowest version of TLS that is spoken. Versions before 1.2 are not.
        minimum_version: TlsVersion = Is("1.2");
        /// Whether clients must show a certificate.
        client_certificate: ClientCertificate = Is("off");
        /// Certificates in PEM of the authorities that clients' certificates must be signed by.
        client_ca: Option<PathBuf> = Unset;
        /// Certificates in PEM of the authorities that the certificates of `tls:` servers must be signed by. A server that asks
        /// for ours is shown `certificate`.
        server_ca: Option<PathBuf> = Unset;
        /// The name that the certificates of `tls:` servers must bear. Left out: each must bear the server's IP address.
        server_name: Option<String> = Unset;
    }

    /// How a message of a call that is already known finds its server.
    one affinity as AffinitySection {
        /// How a message of a known call finds its server.
        kind: Affinity = Is("tag");
        /// Which table the hash of the Call-ID is taken over, with kind `hash` and for calls that are taken over.
        hash: HashKind = Is("consistent");
        /// Send the tag in the header field `Strowger-Tag` too, for servers that echo header fields but lose Record-Route,
        /// and for those that write it into links (docs/http.md).
        tag_header: bool = Is("false");
    }

    /// How the server for a new call is chosen.
    one selection as SelectionSection {
        /// How the server for a new call is chosen. Left out: `round-robin`, or `hash` when the affinity is `hash`, which allows no other.
        kind: Option<Selection> = Unset;
        /// For `tlwl`: the weight of an INVITE transaction against any other, in hundredths.
        invite_weight_percent: u64 = Is("175"), 100..=10000;
    }

    /// The performance score of each server, for selection `score`: 100 times the mean of what is free of each factor, by
    /// weight. All of it can be changed while running.
    one score as ScoreSection {
        /// Weight of CPU (W0). 0: memory only.
        cpu_weight: u64 = Is("1"), 0..=1000;
        /// Weight of memory (W1), a server's share of what is available in the whole farm. 0: CPU only.
        memory_weight: u64 = Is("1"), 0..=1000;
        /// Weight of what is free of the network, where agents tell it.
        network_weight: u64 = Is("0"), 0..=1000;
        /// Weight of call volume: the new calls that a server was given in the last seconds, against the mean of the farm.
        calls_weight: u64 = Is("0"), 0..=1000;
        /// Weight of failures in the last seconds: requests that timed out, were answered 5xx, or found their call lost.
        failures_weight: u64 = Is("0"), 0..=1000;
        /// Weight of the time that a server takes to answer OPTIONS, of servers that are measured so.
        latency_weight: u64 = Is("1"), 0..=1000;
        /// The time to answer OPTIONS that counts as half loaded, milliseconds.
        latency_half_ms: u64 = Is("20"), 1..=10000;
        /// Above this CPU use the score is 0 (Cmax), percent.
        cpu_max_percent: u64 = Is("95"), 1..=100;
        /// Below this available memory the score is 0 (Mmin), KiB.
        memory_min_kib: u64 = Is("10240"), 0..=1073741824;
    }

    /// A place that is polled for figures: an agent, a performance server, or what stands beside a server without our agent.
    many measure as MeasureSection {
        /// How figures are had there.
        by: By = Required;
        /// Where: the `--get-data` address of an agent, the `perf.listen` address of a performance server, the address of an
        /// agent-check, the SIP address of a server that is asked by OPTIONS.
        address: SocketAddr = Required;
        /// The SIP address of the server that this is about. An agent tells it; named here too, the server's score is 0
        /// even before its agent has ever answered. Needed with `agent-check`; with `options` it is `address`.
        server: Option<SocketAddr> = Unset;
    }

    /// The performance server: the polls of the `measure` sections, in this process or in one of its own (`strowger perf`).
    one perf as PerfSection {
        /// Time between two polls of one place, milliseconds.
        poll_ms: u64 = Is("1000"), 50..=60000;
        /// An answer that takes longer did not come, and the server is down: its score is 0, milliseconds.
        answer_within_ms: u64 = Is("2000"), 10..=60000;
        /// Where the newest data is served to load managers, over TCP. Left out: nowhere.
        listen: Option<SocketAddr> = Unset;
    }

    /// Keys that all load managers of a farm share. Without any, a random tag key is made at start: calls then do not
    /// survive a restart, and two load managers do not know each other's calls.
    one keys as Keys {
        /// Tag keys, newest first: the first signs, all verify. To rotate: put a new one in front, remove the old one when
        /// the longest call is over.
        tag: Vec<String> = Unset;
        /// A file with one key per line, as `strowger key` prints them: `tag ID HEX`, `heartbeat HEX`.
        file: Option<PathBuf> = Unset;
        /// Key that heartbeats are signed with, 32 to 128 hex digits. Left out: any heartbeat is believed.
        heartbeat: Option<String> = Unset;
    }

    /// Heartbeats that the servers' agents send.
    one heartbeat as HeartbeatSection {
        /// Where to listen for heartbeats. Left out: none are received, the farm is what the `server` sections say.
        listen: Option<SocketAddr> = Unset;
        /// Multicast group to join.
        group: Option<IpAddr> = Unset;
        /// Time between two heartbeats of a server, milliseconds. Shorter finds a dead server sooner.
        period_ms: u64 = Is("1000"), 10..=60000;
        /// After how many silent periods a server is failed.
        decay_periods: u64 = Is("3"), 3..=5;
        /// The most servers the table takes; one more is refused and reported. Left out: the table grows.
        table_size: Option<u64> = Unset, 1..=65535;
    }

    /// Other load managers of the same farm. They tell each other, in a few signed bytes, which server each new call went to, so
    /// that its next message may reach any of them. All need the same tag keys (docs/redundant-load-managers.md).
    one peers as PeersSection {
        /// Where this one hears the others: a UDP port of its own, which it also sends from. Left out: it hears none and tells none.
        listen: Option<SocketAddr> = Unset;
        /// Multicast group to join.
        group: Option<IpAddr> = Unset;
        /// Whom it tells: their `listen` addresses, or the group with its port.
        to: Vec<String> = Unset;
    }

    /// Servers without an agent, and servers that were silent.
    one health as Health {
        /// How servers without an agent are judged.
        probe: Probe = Is("traffic");
        /// Time between two OPTIONS to one server, and until a failed server is tried again, milliseconds.
        interval_ms: u64 = Is("5000"), 100..=600000;
        /// A request unanswered for this long makes a silent server suspect, milliseconds.
        silence_ms: u64 = Is("2000"), 100..=60000;
        /// How many refused sends in a row, or unanswered OPTIONS in a row, make a server failed. More forgives more, and
        /// notices a dead server later.
        fail_after: u64 = Is("2"), 1..=10;
        /// A failed server stays failed at least this long, whatever it answers, milliseconds: one that flaps is then out, not
        /// in and out.
        stay_out_ms: u64 = Is("0"), 0..=600000;
        /// A server that returns, or is new, gets a twentieth of its share of new calls at first, and all of it after this time,
        /// milliseconds; 0: at once. Off by default, as a SIP server that answers is warm, and the others carry what it does
        /// not. Worth 10 to 60 seconds for servers that fill caches. Selection `hash` takes no notice of it.
        slow_start_ms: u64 = Is("0"), 0..=600000;
    }

    /// Set-ups that the load manager repeats on behalf of others.
    one hold_setup as HoldSetupSection {
        /// Which INVITEs are kept until their final answer, so that a call being set up survives the death of its server.
        kind: HoldSetup = Is("stream");
        /// An INVITE that is kept and that its server refuses with 500, 503 or 504 is given to another server, as a proxy tries
        /// the next of its targets (RFC 3261 §16.7 step 5). Off: the caller gets the refusal.
        retry_refused: bool = Is("true");
        /// How many at once; beyond that, set-ups pass without being held.
        held_max: u64 = Is("100000"), 0..=10000000;
        /// Bytes of all held messages together.
        held_bytes_max: u64 = Is("268435456"), 0..=68719476736;
    }

    /// Registrations: they go by user, not by call.
    one register as RegisterSection {
        /// Which server gets a REGISTER. `hash`: by the hash of the address of record, so that a refresh and every telephone of one
        /// user reach the same server. `all`: to all servers, one answer back built of theirs; for servers that each keep their own
        /// bindings. `registrar:ADDRESS[,ADDRESS]`: the first of these that answers.
        to: RegisterTo = Is("hash");
        /// With `all`: how many of the servers that answered must accept.
        accept: Accept = Is("any");
        /// With `all`: how long silent servers are waited for when others have answered; with several registrars: until the
        /// next is asked; milliseconds.
        wait_ms: u64 = Is("2000"), 100..=16000;
        /// When a REGISTER gets a Path entry of ours, by which servers find the telephone's connection. Registrars must keep Path.
        path: InsertPath = Is("supported");
        /// REGISTERs that may be in progress, with those lately answered; one more is refused with 503.
        in_progress_max: u64 = Is("20000"), 1..=10000000;
        /// Bytes of all their messages.
        bytes_max: u64 = Is("67108864"), 65536..=68719476736;
    }

    /// Connections over TCP, TLS and WebSocket.
    one connections as ConnectionsSection {
        /// A connection of a client that has been silent so long is closed, seconds. Requests of a call come by it as long as the
        /// call lasts, so it is as long as a session may be silent; whoever is gone is found by `keep_alive_seconds`, and
        /// where places are short the longest idle connections of whoever has the most go first.
        client_idle_seconds: u64 = Is("3600"), 30..=604800;
        /// The same for a connection that we opened to a server. It is opened again on demand.
        server_idle_seconds: u64 = Is("300"), 30..=604800;
        /// After so much silence the kernel asks whether the other end is still there (tcp(7), SO_KEEPALIVE), seconds; 0: never. It
        /// also keeps firewalls and NATs from forgetting the connection.
        keep_alive_seconds: u64 = Is("60"), 0..=7200;
        /// Bytes that all connections together may hold of messages that are not whole or not written yet. At the bound whoever
        /// holds the most loses connections.
        buffered_bytes_max: u64 = Is("67108864"), 1048576..=68719476736;
        /// A server that opens a TCP connection and says `alias` in its Via gets its requests by that connection too, if it comes
        /// from the address of a server. Whoever runs a program at that address could take the server's requests: over TLS, where
        /// certificates prove the address, this is done without a key.
        tcp_alias: bool = Is("false");
    }

    /// Bounds of what is remembered and of what is sent.
    one limits as Limits {
        /// How long a new call's server is remembered, seconds: 64·T1 (RFC 3261 §16.11) catches every repetition.
        new_call_seconds: u64 = Is("32"), 32..=600;
        /// Entries of the new-call table. About calls per second × `new_call_seconds` are in use.
        new_calls_max: u64 = Is("1000000"), 1000..=100000000;
        /// With affinity `session`: a session ends after this much silence, seconds.
        session_idle_seconds: u64 = Is("3600"), 60..=86400;
        /// With affinity `session`: entries of the session list.
        sessions_max: u64 = Is("1000000"), 1000..=100000000;
        /// Retry-After in a 503 of our own, seconds.
        retry_after_seconds: u64 = Is("5"), 1..=3600;
        /// A request larger than this leaves by TCP where the server takes it, bytes (RFC 3261 §18.1.1).
        datagram_bytes_max: u64 = Is("1300"), 500..=65000;
        /// Count the calls in progress at each server whatever the selection, at most `sessions_max`, at up to 64 bytes a
        /// call. Without it a drain knows, with affinity `tag` and `hash`, only calls of the last 32 seconds.
        count_calls: bool = Is("false");
        /// Most datagrams of one size to one destination that leave as one, which the kernel or the network card cuts apart (udp(7),
        /// UDP_SEGMENT); their receivers see each by itself, those of one call in their order. It saves up to a sixth of the processor
        /// where many messages of a batch are alike, as those of one trunk are. While a program captures packets in the network
        /// namespace of `lb` (sngrep, tcpdump), from 0.2 s after its start, each leaves by itself all the same. Who captures at a
        /// container's outside sees several as one packet unless this is 1: each leaves by itself always.
        segments_max: u64 = Is("32"), 1..=64;
    }

    /// Who does the work.
    one threads as Threads {
        /// The thread model: who does the work.
        model: ThreadModel = Is("per-core");
        /// Workers of the model `per-core`; 0: one per core.
        workers: u64 = Is("0"), 0..=64;
    }

    /// What happens at SIGTERM. A second one ends the load manager at once, as SIGINT does.
    one drain as DrainSection {
        /// How long known calls are carried on at SIGTERM, seconds; it ends sooner when it remembers none. 0: ends at once. Left out: 0
        /// where another start goes on with every call that is up, which is with affinity `tag` or `hash` and a tag key that is
        /// configured; else 10.
        seconds: Option<u64> = Unset, 0..=86400;
        /// What happens to new calls meanwhile.
        new_calls: NewCalls = Is("refuse");
    }

    /// The HTTP API: everything `strowger ctl` can do, and metrics for Prometheus (docs/http-api.md).
    one api as ApiSection {
        /// Where to listen, such as `127.0.0.1:8060`. Left out: no HTTP. Beyond loopback it needs `tokens`, and a proxy in
        /// front for TLS.
        listen: Option<SocketAddr> = Unset;
        /// A file with one token per line, as `strowger key --token` prints them: `change TOKEN` may do everything,
        /// `read TOKEN` may look. Left out: anyone who reaches the listener may look, and nobody may change anything.
        tokens: Option<PathBuf> = Unset;
        /// `/metrics` needs no token.
        open_metrics: bool = Is("true");
    }

    /// HTTP to the servers of the farm, with session affinity, so that SIP and HTTP of one session meet at one server (docs/http.md).
    one http as HttpSection {
        /// Where to listen for HTTP/1.1. Left out: nowhere.
        listen: Option<SocketAddr> = Unset;
        /// The port of HTTP of every server whose section does not say, such as those that come by heartbeat.
        server_port: Option<u64> = Unset, 1..=65535;
        /// The cookie that holds the identifier of a session, and that is set where a session begins.
        cookie: String = Is("strowger");
        /// The header field of a request that may hold it instead.
        header: String = Is("Strowger-Session");
        /// The parameter of the URL that may: `?name=value`, `;name=value`.
        parameter: String = Is("strowger");
        /// Connections of clients at once; one more waits.
        connections_max: u64 = Is("1000"), 1..=100000;
        /// The head of a request may have so many bytes; more is answered 431.
        head_bytes_max: u64 = Is("32768"), 8192..=1048576;
        /// The body of a request may; more is answered 413. None is kept whole.
        body_bytes_max: u64 = Is("104857600"), 0..=1099511627776;
        /// A client that has not sent the head of a request by then is cut off, one without a next request too, seconds.
        head_seconds: u64 = Is("10"), 1..=3600;
        /// A server that has not answered by then is given up with 504; so is a body, either way, of which so long nothing came, seconds.
        idle_seconds: u64 = Is("60"), 1..=3600;
        /// A connection that became another protocol, such as WebSocket, ends after so much silence, seconds.
        upgraded_idle_seconds: u64 = Is("600"), 1..=86400;
        /// A server that does not take a connection by then is passed over, milliseconds.
        connect_ms: u64 = Is("2000"), 10..=60000;
    }

    /// The socket that `strowger status` and `strowger ctl` ask.
    one control as Control {
        /// Path of the unix socket; only its owner may connect. Left out: `strowger.sock` in `$XDG_RUNTIME_DIR`, else
        /// `/run/strowger.sock` for root, else in `/tmp` with the user's number in its name.
        path: Option<PathBuf> = Unset;
    }

    /// What is written down: operations, what went wrong, and choices of servers.
    one log as Log {
        /// How lines of the operator's log, on standard error, are written.
        format: LogFormat = Is("text");
        /// Which lines of the operator's log are written: a level for all (`off`, `error`, `warn`, `info`, `debug`, `trace`), and
        /// levels for modules, as in `info,net=debug,refused=off`. `strowger ctl log` changes it while the load manager runs.
        filter: String = Is("info");
        /// Where fault records go, one JSON object per line: the path of a file, `stderr`, or `off`.
        faults: String = Is("stderr");
        /// Where each choice of a server for a call goes, one JSON object per line as `strowger why --json` has it: the path of a
        /// file, `stderr`, or `off`. No worker waits for it; lines that cannot be written in time are counted and left out.
        choices: String = Is("off");
        /// Choices of a server that `strowger why` can explain: the newest so many of each worker, 192 bytes each (a power of
        /// two; other numbers are rounded up). 0: none are kept.
        why_calls: u64 = Is("16384"), 0..=16777216;
    }
}

/// The words of `tls.minimum_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    V12,
    V13,
}

impl Choice for TlsVersion {
    const WORDS: &'static [(&'static str, TlsVersion, &'static str)] =
        &[("1.2", TlsVersion::V12, "and 1.3, which is preferred"), ("1.3", TlsVersion::V13, "nothing older")];
}

/// The words of `tls.client_certificate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    Off,
    Optional,
    Required,
}

impl Choice for ClientCertificate {
    const WORDS: &'static [(&'static str, ClientCertificate, &'static str)] = &[
        ("off", ClientCertificate::Off, "they are not asked"),
        ("optional", ClientCertificate::Optional, "one that is shown must be good, none is accepted too"),
        ("required", ClientCertificate::Required, "without a good one there is no connection (mutual TLS)"),
    ];
}

/// The words of `threads.model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadModel {
    PerCore,
    One,
    Two,
}

impl Choice for Affinity {
    const WORDS: &'static [(&'static str, Affinity, &'static str)] = &[
        ("tag", Affinity::Tag, "in the message: a signed tag in our Record-Route entry; no memory per call"),
        ("session", Affinity::Session, "in a bounded list of Call-IDs"),
        ("hash", Affinity::Hash, "nowhere: the hash of the Call-ID says it"),
    ];
}

impl Choice for HashKind {
    const WORDS: &'static [(&'static str, HashKind, &'static str)] = &[
        ("consistent", HashKind::Consistent, "weighted; one server's death moves only its own calls"),
        ("modulo", HashKind::Modulo, "over the active table; one server's death moves most calls"),
        (
            "cascade",
            HashKind::Cascade,
            "over the server table, then the next good entry; a dead server's calls all move to its neighbour",
        ),
    ];
}

impl Choice for Selection {
    const WORDS: &'static [(&'static str, Selection, &'static str)] = &[
        ("round-robin", Selection::RoundRobin, "one after the other, by weight"),
        ("least-loaded", Selection::LeastLoaded, "the lowest load in the heartbeats"),
        ("score", Selection::Score, "random, in proportion to a score of free CPU and memory"),
        ("cjsq", Selection::Cjsq, "fewest calls in progress (call-join-shortest-queue)"),
        ("tjsq", Selection::Tjsq, "fewest transactions in progress (transaction-join-shortest-queue)"),
        ("tlwl", Selection::Tlwl, "least work left: transactions, with INVITE weighing more"),
        ("hash", Selection::Hash, "the hash of the Call-ID"),
    ];
}

impl Choice for HoldSetup {
    const WORDS: &'static [(&'static str, HoldSetup, &'static str)] = &[
        ("stream", HoldSetup::Stream, "those that came over a stream, whose sender does not repeat them"),
        (
            "all",
            HoldSetup::All,
            "those over UDP too, whose sender stops repeating at the first provisional answer",
        ),
        ("off", HoldSetup::Off, "none"),
    ];
}

impl Choice for Accept {
    const WORDS: &'static [(&'static str, Accept, &'static str)] = &[
        ("any", Accept::Any, "one: a server that is broken does not unregister everybody"),
        ("majority", Accept::Majority, "more than half"),
        ("all", Accept::All, "each: no telephone takes itself for registered where one server lacks it"),
    ];
}

impl Choice for InsertPath {
    const WORDS: &'static [(&'static str, InsertPath, &'static str)] = &[
        ("supported", InsertPath::Supported, "when the telephone says `Supported: path`"),
        (
            "always",
            InsertPath::Always,
            "always: for telephones that do not say it, behind a registrar that needs it",
        ),
        ("never", InsertPath::Never, "never"),
    ];
}

impl Choice for Probe {
    const WORDS: &'static [(&'static str, Probe, &'static str)] = &[
        (
            "traffic",
            Probe::Traffic,
            "by their traffic, and by OPTIONS when they are suspected; a failed one is tried again after a pause; not behind an address that load managers share",
        ),
        ("options", Probe::Options, "by their traffic, and by OPTIONS when they are idle or suspected"),
        ("off", Probe::Off, "not at all"),
    ];
}

impl Choice for By {
    const WORDS: &'static [(&'static str, By, &'static str)] = &[
        ("agent", By::Agent, "\"get data\" of its agent, over a connection that stays"),
        (
            "performance-server",
            By::PerformanceServer,
            "the same of a `strowger perf`, which answers for many servers",
        ),
        ("agent-check", By::AgentCheck, "HAProxy's agent-check text over TCP"),
        ("options", By::Options, "how long it takes to answer OPTIONS over UDP"),
    ];
}

impl Choice for ThreadModel {
    const WORDS: &'static [(&'static str, ThreadModel, &'static str)] = &[
        (
            "per-core",
            ThreadModel::PerCore,
            "workers for messages, one per core, and a thread for heartbeats and tables",
        ),
        ("one", ThreadModel::One, "one thread for both, with an adaptive service rate between the two"),
        ("two", ThreadModel::Two, "one thread each, sharing the table"),
    ];
}
