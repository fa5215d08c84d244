//! The kinds of datagrams and the sections of each.

use std::net::{IpAddr, SocketAddr};

use heartbeat::Transport;

use super::sections::{Reader, Writer, id};
use super::{Body, CONTACT_BYTES_MAX, CallName, DATAGRAM_BYTES_MAX, Ignored, Offer, Report, USER_BYTES_MAX};
use crate::choice::ServiceState;
use crate::workload::{Measures, Workload};

const REPORT: u8 = 1;
const POLL: u8 = 2;
const OFFER: u8 = 3;
const TAKEN: u8 = 4;
const REFUSED: u8 = 5;

const QUALITY_MAX: u8 = 100;
const CPU_PERMILLE_MAX: u32 = 1000;

impl Body {
    pub(super) fn kind(&self) -> u8 {
        match self {
            Body::Report(_) => REPORT,
            Body::Poll { .. } => POLL,
            Body::Offer(_) => OFFER,
            Body::Taken { .. } => TAKEN,
            Body::Refused { .. } => REFUSED,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        match self {
            Body::Report(report) => report.write(out),
            Body::Poll { nonce, share } => {
                out.u64(id::NONCE, *nonce);
                out.section(id::SHARE, &[u8::from(*share)]);
            }
            Body::Offer(offer) => offer.write(out),
            Body::Taken { call, path, contact, told } => {
                call.write(out);
                out.names(id::VISITED, path);
                out.section(id::CONTACT, contact);
                out.section(id::TOLD, &[u8::from(*told)]);
            }
            Body::Refused { call, path, retry_after_seconds } => {
                call.write(out);
                out.names(id::VISITED, path);
                out.u32(id::RETRY_AFTER_SECONDS, *retry_after_seconds);
            }
        }
    }

    pub(super) fn read(kind: u8, from: &Reader<'_>) -> Result<Body, Ignored> {
        match kind {
            REPORT => Report::read(from).map(Body::Report),
            POLL => Ok(Body::Poll { nonce: from.u64(id::NONCE)?, share: from.flag(id::SHARE)? }),
            OFFER => Offer::read(from).map(|offer| Body::Offer(Box::new(offer))),
            TAKEN => Ok(Body::Taken {
                call: CallName::read(from)?,
                path: from.names(id::VISITED)?,
                contact: contact(from.bytes(id::CONTACT, CONTACT_BYTES_MAX)?)?,
                told: from.flag(id::TOLD)?,
            }),
            REFUSED => Ok(Body::Refused {
                call: CallName::read(from)?,
                path: from.names(id::VISITED)?,
                retry_after_seconds: from.u32(id::RETRY_AFTER_SECONDS)?,
            }),
            _ => Err(Ignored::BadSection),
        }
    }
}

/// The text is written into a header field between angle brackets, so it may contain none of these.
fn contact(value: &[u8]) -> Result<Vec<u8>, Ignored> {
    if value.is_empty() || !value.iter().all(|byte| is_of_uri(*byte)) {
        return Err(Ignored::BadSection);
    }
    Ok(value.to_vec())
}

/// Printable, and neither a bracket nor a quote: it cannot end its place in the header field.
pub(crate) fn is_of_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte)
}

impl CallName {
    fn write(&self, out: &mut Writer) {
        out.section(id::ORIGIN, self.origin.as_bytes());
        out.u64(id::NUMBER, self.number);
    }

    fn read(from: &Reader<'_>) -> Result<CallName, Ignored> {
        Ok(CallName { origin: from.name(id::ORIGIN)?, number: from.u64(id::NUMBER)? })
    }
}

impl Report {
    fn write(&self, out: &mut Writer) {
        out.u64(id::NONCE, self.nonce);
        out.section(id::PRESENT, &[u8::from(self.present)]);
        out.u32(id::WORKLOAD, self.workload.0);
        out.u32(id::CALL_PERMILLE, self.call_permille);
        out.u32(id::BYTES_PER_SECOND, self.measures.bytes_per_second);
        out.u32(id::CLIENTS, self.measures.clients);
        out.u32(id::CALLS, self.measures.calls);
        out.u32(id::CALLS_PER_SECOND, self.measures.calls_per_second);
        out.u32(id::CPU_PERMILLE, self.measures.cpu_permille.min(CPU_PERMILLE_MAX));
        let state = match self.state {
            ServiceState::Normal => 0,
            ServiceState::Limited => 1,
            ServiceState::Draining => 2,
        };
        out.section(id::STATE, &[state]);
        out.u32(id::COST, self.cost);
        out.section(id::QUALITY, &[self.quality.min(QUALITY_MAX)]);
        if !self.region.is_empty() {
            out.section(id::REGION, self.region.as_bytes());
        }
        out.u32(id::PERIOD_MS, self.period_ms);
    }

