//! The settings of every role's process: certificates, connections, the API, the control socket, the log.

use std::path::PathBuf;
use std::time::Duration;

use base::Network;

use crate::checks::api::{Api, api};
use crate::checks::proxies::proxies;
use crate::checks::tls::{Tls, listeners_need_of_tls, tls};
use crate::files::control_path::control_path;
use crate::language::problem::Problems;
use crate::language::section::Field;
use crate::sections::log_filter::LogFilter;
use crate::sections::shared::{
    ApiSection, CertificateSection, ConnectionsSection, Control, Listen, Log, TlsSection,
};
use crate::sections::words::LogFormat;

/// Settings of the process, whatever its role.
#[derive(Clone, Debug)]
pub struct Process {
    /// Certificates and keys. `None`: the configuration names none.
    pub tls: Option<Tls>,
    pub streams: Streams,
    /// Of each listener, by its index: the networks of the proxies for TCP in front of it.
    pub proxies: Vec<Vec<Network>>,
    /// `None`: no HTTP API.
    pub api: Option<Api>,
    /// The unix socket that `strowger status` asks.
    pub control: PathBuf,
    pub faults: Faults,
    pub log_format: LogFormat,
    pub log_filter: LogFilter,
}

/// How long connections may be silent, and how many bytes may wait on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    pub client_idle: Duration,
    pub server_idle: Duration,
    /// How long a connection is silent before the kernel asks. `None`: never.
    pub keep_alive: Option<Duration>,
    /// Bound for the whole process.
    pub buffered_bytes_max: usize,
}

/// The destination of records: of fault records, or of choices of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    Off,
    Stderr,
    File(PathBuf),
}

/// The sections from which these settings are made.
pub(crate) struct Sections<'a> {
    pub listen: &'a [Listen],
    pub tls: &'a TlsSection,
    pub certificates: &'a [CertificateSection],
    pub connections: &'a ConnectionsSection,
    pub api: &'a ApiSection,
    pub control: &'a Control,
    pub log: &'a Log,
}

pub(crate) fn process(sections: &Sections<'_>, problems: &mut Problems) -> Process {
    let Sections { listen, tls: section, certificates, connections, api: api_section, control, log } =
        *sections;
    let tls = tls(listen, section, certificates, problems);
    listeners_need_of_tls(listen, section, problems);
    let log_filter = LogFilter::parse(&log.filter.value).unwrap_or_else(|what| {
        problems.error(
            &log.filter.place,
            what,
            "write a level, or a level and MODULE=LEVEL, as in info,net=debug",
        );
        LogFilter::default()
    });
    let seconds = |field: &Field<u64>| Duration::from_secs(field.value);
    Process {
        tls,
        streams: Streams {
            client_idle: seconds(&connections.client_idle_seconds),
            server_idle: seconds(&connections.server_idle_seconds),
            keep_alive: Some(seconds(&connections.keep_alive_seconds)).filter(|time| !time.is_zero()),
            buffered_bytes_max: connections.buffered_bytes_max.value as usize,
        },
        proxies: proxies(listen, problems),
        api: api(api_section, problems),
        control: control.path.value.clone().unwrap_or_else(control_path),
        faults: place(&log.faults.value),
        log_format: log.format.value,
        log_filter,
    }
}

/// Reads the place of records.
pub(crate) fn place(text: &str) -> Faults {
    match text {
        "off" => Faults::Off,
        "stderr" => Faults::Stderr,
        path => Faults::File(path.into()),
    }
}
