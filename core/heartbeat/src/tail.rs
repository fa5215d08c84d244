//! The tail after the document's four fields: magic, version, length, then sections of id, length and value. All numbers are
//! in the byte order of the head. A section with an unknown id is skipped, so that senders can be newer.
//!
//! The authenticator is the last section and covers every byte before its value: head, lengths and ids included.

use std::net::IpAddr;

use crate::authenticator::{self, AUTHENTICATOR_BYTES};
use crate::datagram::{Heartbeat, Order, Transport};
use crate::ignored::Ignored;
use crate::load::Load;

/// "STRO": the bytes after the plain form are our tail, and not rubbish.
const MAGIC: u32 = 0x5354_524F;

/// Raised only if a receiver of the old version must not read the rest; additions are new sections.
const VERSION: u16 = 1;

/// Magic, version, length of the sections.
const HEADER_BYTES: usize = 8;

/// Id and length of a section.
const SECTION_HEADER_BYTES: usize = 4;

/// Section ids. An id is never used again with another meaning; a value of another length is a new section.
mod id {
    pub(super) const SIP_IPV4: u16 = 1;
    pub(super) const SIP_IPV6: u16 = 2;
    pub(super) const TRANSPORT: u16 = 3;
    pub(super) const COUNT: u16 = 4;
    pub(super) const PERIOD_MS: u16 = 5;
    pub(super) const NONCE: u16 = 6;
    pub(super) const AGE_MS: u16 = 7;
    pub(super) const DOWN: u16 = 8;
    pub(super) const STATE_TIER: u16 = 9;
    pub(super) const CPU_PERMILLE: u16 = 16;
    pub(super) const MEMORY_AVAILABLE_KIB: u16 = 17;
    pub(super) const SERVER_CPU_PERMILLE: u16 = 18;
    pub(super) const SERVER_MEMORY_KIB: u16 = 19;
    pub(super) const CALLS: u16 = 20;
    pub(super) const RESIDUAL_CALLS: u16 = 21;
    pub(super) const NETWORK_PERMILLE: u16 = 22;
    pub(super) const LATENCY_US: u16 = 23;
    pub(super) const AUTHENTICATOR: u16 = 0xFFFF;
}

/// The sections of a tail whose frame is sound; an iterator that can be copied and started again.
#[derive(Clone, Copy)]
pub(crate) struct Sections<'a> {
    rest: &'a [u8],
    order: Order,
}

struct Section<'a> {
    id: u16,
    value: &'a [u8],
}

impl<'a> Sections<'a> {
    /// `rest` is everything after the head; empty for the plain form.
    pub(crate) fn within(rest: &'a [u8], order: Order) -> Result<Sections<'a>, Ignored> {
        if rest.is_empty() {
            return Ok(Sections { rest, order });
        }
        let Some((header, sections)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Ignored::Long);
        };
        if order.u32([header[0], header[1], header[2], header[3]]) != MAGIC {
            return Err(Ignored::Long);
        }
        if order.u16([header[4], header[5]]) != VERSION {
            return Err(Ignored::BadTail);
        }
        match usize::from(order.u16([header[6], header[7]])) {
            length if length > sections.len() => Err(Ignored::Short),
            length if length < sections.len() => Err(Ignored::Long),
            _ => Ok(Sections { rest: sections, order }),
        }
    }

    /// The next section; `BadTail` if a section goes beyond the end.
    fn next(&mut self) -> Result<Option<Section<'a>>, Ignored> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (header, after) =
            self.rest.split_first_chunk::<SECTION_HEADER_BYTES>().ok_or(Ignored::BadTail)?;
        let length = usize::from(self.order.u16([header[2], header[3]]));
        let (value, rest) = after.split_at_checked(length).ok_or(Ignored::BadTail)?;
        self.rest = rest;
        Ok(Some(Section { id: self.order.u16([header[0], header[1]]), value }))
    }
}

/// Checks the authenticator, which is the last section, against every byte before its value.
pub(crate) fn authenticate(datagram: &[u8], mut sections: Sections<'_>, key: &[u8]) -> Result<(), Ignored> {
    let mut last = None;
    while let Some(section) = sections.next()? {
        last = Some(section);
    }
    let last = last.filter(|section| section.id == id::AUTHENTICATOR).ok_or(Ignored::NoAuthenticator)?;
    let given: &[u8; AUTHENTICATOR_BYTES] = last.value.try_into().map_err(|_| Ignored::BadTail)?;
    let covered = &datagram[..datagram.len() - AUTHENTICATOR_BYTES];
    if authenticator::is_right(key, covered, given) { Ok(()) } else { Err(Ignored::BadAuthenticator) }
}

