//! From what the resolver library gives to the records that SIP needs.

use std::net::IpAddr;
use std::time::Duration;

use dns::name::Name;
use dns::record::{Answer, Failure, Kind, Naptr, RECORDS_MAX, Records, Srv};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{self, RData};

/// The answer to a question of this kind.
pub(crate) fn answer(kind: Kind, outcome: Result<Lookup, NetError>) -> Answer {
    match outcome {
        Ok(lookup) => found(kind, &lookup),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            Answer::Nothing { ttl: none.negative_ttl.map(|seconds| Duration::from_secs(u64::from(seconds))) }
        }
        Err(error) => Answer::Failed(failure(&error)),
    }
}

fn failure(error: &NetError) -> Failure {
    match error {
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => Failure::ServerFailure,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => Failure::Refused,
        NetError::Timeout | NetError::NoConnections => Failure::Silent,
        NetError::Io(_) => Failure::Silent,
        _ => Failure::Broken,
    }
}

fn found(kind: Kind, lookup: &Lookup) -> Answer {
    let answers = lookup.answers();
    // The chain of aliases counts, too: the answer is good as long as each part of it.
    let seconds = answers.iter().map(|record| record.ttl).min().unwrap_or(0);
    let all = answers.iter().take(RECORDS_MAX).map(|record| &record.data);
    let records = match kind {
        Kind::Naptr => Records::Naptr(all.filter_map(naptr).collect()),
        Kind::Srv => Records::Srv(all.filter_map(srv).collect()),
        Kind::A | Kind::Aaaa => Records::Addresses(all.filter_map(address).collect()),
    };
    let is_empty = match &records {
        Records::Naptr(all) => all.is_empty(),
        Records::Srv(all) => all.is_empty(),
        Records::Addresses(all) => all.is_empty(),
    };
    let ttl = Duration::from_secs(u64::from(seconds));
    // Aliases that end nowhere, or records of no use.
    if is_empty { Answer::Nothing { ttl: Some(ttl) } } else { Answer::Found { records, ttl } }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(ip) => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
        _ => None,
    }
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else { return None };
    let (priority, weight, port) = (record.priority, record.weight, record.port);
    let target = match record.target.is_root() {
        true => None,
        // A name that nobody can ask is left out.
        false => Some(name(&record.target)?),
    };
    Some(Srv { priority, weight, port, target })
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else { return None };
    let is_used = record.flags.eq_ignore_ascii_case(b"s") && record.regexp.is_empty();
    let service = std::str::from_utf8(&record.services).ok().filter(|_| is_used)?;
    let (order, preference) = (record.order, record.preference);
    Some(Naptr { order, preference, service: service.into(), replacement: name(&record.replacement)? })
}

fn name(name: &rr::Name) -> Option<Name> {
    Name::new(&name.to_ascii())
}
