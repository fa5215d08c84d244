//! From a name to the places that it stands for (RFC 3263 §4.1 and §4.2): transport, port and addresses, by NAPTR, SRV, A and AAAA.
//!
//! The way is gone anew with each answer, and ends where an answer is missing. An answer that failed ends it, too: silence does
//! not say that there is no record, so nothing is concluded from it.

use std::net::{IpAddr, SocketAddr};

use sip::{SIP_PORT, SIPS_PORT, Transport};

use crate::cache::Seen;
use crate::name::Name;
use crate::record::{Failure, Kind, Naptr, Question, RECORDS_MAX, Records, Srv};

/// A name with what is known beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub name: Name,
    /// With a port, only A and AAAA records are asked.
    pub port: Option<u16>,
    /// `None`: the records say it.
    pub transport: Option<Transport>,
    /// Only transports over TLS are taken, as for a `sips:` URI.
    pub secure: bool,
    /// See [`Question::searched`].
    pub searched: bool,
}

/// What can be reached at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// By IPv4 and by IPv6.
    pub udp: [bool; 2],
    pub tcp: [bool; 2],
    pub tls: [bool; 2],
}

impl Reach {
    fn by(&self, transport: Transport) -> [bool; 2] {
        match transport {
            Transport::Udp => self.udp,
            Transport::Tcp => self.tcp,
            Transport::Tls => self.tls,
            // Nobody waits for connections over WebSocket behind a name (RFC 7118 §5.3).
            Transport::Ws | Transport::Wss => [false; 2],
        }
    }

    fn takes(&self, transport: Transport) -> bool {
        self.by(transport) != [false; 2]
    }
}

/// The places of one record: the addresses of one SRV target, or all addresses of a name without SRV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub priority: u16,
    pub weight: u16,
    pub transport: Transport,
    /// At least one.
    pub addresses: Vec<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Located {
    Found(Vec<Choice>),
    /// Answers are missing that have been asked for.
    Waiting,
    Nowhere(Why),
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// There is no record for it, as far as we can reach such a place.
    NoRecord,
    /// The records say that the service is not offered (RFC 2782, target `.`).
    NotOffered,
    /// None of the transports that it is offered by can be used.
    NoTransport,
    Failed(Failure),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::NoRecord => f.write_str("the name has no record that can be used"),
            Why::NotOffered => f.write_str("its SRV record says that the service is not offered"),
            Why::NoTransport => f.write_str("no listener has a transport of the name"),
            Why::Failed(failure) => failure.fmt(f),
        }
    }
}

/// What one step came to.
enum Step<T> {
    Known(T),
    Nothing,
    Waiting,
    Failed(Failure),
}

type See<'a> = &'a mut dyn FnMut(&Question) -> Seen;

/// Where the target leads, by what `see` knows. `see` asks what it does not know.
pub fn locate(target: &Target, reach: &Reach, see: See<'_>) -> Located {
    let default = default_transport(target, reach);
    if target.name.is_service() {
        return match srv(target.transport.unwrap_or(default), &target.name, target.searched, reach, see) {
            Step::Known(located) => located,
            Step::Nothing => Located::Nowhere(Why::NoRecord),
            Step::Waiting => Located::Waiting,
            Step::Failed(failure) => Located::Nowhere(Why::Failed(failure)),
        };
    }
    if let Some(port) = target.port {
        return addresses_alone(target, target.transport.unwrap_or(default), port, reach, see);
    }
    let found = match target.transport {
        Some(transport) => by_service(target, &[transport], reach, see),
        None => match by_naptr(target, reach, see) {
            // Without NAPTR: an SRV question for each transport (RFC 3263 §4.1).
            Step::Nothing => by_service(target, unasked(target, reach).as_slice(), reach, see),
            found => found,
        },
    };
    match found {
        Step::Known(located) => located,
        Step::Nothing => {
            let transport = target.transport.unwrap_or(default);
            let port = if transport.is_secure() { SIPS_PORT } else { SIP_PORT };
            addresses_alone(target, transport, port, reach, see)
        }
        Step::Waiting => Located::Waiting,
        Step::Failed(failure) => Located::Nowhere(Why::Failed(failure)),
    }
}

/// If nobody says it: TLS for `sips:`, else UDP, or TCP where there is no UDP (RFC 3263 §4.1).
fn default_transport(target: &Target, reach: &Reach) -> Transport {
    match target.secure {
        true => Transport::Tls,
        false if reach.takes(Transport::Udp) || !reach.takes(Transport::Tcp) => Transport::Udp,
        false => Transport::Tcp,
    }
}

/// The transports that are asked for one by one, the most preferred first.
fn unasked(target: &Target, reach: &Reach) -> Vec<Transport> {
    let all: &[Transport] = if target.secure { &[Transport::Tls] } else { &[Transport::Udp, Transport::Tcp] };
    all.iter().copied().filter(|transport| reach.takes(*transport)).collect()
}

/// The best NAPTR record whose service we have, and whose SRV records there are.
fn by_naptr(target: &Target, reach: &Reach, see: See<'_>) -> Step<Located> {
    let question = Question { name: target.name.clone(), kind: Kind::Naptr, searched: target.searched };
    let records = match see(&question) {
        Seen::Found(records) => records,
        Seen::Nothing => return Step::Nothing,
        Seen::Waiting => return Step::Waiting,
        Seen::Failed(failure) => return Step::Failed(failure),
    };
    let Records::Naptr(records) = &*records else { return Step::Failed(Failure::Broken) };
    let offered = |record: &Naptr| transport_of_service(&record.service);
    let mut sorted: Vec<(&Naptr, Transport)> = records
        .iter()
        .filter_map(|record| Some((record, offered(record)?)))
        .filter(|(_, transport)| transport.is_secure() || !target.secure)
        .collect();
    if sorted.is_empty() {
        // Records of other services only, such as those of telephone numbers.
        return Step::Nothing;
    }
    sorted.retain(|(_, transport)| reach.takes(*transport));
    sorted.sort_by_key(|(record, _)| (record.order, record.preference));
    if sorted.is_empty() {
        return Step::Known(Located::Nowhere(Why::NoTransport));
    }
    for (record, transport) in sorted {
        // The replacement is a whole name: no search list completes it.
        match srv(transport, &record.replacement, false, reach, see) {
            Step::Nothing => {}
            found => return found,
        }
    }
    Step::Nothing
}

