//! Flows and targets as values for another build (see [`base::fields`]): a load manager that takes the place of another one
//! gets them with what they are about. A place that a new build gives up, such as a listener, has no number there.

use base::fields::{Reader, Writer};
use sip::{ConnectionId, Flow, Target, Transport};

/// Numbers of transports; never another one for the same number.
const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

pub fn transport_number(transport: Transport) -> u64 {
    TRANSPORTS.iter().position(|known| *known == transport).unwrap_or_default() as u64
}

pub fn transport_of(number: u64) -> Option<Transport> {
    TRANSPORTS.get(usize::try_from(number).ok()?).copied()
}

mod name {
    pub(super) const LISTENER: u8 = 1;
    pub(super) const TRANSPORT: u8 = 2;
    pub(super) const ADDRESS: u8 = 3;
    pub(super) const CONNECTION: u8 = 4;
    pub(super) const KIND: u8 = 5;
    pub(super) const OR_CONNECT: u8 = 6;
}

const DATAGRAM: u64 = 1;
const CONNECTION: u64 = 2;
const STREAM: u64 = 3;

/// Worker, slot and generation in one number.
pub fn connection_number(id: ConnectionId) -> u64 {
    u64::from(id.worker) << 48 | u64::from(id.slot) << 32 | u64::from(id.generation)
}

pub fn connection_of(number: u64) -> Option<ConnectionId> {
    let worker = u8::try_from(number >> 48).ok()?;
    Some(ConnectionId { worker, slot: (number >> 32) as u16, generation: number as u32 })
}

pub fn write_flow(flow: &Flow, into: &mut Writer) {
    into.number(name::LISTENER, flow.listener.into());
    into.number(name::TRANSPORT, transport_number(flow.transport));
    into.address(name::ADDRESS, flow.remote);
    if let Some(id) = flow.connection {
        into.number(name::CONNECTION, connection_number(id));
    }
}

pub fn read_flow(from: Reader<'_>) -> Option<Flow> {
    Some(Flow {
        listener: from.small(name::LISTENER)?,
        transport: transport_of(from.number(name::TRANSPORT)?)?,
        remote: from.address(name::ADDRESS)?,
        connection: from.number(name::CONNECTION).and_then(connection_of),
    })
}

pub fn write_target(target: &Target, into: &mut Writer) {
    let (kind, listener, to) = match *target {
        Target::Datagram { listener, to } => (DATAGRAM, listener, to),
        Target::Connection { listener, to, .. } => (CONNECTION, listener, to),
        Target::Stream { listener, to } => (STREAM, listener, to),
    };
    into.number(name::KIND, kind);
    into.number(name::LISTENER, listener.into());
    into.address(name::ADDRESS, to);
    if let Target::Connection { id, or_connect, .. } = *target {
        into.number(name::CONNECTION, connection_number(id));
        into.flag(name::OR_CONNECT, or_connect);
    }
}

pub fn read_target(from: Reader<'_>) -> Option<Target> {
    let (listener, to) = (from.small(name::LISTENER)?, from.address(name::ADDRESS)?);
    match from.number(name::KIND)? {
        DATAGRAM => Some(Target::Datagram { listener, to }),
        CONNECTION => {
            let id = connection_of(from.number(name::CONNECTION)?)?;
            Some(Target::Connection { listener, id, to, or_connect: from.flag(name::OR_CONNECT) })
        }
        STREAM => Some(Target::Stream { listener, to }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_and_targets_are_read_as_they_were_written() {
        let id = ConnectionId { worker: 200, slot: 65_535, generation: u32::MAX };
        let to = "[2001:db8::1]:5061".parse().unwrap();
        for target in [
            Target::Datagram { listener: 0, to },
            Target::Connection { listener: 3, id, to, or_connect: true },
            Target::Connection { listener: 3, id, to, or_connect: false },
            Target::Stream { listener: 255, to },
        ] {
            let mut writer = Writer::default();
            write_target(&target, &mut writer);
            assert_eq!(read_target(Reader::new(&writer.into_bytes())), Some(target));
        }
        for (transport, connection) in TRANSPORTS.into_iter().zip([None, Some(id)].into_iter().cycle()) {
            let flow = Flow { listener: 1, transport, remote: to, connection };
            let mut writer = Writer::default();
            write_flow(&flow, &mut writer);
            assert_eq!(read_flow(Reader::new(&writer.into_bytes())), Some(flow));
        }
        assert_eq!(read_flow(Reader::new(&[])), None);
        assert_eq!(read_target(Reader::new(&[5, 0, 0, 0, 1, 9])), None);
    }
}
