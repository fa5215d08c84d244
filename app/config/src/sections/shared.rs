//! Sections that every role of the product reads: listeners, certificates and keys, connections, the API, the control socket,
//! the log.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use base::Key;
use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Effect, Field, Held, KeyHelp, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::value::{Endpoint, Value, Wrong};
use crate::sections::words::{ClientCertificate, LogFormat, TlsVersion};

sections! {
    /// An address at which clients and servers reach the load manager. At least one section is needed. For UDP and TCP on
    /// the same port, write two sections. TCP, TLS and WebSocket each need a port of their own.
    many listen as Listen {
        /// The address to listen on. A server that is written without a transport is reached by UDP if there is a UDP
        /// listener, else by TCP.
        restart address: Endpoint = Required;
        /// The address, or the name, that we write into Via and Record-Route: clients and servers reach this listener by it. A
        /// name is written as it stands here, with or without a port, and each Route and Via with that name is ours
        /// (docs/names.md). If left out, it is `address`, which then must not be a wildcard.
        restart advertise: Option<String> = Unset;
        /// Host names by which clients know this load manager, such as the name of an outbound proxy. A Route entry with one
        /// of these names counts as ours, on every listener. Where a third load manager in front of two sends us the calls
        /// of the other one after that one has failed, write also the address and port of the other one (all with the same
        /// keys).
        restart names: Vec<String> = Unset;
        /// Networks of the proxies for TCP in front of this listener, such as HAProxy: `10.0.0.0/8`, `192.0.2.7`. Each
        /// connection from there must begin with a header of the PROXY protocol, version 1 or 2; the client is then the one
        /// that the header names. Any other connection has no such header. If left out, there are no proxies.
        restart proxy_protocol: Vec<String> = Unset;
        /// Certificate chain of this listener (`tls:` or `wss:`), in PEM. If left out, the chain of section tls.
        reread certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        reread key: Option<PathBuf> = Unset;
        /// Whether clients of this listener must show a certificate. If left out, as section tls says.
        reread client_certificate: Option<ClientCertificate> = Unset;
        /// Certificates, in PEM, of the authorities that sign the certificates of this listener's clients. If left out,
        /// those of section tls.
        reread client_ca: Option<PathBuf> = Unset;
    }

    /// TLS for listeners `tls:` and `wss:` that have no certificate of their own, and for connections to servers `tls:`. The
    /// load manager reads the files at start, and again at SIGHUP. Open connections keep the old certificate; new
    /// connections use the new one.
    one tls as TlsSection {
        /// Certificate chain in PEM: our own certificate first, then the certificates of those who signed it.
        reread certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        reread key: Option<PathBuf> = Unset;
        /// The lowest version of TLS that is accepted. Versions before 1.2 are never accepted.
        live minimum_version: TlsVersion = Is("1.2");
        /// Whether clients must show a certificate.
        live client_certificate: ClientCertificate = Is("off");
        /// Certificates, in PEM, of the authorities that sign the certificates of clients.
        reread client_ca: Option<PathBuf> = Unset;
        /// Certificates, in PEM, of the authorities that sign the certificates of `tls:` servers. To a server that asks for
        /// our certificate, the load manager shows `certificate`.
        reread server_ca: Option<PathBuf> = Unset;
        /// The name that the certificates of `tls:` servers must contain. If left out, each certificate must contain the
        /// server's IP address.
        live server_name: Option<String> = Unset;
    }

    /// A further certificate for the listeners with TLS. A client that asks for a name (SNI, RFC 6066 §3) gets the first
    /// certificate that contains the name: that of the listener, or of section tls, then those of these sections in their
    /// order. If none contains it, and for clients that ask for no name, it is that of the listener.
    many certificate as CertificateSection {
        /// Certificate chain in PEM: our own certificate first, then the certificates of those who signed it.
        reread certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        reread key: Option<PathBuf> = Unset;
    }

    /// Keys that all load managers of a farm share. Without a key, the load manager makes a random tag key at start. Calls
    /// then do not survive a restart, and two load managers do not know each other's calls.
    one keys as Keys {
        /// Tag keys, newest first. The first key signs; all keys verify. To change the key, put a new key in front, and
        /// remove the old key when the longest call is over.
        reread tag: Vec<Key<String>> = Unset;
        /// A file with one key per line, as `strowger key` prints them: `tag ID HEX`, `heartbeat HEX`.
        reread file: Option<PathBuf> = Unset;
        /// The key that signs heartbeats, 32 to 128 hex digits. If left out, every heartbeat is accepted.
        reread heartbeat: Option<Key<String>> = Unset;
    }

    /// Connections over TCP, TLS and WebSocket.
    one connections as ConnectionsSection {
        /// Silence, in seconds, after which a connection of a client is closed. Requests of a call use the connection as
        /// long as the call lasts, so do not choose less than the longest silence of a session. `keep_alive_seconds` finds
        /// clients that are gone. When connections run short, the client with the most connections loses those that were
        /// idle longest.
        restart client_idle_seconds: u64 = Is("3600"), 30..=604800;
        /// The same for a connection that we opened to a server. The load manager opens a new one when it needs one.
        restart server_idle_seconds: u64 = Is("300"), 30..=604800;
        /// Silence, in seconds, after which the kernel asks whether the other end is still there (tcp(7), SO_KEEPALIVE); 0:
        /// never. The question also keeps firewalls and NATs from forgetting the connection.
        restart keep_alive_seconds: u64 = Is("60"), 0..=7200;
        /// The most bytes that all connections together may hold of messages that are incomplete or not yet written. At this
        /// bound, the client or server that holds the most loses connections.
        restart buffered_bytes_max: u64 = Is("67108864"), 1048576..=68719476736;
        /// If a server opens a TCP connection and writes `alias` into its Via, and the connection comes from the address of
        /// a server, requests to that server use this connection, too. Any program at that address could take the server's
        /// requests, so the setting is off. Over TLS the setting is not needed: there the certificate proves the address.
        live tcp_alias: bool = Is("false");
    }

    /// The HTTP API: everything `strowger ctl` can do, and metrics for Prometheus (docs/http-api.md).
    one api as ApiSection {
        /// The address to listen on, such as `127.0.0.1:8060`. If left out, there is no HTTP API. An address beyond loopback
        /// needs `tokens`, and should have `certificate` and `key`, because tokens can be read on the way.
        restart listen: Option<SocketAddr> = Unset;
        /// Certificate chain in PEM: the API then speaks HTTPS alone. If left out, HTTP.
        reread certificate: Option<PathBuf> = Unset;
        /// Private key of that certificate in PEM, without a password.
        reread key: Option<PathBuf> = Unset;
        /// A file with one token per line, as `strowger key --token` prints them. `change TOKEN` may do everything; `read
        /// TOKEN` may only look. If left out, everyone who reaches the listener may look, and nobody may change anything.
        reread tokens: Option<PathBuf> = Unset;
        /// Whether `/metrics` can be read without a token.
        restart open_metrics: bool = Is("true");
    }

    /// The socket that `strowger status` and `strowger ctl` use.
    one control as Control {
        /// Path of the unix socket. Only its owner may connect. If left out: `strowger.sock` in `$XDG_RUNTIME_DIR`; else
        /// `/run/strowger.sock` for root; else in `/tmp`, with the user's number in the name.
        restart path: Option<PathBuf> = Unset;
    }

    /// What the load manager writes down: the operator's log, fault records, and choices of servers.
    one log as Log {
        /// The form of the lines of the operator's log, on standard error.
        live format: LogFormat = Is("text");
        /// Which lines of the operator's log are written: a level for all (`off`, `error`, `warn`, `info`, `debug`,
        /// `trace`), and levels for modules, as in `info,net=debug,refused=off`. `strowger ctl log` changes the filter while
        /// the load manager runs.
        live filter: String = Is("info");
        /// Where fault records go, one JSON object per line: the path of a file, `stderr`, or `off`.
        restart faults: String = Is("stderr");
        /// Where the load manager writes each choice of a server for a call, one JSON object per line, as `strowger why
        /// --json` prints it: the path of a file, `stderr`, or `off`. No worker waits for the writing. Lines that cannot be
        /// written in time are counted and left out.
        live choices: String = Is("off");
        /// How many choices of a server each worker keeps for `strowger why`: the newest ones, 192 bytes each. Numbers are
        /// rounded up to a power of two. 0: none.
        restart why_calls: u64 = Is("16384"), 0..=16777216;
    }
}