/// The transport of a NAPTR service that is of use here (RFC 3263 §4.1).
fn transport_of_service(service: &str) -> Option<Transport> {
    let is = |known: &str| service.eq_ignore_ascii_case(known);
    match () {
        () if is("SIP+D2U") => Some(Transport::Udp),
        () if is("SIP+D2T") => Some(Transport::Tcp),
        () if is("SIPS+D2T") => Some(Transport::Tls),
        () => None,
    }
}

/// SRV records of the name itself, of the first of these transports that has some. All are asked at once.
fn by_service(target: &Target, transports: &[Transport], reach: &Reach, see: See<'_>) -> Step<Located> {
    let mut best = Step::Nothing;
    for transport in transports {
        let labels = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws | Transport::Wss => continue,
        };
        let Some(name) = target.name.service(labels) else { continue };
        let found = srv(*transport, &name, target.searched, reach, see);
        if matches!(best, Step::Nothing) {
            best = found;
        }
    }
    best
}

/// The SRV records of a name, with the addresses of their targets (RFC 2782).
fn srv(transport: Transport, name: &Name, searched: bool, reach: &Reach, see: See<'_>) -> Step<Located> {
    let question = Question { name: name.clone(), kind: Kind::Srv, searched };
    let records = match see(&question) {
        Seen::Found(records) => records,
        Seen::Nothing => return Step::Nothing,
        Seen::Waiting => return Step::Waiting,
        Seen::Failed(failure) => return Step::Failed(failure),
    };
    let Records::Srv(records) = &*records else { return Step::Failed(Failure::Broken) };
    let (mut choices, mut waiting, mut failed, mut places) = (Vec::new(), false, None, 0);
    for Srv { priority, weight, port, target } in records.iter().take(RECORDS_MAX) {
        let Some(target) = target.as_ref().filter(|_| *port != 0) else { continue };
        let (ips, is_waiting, failure) = addresses(target, false, transport, reach, see);
        (waiting, failed) = (waiting || is_waiting, failed.or(failure));
        let addresses: Vec<SocketAddr> = ips
            .iter()
            .take(RECORDS_MAX.saturating_sub(places))
            .map(|ip| SocketAddr::new(*ip, *port))
            .collect();
        places += addresses.len();
        if !addresses.is_empty() {
            choices.push(Choice { priority: *priority, weight: *weight, transport, addresses });
        }
    }
    if waiting {
        return Step::Waiting;
    }
    choices.sort_by_key(|choice| choice.priority);
    Step::Known(match (choices.is_empty(), failed) {
        (false, _) => Located::Found(choices),
        (true, Some(failure)) => Located::Nowhere(Why::Failed(failure)),
        (true, None) if records.iter().all(|record| record.target.is_none()) => {
            Located::Nowhere(Why::NotOffered)
        }
        (true, None) => Located::Nowhere(Why::NoRecord),
    })
}

/// The addresses of the name itself, at this port.
fn addresses_alone(target: &Target, transport: Transport, port: u16, reach: &Reach, see: See<'_>) -> Located {
    if !reach.takes(transport) {
        return Located::Nowhere(Why::NoTransport);
    }
    let (ips, waiting, failed) = addresses(&target.name, target.searched, transport, reach, see);
    let addresses: Vec<SocketAddr> =
        ips.iter().take(RECORDS_MAX).map(|ip| SocketAddr::new(*ip, port)).collect();
    match (waiting, addresses.is_empty(), failed) {
        (true, ..) => Located::Waiting,
        (false, false, _) => Located::Found(vec![Choice { priority: 0, weight: 0, transport, addresses }]),
        (false, true, Some(failure)) => Located::Nowhere(Why::Failed(failure)),
        (false, true, None) => Located::Nowhere(Why::NoRecord),
    }
}

/// The addresses of a host by all IP versions that we have for the transport; whether some are still being asked; a failure.
fn addresses(
    name: &Name,
    searched: bool,
    transport: Transport,
    reach: &Reach,
    see: See<'_>,
) -> (Vec<IpAddr>, bool, Option<Failure>) {
    let (mut all, mut waiting, mut failed) = (Vec::new(), false, None);
    for (kind, reaches) in [Kind::A, Kind::Aaaa].into_iter().zip(reach.by(transport)) {
        if !reaches {
            continue;
        }
        match see(&Question { name: name.clone(), kind, searched }) {
            Seen::Found(records) => match &*records {
                Records::Addresses(ips) => all.extend(ips.iter().filter(|ip| is_of_one_host(**ip))),
                _ => failed = Some(Failure::Broken),
            },
            Seen::Nothing => {}
            Seen::Waiting => waiting = true,
            Seen::Failed(failure) => failed = Some(failure),
        }
    }
    (all, waiting, failed)
}

/// Nothing is sent to groups, to all hosts, or to nobody, whatever a record says.
fn is_of_one_host(ip: IpAddr) -> bool {
    let all = matches!(ip.to_canonical(), IpAddr::V4(ip) if ip.is_broadcast());
    let ip = ip.to_canonical();
    !all && !ip.is_multicast() && !ip.is_unspecified()
}

#[cfg(test)]
mod tests;
