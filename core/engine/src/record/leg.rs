//! One side of a call (RFC 3261 §12): what an engine needs to send on it.

use std::net::{IpAddr, SocketAddr};

use sip::{ConnectionId, Flow, Transport};

use super::fields::{Broken, Reader, write_bytes, write_number, write_signed};
use crate::names::Offset;

/// How far a leg is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegState {
    /// INVITE without an answer that opens a dialog.
    #[default]
    Calling,
    /// An answer has opened an early dialog.
    Early,
    Confirmed,
    /// CANCEL is sent, or waits for a provisional answer.
    Cancelling,
    /// BYE is sent.
    Ending,
    /// The final failure that the other side is to get is known.
    Failed,
    Closed,
}

impl LegState {
    const ALL: [LegState; 7] = [
        LegState::Calling,
        LegState::Early,
        LegState::Confirmed,
        LegState::Cancelling,
        LegState::Ending,
        LegState::Failed,
        LegState::Closed,
    ];
}

/// One side of a call. Our own tag is not here: it is derived ([`crate::names::Tag`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leg {
    /// 0 is the caller's.
    pub number: u16,
    pub state: LegState,
    pub flags: u32,
    pub call_id: Box<[u8]>,
    /// Empty as long as the other side has said none.
    pub remote_tag: Box<[u8]>,
    /// Our address as the other side knows it, without its tag: From of our requests.
    pub local: Box<[u8]>,
    pub remote: Box<[u8]>,
    /// The URI in the other side's Contact.
    pub target: Box<[u8]>,
    /// The route set in the order in which requests of ours name it.
    pub routes: Vec<Box<[u8]>>,
    /// What is added to the numbers of the other leg's requests.
    pub offset: Offset,
    /// The largest number in the CSeq of the other side's requests.
    pub remote_sequence: u32,
    /// Where requests of ours go. The connection is one of the owner's.
    pub flow: Option<Flow>,
    /// When the session ends if nobody refreshes it, in milliseconds of the state tier; 0: never (RFC 4028).
    pub session_expires: u64,
    /// The version in our `o=` line (RFC 3264 §8).
    pub sdp_version: u64,
    /// The last RSeq (RFC 3262).
    pub reliable_sequence: u32,
    /// What a newer build has written behind these fields.
    pub later: Box<[u8]>,
}

impl Leg {
    /// Flag: the leg is a further dialog that answered the INVITE of another leg; that one's number stands in the high half.
    const FORK: u32 = 1;

    /// Makes this leg a further dialog of the INVITE of another.
    pub fn fork_of(mut self, origin: u16) -> Leg {
        self.flags |= Leg::FORK | u32::from(origin) << 16;
        self
    }

    pub fn is_fork(&self) -> bool {
        self.flags & Leg::FORK != 0
    }

    /// The number in our tag and branches: dialogs that one INVITE of ours made share it.
    pub fn origin(&self) -> u16 {
        if self.is_fork() { (self.flags >> 16) as u16 } else { self.number }
    }

    /// Flag: the BYE of this leg is one of a call that was up, and that we have ended.
    const HUNG_UP: u32 = 2;

    /// This side of a call that is up gets a BYE of ours.
    pub fn hang_up(&mut self) {
        self.state = LegState::Ending;
        self.flags |= Leg::HUNG_UP;
    }

    pub fn is_hung_up(&self) -> bool {
        self.flags & Leg::HUNG_UP != 0
    }

    /// Whether the INVITE of this leg has no final answer yet.
    pub fn is_open(&self) -> bool {
        matches!(self.state, LegState::Calling | LegState::Early | LegState::Cancelling)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_number(self.number.into(), out);
        write_number(self.state as u64, out);
        write_number(self.flags.into(), out);
        for text in [&self.call_id, &self.remote_tag, &self.local, &self.remote, &self.target] {
            write_bytes(text, out);
        }
        write_number(self.routes.len() as u64, out);
        self.routes.iter().for_each(|route| write_bytes(route, out));
        write_signed(self.offset.0, out);
        write_number(self.remote_sequence.into(), out);
        // A flow is so short that its length is one byte.
        let length_at = out.len();
        out.push(0);
        if let Some(known) = &self.flow {
            write_flow(known, out);
        }
        out[length_at] = (out.len() - length_at - 1) as u8;
        write_number(self.session_expires, out);
        write_number(self.sdp_version, out);
        write_number(self.reliable_sequence.into(), out);
        out.extend_from_slice(&self.later);
    }

    pub(super) fn read(mut from: Reader<'_>) -> Result<Leg, Broken> {
        let number = from.small()?;
        let state = *LegState::ALL.get(from.small::<usize>()?).ok_or(Broken)?;
        let flags = from.small()?;
        let (call_id, remote_tag) = (from.owned()?, from.owned()?);
        let (local, remote, target) = (from.owned()?, from.owned()?, from.owned()?);
        let mut routes = Vec::new();
        for _ in 0..from.number()? {
            // An empty route would be read again and again from an empty rest.
            if from.is_empty() {
                return Err(Broken);
            }
            routes.push(from.owned()?);
        }
        Ok(Leg {
            number,
            state,
            flags,
            call_id,
            remote_tag,
            local,
            remote,
            target,
            routes,
            offset: Offset(from.signed()?),
            remote_sequence: from.small()?,
            flow: read_flow(from.bytes()?)?,
            session_expires: from.number()?,
            sdp_version: from.number()?,
            reliable_sequence: from.small()?,
            later: from.rest(),
        })
    }
}

const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

pub(crate) fn write_flow(flow: &Flow, out: &mut Vec<u8>) {
    write_number(flow.listener.into(), out);
    let transport = TRANSPORTS.iter().position(|transport| *transport == flow.transport);
    write_number(transport.unwrap_or_default() as u64, out);
    match flow.remote.ip() {
        IpAddr::V4(ip) => write_bytes(&ip.octets(), out),
        IpAddr::V6(ip) => write_bytes(&ip.octets(), out),
    }
    write_number(flow.remote.port().into(), out);
    if let Some(ConnectionId { worker, slot, generation }) = flow.connection {
        write_number(u64::from(worker) + 1, out);
        write_number(slot.into(), out);
        write_number(generation.into(), out);
    }
}

/// Reads what [`write_flow`] wrote.
pub(crate) fn read_flow(bytes: &[u8]) -> Result<Option<Flow>, Broken> {
    read(Reader::of(bytes))
}

fn read(mut from: Reader<'_>) -> Result<Option<Flow>, Broken> {
    if from.is_empty() {
        return Ok(None);
    }
    let listener = from.small()?;
    let transport = *TRANSPORTS.get(from.small::<usize>()?).ok_or(Broken)?;
    let address = from.bytes()?;
    let ip: IpAddr = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(ip), _) => ip.into(),
        (_, Ok(ip)) => ip.into(),
        _ => return Err(Broken),
    };
    let remote = SocketAddr::new(ip, from.small()?);
    let connection = match from.number()?.checked_sub(1) {
        None => None,
        Some(worker) => Some(ConnectionId {
            worker: worker.try_into().map_err(|_| Broken)?,
            slot: from.small()?,
            generation: from.small()?,
        }),
    };
    Ok(Some(Flow { listener, transport, remote, connection }))
}
