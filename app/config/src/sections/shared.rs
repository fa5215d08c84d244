//! Sections that every role of the product reads: where it listens, with which certificates and keys, its connections, its API,
//! its control socket, its log.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Effect, Field, Held, Key, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::value::{Endpoint, Value, Wrong};
use crate::sections::words::{ClientCertificate, LogFormat, TlsVersion};

sections! {
    /// An address that clients and servers reach the load manager at. At least one; with UDP and TCP on one port, two sections.
    /// TCP, TLS and WebSocket each need a port of their own.
    many listen as Listen {
        /// Where to listen. A server without transport is reached by UDP when there is a UDP listener, else by TCP.
        restart address: Endpoint = Required;
        /// The address that Via and Record-Route carry: the one that clients and servers reach this listener by. Left out:
        /// the same as `address`, which then must not be a wildcard.
        restart advertise: Option<String> = Unset;
        /// Host names by which clients know this load manager, such as that of an outbound proxy. A Route with one of them is taken
        /// for ours, on whichever listener it comes. Also the address and port of another load manager with the same keys, where a
        /// third one in front gives us its calls when it is gone.
        restart names: Vec<String> = Unset;
        /// Certificate chain in PEM of this listener, `tls:` or `wss:`. Left out: that of section tls.
        reread certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        reread key: Option<PathBuf> = Unset;
        /// Whether clients of this listener must show a certificate. Left out: what section tls says.
        reread client_certificate: Option<ClientCertificate> = Unset;
        /// Certificates in PEM of the authorities that the certificates of this listener's clients must be signed by. Left out: those
        /// of section tls.
        reread client_ca: Option<PathBuf> = Unset;
    }

    /// TLS: of listeners `tls:` and `wss:` that have no certificate of their own, and towards servers `tls:`. The files are read at
    /// start, and again when the process gets SIGHUP: connections that are open keep what they have, new ones take the new.
    one tls as TlsSection {
        /// Certificate chain in PEM: the own certificate first, then those that signed it.
        reread certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        reread key: Option<PathBuf> = Unset;
        /// Lowest version of TLS that is spoken. Versions before 1.2 are not.
        live minimum_version: TlsVersion = Is("1.2");
        /// Whether clients must show a certificate.
        live client_certificate: ClientCertificate = Is("off");
        /// Certificates in PEM of the authorities that clients' certificates must be signed by.
        reread client_ca: Option<PathBuf> = Unset;
        /// Certificates in PEM of the authorities that the certificates of `tls:` servers must be signed by. A server that asks
        /// for ours is shown `certificate`.
        reread server_ca: Option<PathBuf> = Unset;
        /// The name that the certificates of `tls:` servers must bear. Left out: each must bear the server's IP address.
        live server_name: Option<String> = Unset;
    }

    /// Keys that all load managers of a farm share. Without any, a random tag key is made at start: calls then do not
    /// survive a restart, and two load managers do not know each other's calls.
    one keys as Keys {
        /// Tag keys, newest first: the first signs, all verify. To rotate: put a new one in front, remove the old one when
        /// the longest call is over.
        reread tag: Vec<String> = Unset;
        /// A file with one key per line, as `strowger key` prints them: `tag ID HEX`, `heartbeat HEX`.
        reread file: Option<PathBuf> = Unset;
        /// Key that heartbeats are signed with, 32 to 128 hex digits. Left out: any heartbeat is believed.
        reread heartbeat: Option<String> = Unset;
    }

    /// Connections over TCP, TLS and WebSocket.
    one connections as ConnectionsSection {
        /// A connection of a client that has been silent so long is closed, seconds. Requests of a call come by it as long as the
        /// call lasts, so it is as long as a session may be silent; whoever is gone is found by `keep_alive_seconds`, and
        /// where places are short the longest idle connections of whoever has the most go first.
        restart client_idle_seconds: u64 = Is("3600"), 30..=604800;
        /// The same for a connection that we opened to a server. It is opened again on demand.
        restart server_idle_seconds: u64 = Is("300"), 30..=604800;
        /// After so much silence the kernel asks whether the other end is still there (tcp(7), SO_KEEPALIVE), seconds; 0: never. It
        /// also keeps firewalls and NATs from forgetting the connection.
        restart keep_alive_seconds: u64 = Is("60"), 0..=7200;
        /// Bytes that all connections together may hold of messages that are not whole or not written yet. At the bound whoever
        /// holds the most loses connections.
        restart buffered_bytes_max: u64 = Is("67108864"), 1048576..=68719476736;
        /// A server that opens a TCP connection and says `alias` in its Via gets its requests by that connection too, if it comes
        /// from the address of a server. Whoever runs a program at that address could take the server's requests: over TLS, where
        /// certificates prove the address, this is done without a key.
        live tcp_alias: bool = Is("false");
    }

    /// The HTTP API: everything `strowger ctl` can do, and metrics for Prometheus (docs/http-api.md).
    one api as ApiSection {
        /// Where to listen, such as `127.0.0.1:8060`. Left out: no HTTP. Beyond loopback it needs `tokens`, and a proxy in
        /// front for TLS.
        restart listen: Option<SocketAddr> = Unset;
        /// A file with one token per line, as `strowger key --token` prints them: `change TOKEN` may do everything,
        /// `read TOKEN` may look. Left out: anyone who reaches the listener may look, and nobody may change anything.
        reread tokens: Option<PathBuf> = Unset;
        /// `/metrics` needs no token.
        restart open_metrics: bool = Is("true");
    }

    /// The socket that `strowger status` and `strowger ctl` ask.
    one control as Control {
        /// Path of the unix socket; only its owner may connect. Left out: `strowger.sock` in `$XDG_RUNTIME_DIR`, else
        /// `/run/strowger.sock` for root, else in `/tmp` with the user's number in its name.
        restart path: Option<PathBuf> = Unset;
    }

    /// What is written down: operations, what went wrong, and choices of servers.
    one log as Log {
        /// How lines of the operator's log, on standard error, are written.
        live format: LogFormat = Is("text");
        /// Which lines of the operator's log are written: a level for all (`off`, `error`, `warn`, `info`, `debug`, `trace`), and
        /// levels for modules, as in `info,net=debug,refused=off`. `strowger ctl log` changes it while the load manager runs.
        live filter: String = Is("info");
        /// Where fault records go, one JSON object per line: the path of a file, `stderr`, or `off`.
        restart faults: String = Is("stderr");
        /// Where each choice of a server for a call goes, one JSON object per line as `strowger why --json` has it: the path of a
        /// file, `stderr`, or `off`. No worker waits for it; lines that cannot be written in time are counted and left out.
        live choices: String = Is("off");
        /// Choices of a server that `strowger why` can explain: the newest so many of each worker, 192 bytes each (a power of
        /// two; other numbers are rounded up). 0: none are kept.
        restart why_calls: u64 = Is("16384"), 0..=16777216;
    }
}