/// Reads the sections into `heartbeat`.
pub(crate) fn read(mut sections: Sections<'_>, heartbeat: &mut Heartbeat) -> Result<(), Ignored> {
    let order = sections.order;
    let mut load = Load::default();
    while let Some(Section { id, value }) = sections.next()? {
        match id {
            id::SIP_IPV4 => once(&mut heartbeat.sip_address, usable(IpAddr::from(fixed::<4>(value)?))?)?,
            id::SIP_IPV6 => once(&mut heartbeat.sip_address, usable(IpAddr::from(fixed::<16>(value)?))?)?,
            id::TRANSPORT => once(&mut heartbeat.transport, transport(fixed(value)?)?)?,
            id::COUNT => once(&mut heartbeat.count, order.u64(fixed(value)?))?,
            id::PERIOD_MS => once(&mut heartbeat.period_ms, order.u32(fixed(value)?))?,
            id::NONCE => once(&mut heartbeat.nonce, order.u64(fixed(value)?))?,
            id::AGE_MS => once(&mut heartbeat.age_ms, order.u32(fixed(value)?))?,
            id::DOWN if value.is_empty() && !heartbeat.down => heartbeat.down = true,
            id::DOWN => return Err(Ignored::BadTail),
            id::STATE_TIER => once(&mut heartbeat.state_tier, order.u64(fixed(value)?))?,
            id::CPU_PERMILLE => once(&mut load.cpu_permille, permille(order.u16(fixed(value)?))?)?,
            id::MEMORY_AVAILABLE_KIB => once(&mut load.memory_available_kib, order.u64(fixed(value)?))?,
            id::SERVER_CPU_PERMILLE => {
                once(&mut load.server_cpu_permille, permille(order.u16(fixed(value)?))?)?;
            }
            id::SERVER_MEMORY_KIB => once(&mut load.server_memory_kib, order.u64(fixed(value)?))?,
            id::CALLS => once(&mut load.calls, order.u32(fixed(value)?))?,
            id::RESIDUAL_CALLS => once(&mut load.residual_calls, order.u32(fixed(value)?))?,
            id::NETWORK_PERMILLE => once(&mut load.network_permille, permille(order.u16(fixed(value)?))?)?,
            id::LATENCY_US => once(&mut load.latency_us, order.u32(fixed(value)?))?,
            // `authenticate` has checked this if there is a key; it is last in any case.
            id::AUTHENTICATOR if sections.rest.is_empty() && value.len() == AUTHENTICATOR_BYTES => {}
            id::AUTHENTICATOR => return Err(Ignored::BadTail),
            _ => {}
        }
    }
    heartbeat.load = (load != Load::default()).then_some(load);
    Ok(())
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Ignored> {
    value.try_into().map_err(|_| Ignored::BadTail)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Ignored> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Ignored::BadTail),
    }
}

/// An address that SIP can be sent to: one host.
fn usable(address: IpAddr) -> Result<IpAddr, Ignored> {
    let no_host = match address {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    };
    if no_host { Err(Ignored::BadTail) } else { Ok(address) }
}

fn transport(value: [u8; 1]) -> Result<Transport, Ignored> {
    match value {
        [0] => Ok(Transport::Udp),
        [1] => Ok(Transport::Tcp),
        _ => Err(Ignored::BadTail),
    }
}

fn permille(value: u16) -> Result<u16, Ignored> {
    if value <= 1000 { Ok(value) } else { Err(Ignored::BadTail) }
}

/// Appends the tail to the head, in network byte order; appends nothing if there is no content and no key.
pub(crate) fn append(heartbeat: &Heartbeat, key: Option<&[u8]>, bytes: &mut Vec<u8>) {
    let head = bytes.len();
    bytes.extend_from_slice(&MAGIC.to_be_bytes());
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0, 0]);
    let load = heartbeat.load.unwrap_or_default();
    match heartbeat.sip_address {
        Some(IpAddr::V4(ip)) => section(bytes, id::SIP_IPV4, Some(ip.octets())),
        Some(IpAddr::V6(ip)) => section(bytes, id::SIP_IPV6, Some(ip.octets())),
        None => {}
    }
    section(
        bytes,
        id::TRANSPORT,
        heartbeat.transport.map(|transport| [u8::from(transport == Transport::Tcp)]),
    );
    section(bytes, id::COUNT, heartbeat.count.map(u64::to_be_bytes));
    section(bytes, id::PERIOD_MS, heartbeat.period_ms.map(u32::to_be_bytes));
    section(bytes, id::NONCE, heartbeat.nonce.map(u64::to_be_bytes));
    section(bytes, id::AGE_MS, heartbeat.age_ms.map(u32::to_be_bytes));
    section(bytes, id::DOWN, heartbeat.down.then_some([]));
    section(bytes, id::STATE_TIER, heartbeat.state_tier.map(u64::to_be_bytes));
    section(bytes, id::CPU_PERMILLE, load.cpu_permille.map(|value| value.min(1000).to_be_bytes()));
    section(bytes, id::MEMORY_AVAILABLE_KIB, load.memory_available_kib.map(u64::to_be_bytes));
    section(
        bytes,
        id::SERVER_CPU_PERMILLE,
        load.server_cpu_permille.map(|value| value.min(1000).to_be_bytes()),
    );
    section(bytes, id::SERVER_MEMORY_KIB, load.server_memory_kib.map(u64::to_be_bytes));
    section(bytes, id::CALLS, load.calls.map(u32::to_be_bytes));
    section(bytes, id::RESIDUAL_CALLS, load.residual_calls.map(u32::to_be_bytes));
    section(bytes, id::NETWORK_PERMILLE, load.network_permille.map(|value| value.min(1000).to_be_bytes()));
    section(bytes, id::LATENCY_US, load.latency_us.map(u32::to_be_bytes));
    let authenticator = key.map_or(0, |_| SECTION_HEADER_BYTES + AUTHENTICATOR_BYTES);
    let length = bytes.len() - head - HEADER_BYTES + authenticator;
    if length == 0 {
        bytes.truncate(head);
        return;
    }
    // At most 167 bytes: every section has a fixed size and comes once.
    bytes[head + 6..head + HEADER_BYTES].copy_from_slice(&(length as u16).to_be_bytes());
    if let Some(key) = key {
        bytes.extend_from_slice(&id::AUTHENTICATOR.to_be_bytes());
        bytes.extend_from_slice(&(AUTHENTICATOR_BYTES as u16).to_be_bytes());
        let value = authenticator::make(key, bytes);
        bytes.extend_from_slice(&value);
    }
}

fn section<const N: usize>(bytes: &mut Vec<u8>, id: u16, value: Option<[u8; N]>) {
    if let Some(value) = value {
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&(N as u16).to_be_bytes());
        bytes.extend_from_slice(&value);
    }
}
