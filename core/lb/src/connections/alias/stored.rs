//! Addresses that peers took over, as values for the load manager that goes on with their connections.

use base::fields::{Reader, Writer};
use turn::stored::{connection_number, connection_of, transport_number, transport_of};

use super::{ASKED_MAX, Aliases, Asked};

mod name {
    pub(super) const ASKED: u8 = 1;
    pub(super) const CONNECTION: u8 = 2;
    pub(super) const REFUSED: u8 = 3;
    pub(super) const TRANSPORT: u8 = 4;
    pub(super) const ADDRESS: u8 = 5;
    pub(super) const LISTENER: u8 = 6;
}

impl Aliases {
    /// A claim that nobody has judged yet is not written: its connection may claim again.
    pub(crate) fn write(&self, into: &mut Writer) {
        let inner = self.lock();
        for (id, asked) in &inner.by_connection {
            let taken = match asked {
                Asked::Waiting => continue,
                Asked::Refused => None,
                Asked::Taken(transport, address) => Some((*transport, *address)),
            };
            into.group(name::ASKED, |into| {
                into.number(name::CONNECTION, connection_number(*id));
                into.flag(name::REFUSED, taken.is_none());
                if let Some((transport, address)) = taken {
                    into.number(name::TRANSPORT, transport_number(transport));
                    into.address(name::ADDRESS, address);
                    // Another connection may reach the address by now.
                    if let Some((listener, _)) =
                        inner.taken.get(&(transport, address)).filter(|(_, present)| present == id)
                    {
                        into.number(name::LISTENER, (*listener).into());
                    }
                }
            });
        }
    }

    pub(crate) fn read(&self, from: Reader<'_>) {
        for from in from.groups(name::ASKED).take(ASKED_MAX) {
            let Some(id) = from.number(name::CONNECTION).and_then(connection_of) else { continue };
            if !self.ask(id) {
                continue;
            }
            let transport = from.number(name::TRANSPORT).and_then(transport_of);
            match (from.flag(name::REFUSED), transport, from.address(name::ADDRESS)) {
                (false, Some(transport), Some(address)) => match from.small(name::LISTENER) {
                    Some(listener) => self.take(transport, address, listener, id),
                    None => self.refuse(id),
                },
                _ => self.refuse(id),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sip::{ConnectionId, Transport};

    use super::*;

    #[test]
    fn addresses_are_reached_as_before() {
        let id = |slot| ConnectionId { worker: 0, slot, generation: 1 };
        let (aliases, address) = (Aliases::default(), "192.0.2.1:5061".parse().unwrap());
        (1..5).for_each(|slot| assert!(aliases.ask(id(slot))));
        aliases.take(Transport::Tls, address, 3, id(1));
        aliases.take(Transport::Tls, address, 3, id(2));
        aliases.refuse(id(3));
        let mut writer = Writer::default();
        aliases.write(&mut writer);
        let there = Aliases::default();
        there.read(Reader::new(&writer.into_bytes()));
        assert_eq!(there.find(Transport::Tls, address), Some((3, id(2))));
        assert!(!there.ask(id(3)) && there.ask(id(4)));
        assert_eq!(there.closed(id(2)), Some(address));
        assert_eq!(there.find(Transport::Tls, address), None);
    }
}
