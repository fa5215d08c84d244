//! How names are looked up: whom to ask, and how long answers count.

use std::net::SocketAddr;
use std::time::Duration;

use dns::cache::Limits;

use crate::language::problem::Problems;
use crate::language::value::parse_address;
use crate::sections::roles::Raw;

const DNS_PORT: u16 = 53;
/// Names and kinds of records that are remembered: a farm has few, but clients of servers may have many.
const ENTRIES_MAX: usize = 8192;

/// See section resolver of the reference page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolving {
    /// Empty: those of resolv.conf(5).
    pub name_servers: Vec<SocketAddr>,
    pub timeout: Duration,
    pub limits: Limits,
}

pub(crate) fn resolving(raw: &Raw, problems: &mut Problems) -> Resolving {
    let section = &raw.resolver;
    let mut name_servers = Vec::new();
    for text in &section.name_servers.value {
        match parse_address(text, Some(DNS_PORT)) {
            Ok(address) if address.ip().is_unspecified() || address.ip().is_multicast() => {
                let what = format!("`name_servers`: {address} is not a unicast address");
                problems.error(&section.name_servers.place, what, "write the address of a name server");
            }
            Ok(address) => name_servers.push(address),
            Err((what, remedy)) => {
                problems.error(&section.name_servers.place, format!("`name_servers`: {what}"), remedy);
            }
        }
    }
    if section.ttl_min_seconds.value > section.ttl_max_seconds.value {
        let what = "`ttl_min_seconds` is more than `ttl_max_seconds`";
        problems.error(&section.ttl_min_seconds.place, what, "write no more than ttl_max_seconds");
    }
    Resolving {
        name_servers,
        timeout: Duration::from_millis(section.timeout_ms.value),
        limits: Limits {
            ttl_min: Duration::from_secs(section.ttl_min_seconds.value),
            ttl_max: Duration::from_secs(section.ttl_max_seconds.value),
            failure: Duration::from_secs(section.failure_seconds.value),
            entries_max: ENTRIES_MAX,
        },
    }
}