    fn read(from: &Reader<'_>) -> Result<Report, Ignored> {
        let state = match from.fixed::<1>(id::STATE)? {
            [0] => ServiceState::Normal,
            [1] => ServiceState::Limited,
            [2] => ServiceState::Draining,
            _ => return Err(Ignored::BadSection),
        };
        let [quality] = from.fixed::<1>(id::QUALITY)?;
        let cpu_permille = from.u32(id::CPU_PERMILLE)?;
        if quality > QUALITY_MAX || cpu_permille > CPU_PERMILLE_MAX {
            return Err(Ignored::BadSection);
        }
        Ok(Report {
            nonce: from.u64(id::NONCE)?,
            present: from.flag(id::PRESENT)?,
            workload: Workload(from.u32(id::WORKLOAD)?),
            call_permille: from.u32(id::CALL_PERMILLE)?,
            measures: Measures {
                bytes_per_second: from.u32(id::BYTES_PER_SECOND)?,
                clients: from.u32(id::CLIENTS)?,
                calls: from.u32(id::CALLS)?,
                calls_per_second: from.u32(id::CALLS_PER_SECOND)?,
                cpu_permille,
            },
            state,
            cost: from.u32(id::COST)?,
            quality,
            region: if from.find(id::REGION).is_some() { from.name(id::REGION)? } else { String::new() },
            period_ms: from.u32(id::PERIOD_MS)?,
        })
    }
}

impl Offer {
    fn write(&self, out: &mut Writer) {
        self.call.write(out);
        out.u64(id::TO_INSTANCE, self.to_instance);
        out.names(id::VISITED, &self.visited);
        if !self.avoid.is_empty() {
            out.names(id::AVOID, &self.avoid);
        }
        out.section(id::HOPS_LEFT, &[self.hops_left]);
        out.section(id::MUST_TAKE, &[u8::from(self.must_take)]);
        let port = self.client.port().to_be_bytes();
        match self.client.ip() {
            IpAddr::V4(ip) => out.section(id::CLIENT_IPV4, &[&ip.octets()[..], &port].concat()),
            IpAddr::V6(ip) => out.section(id::CLIENT_IPV6, &[&ip.octets()[..], &port].concat()),
        }
        out.section(id::TRANSPORT, &[u8::from(self.transport == Transport::Tcp)]);
        out.section(id::USER, &self.user);
        if !self.answer.is_empty() {
            out.section(id::ANSWER, &self.answer);
        }
    }

    fn read(from: &Reader<'_>) -> Result<Offer, Ignored> {
        let client = match (from.find(id::CLIENT_IPV4), from.find(id::CLIENT_IPV6)) {
            (Some(_), None) => {
                let [a, b, c, d, port @ ..] = from.fixed::<6>(id::CLIENT_IPV4)?;
                SocketAddr::new(IpAddr::from([a, b, c, d]), u16::from_be_bytes(port))
            }
            (None, Some(_)) => {
                let value = from.fixed::<18>(id::CLIENT_IPV6)?;
                let ip: [u8; 16] = std::array::from_fn(|at| value[at]);
                SocketAddr::new(IpAddr::from(ip), u16::from_be_bytes([value[16], value[17]]))
            }
            _ => return Err(Ignored::BadSection),
        };
        let user = from.bytes(id::USER, USER_BYTES_MAX)?;
        let visited = from.names(id::VISITED)?;
        if !user.iter().all(|byte| is_of_uri(*byte)) || client.port() == 0 || visited.is_empty() {
            return Err(Ignored::BadSection);
        }
        Ok(Offer {
            call: CallName::read(from)?,
            to_instance: from.u64(id::TO_INSTANCE)?,
            visited,
            avoid: if from.find(id::AVOID).is_some() { from.names(id::AVOID)? } else { Vec::new() },
            hops_left: from.fixed::<1>(id::HOPS_LEFT)?[0],
            must_take: from.flag(id::MUST_TAKE)?,
            client,
            transport: if from.flag(id::TRANSPORT)? { Transport::Tcp } else { Transport::Udp },
            user: user.to_vec(),
            answer: from
                .find(id::ANSWER)
                .map_or(Ok(&[][..]), |_| from.bytes(id::ANSWER, DATAGRAM_BYTES_MAX))?
                .to_vec(),
        })
    }
}
