//! Which connection reaches whom, as values for the load manager that goes on with the connections.

use std::sync::atomic::Ordering::Relaxed;

use base::Time;
use base::fields::{Reader, Writer};
use sip::ConnectionId;
use turn::stored::{connection_number, connection_of};

use super::{Flows, OPEN, Registration, Waiting};
use crate::signed::tag::PeerConnection;

mod name {
    pub(super) const OPEN: u8 = 1;
    pub(super) const KNOWN: u8 = 2;
    pub(super) const TELEPHONE: u8 = 3;
    pub(super) const WAITING: u8 = 4;
}

/// Names within these.
mod part {
    pub(super) const KEY: u8 = 1;
    pub(super) const LISTENER: u8 = 2;
    pub(super) const CONNECTION: u8 = 3;
    pub(super) const TIME: u8 = 4;
    pub(super) const TELEPHONE: u8 = 5;
    pub(super) const CONTACT: u8 = 6;
    pub(super) const HERE: u8 = 7;
}

impl Flows {
    pub(crate) fn write(&self, into: &mut Writer) {
        for (worker, slots) in self.open.iter().enumerate().filter_map(|(n, slots)| Some((n, slots.get()?))) {
            for (slot, mark) in slots.iter().enumerate() {
                let mark = mark.load(Relaxed);
                if mark & OPEN != 0 {
                    let id =
                        ConnectionId { worker: worker as u8, slot: slot as u16, generation: mark as u32 };
                    into.number(name::OPEN, connection_number(id));
                }
            }
        }
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (key, known) in &shard.known {
                into.group(name::KNOWN, |into| {
                    into.number(part::KEY, *key);
                    write_connection(&known.flow, into);
                    into.time(part::TIME, known.since);
                });
            }
            for (key, (telephone, at)) in &shard.telephones {
                into.group(name::TELEPHONE, |into| {
                    into.number(part::KEY, *key);
                    into.number(part::TELEPHONE, *telephone);
                    into.time(part::TIME, *at);
                });
            }
            for (key, waiting) in &shard.waiting {
                into.group(name::WAITING, |into| {
                    into.number(part::KEY, *key);
                    write_connection(&waiting.flow, into);
                    into.time(part::TIME, waiting.until);
                    into.number(part::CONTACT, waiting.registration.contact);
                    into.number(part::TELEPHONE, waiting.registration.telephone);
                    into.number(part::HERE, waiting.registration.here);
                });
            }
        }
    }

    /// What is no flow, or finds no room, is left out.
    pub(crate) fn read(&self, from: Reader<'_>) {
        let open = from.all(name::OPEN).filter_map(|bytes| {
            let mut whole = [0; 8];
            whole.get_mut(8usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
            connection_of(u64::from_be_bytes(whole))
        });
        open.for_each(|id| self.heard(id));
        for from in from.groups(name::KNOWN) {
            if let (Some(key), Some(flow)) = (from.number(part::KEY), read_connection(from)) {
                self.learn(moment(from), key, flow);
            }
        }
        for from in from.groups(name::TELEPHONE) {
            if let (Some(key), Some(telephone)) = (from.number(part::KEY), from.number(part::TELEPHONE)) {
                self.link(moment(from), key, telephone);
            }
        }
        for from in from.groups(name::WAITING) {
            let registration = || {
                Some(Registration {
                    contact: from.number(part::CONTACT)?,
                    telephone: from.number(part::TELEPHONE)?,
                    here: from.number(part::HERE)?,
                })
            };
            if let (Some(key), Some(registration), Some(flow)) =
                (from.number(part::KEY), registration(), read_connection(from))
            {
                self.wait_again(key, Waiting { registration, flow, until: moment(from) });
            }
        }
    }

    fn wait_again(&self, key: u64, waiting: Waiting) {
        let mut shard = self.shard(key);
        if shard.waiting.len() < super::WAITING_MAX / super::SHARDS {
            shard.waiting.insert(key, waiting);
        }
    }
}

fn write_connection(flow: &PeerConnection, into: &mut Writer) {
    into.number(part::LISTENER, flow.listener.into());
    into.number(part::CONNECTION, connection_number(flow.id));
}

fn read_connection(from: Reader<'_>) -> Option<PeerConnection> {
    let id = from.number(part::CONNECTION).and_then(connection_of)?;
    Some(PeerConnection { listener: from.small(part::LISTENER)?, id })
}

fn moment(from: Reader<'_>) -> Time {
    from.number(part::TIME).map_or(Time::ZERO, Time::from_micros)
}

#[cfg(test)]
mod tests {
    use super::super::Known;
    use super::*;

    #[test]
    fn a_client_is_reached_as_before() {
        let id = |slot| ConnectionId { worker: 1, slot, generation: 7 };
        let flow = |slot| PeerConnection { listener: 2, id: id(slot) };
        let (flows, now) = (Flows::new(2), Time::from_secs(100));
        (0..3).for_each(|slot| flows.heard(id(slot)));
        flows.closed(id(2));
        assert!(
            flows.learn(now, 10, flow(0)) && flows.learn(now, 11, flow(1)) && flows.learn(now, 12, flow(2))
        );
        assert!(flows.link(now, 20, 11));
        let registration = Registration { contact: 1, telephone: 2, here: 3 };
        assert!(flows.asked(now, 30, registration, flow(1)));
        let mut writer = Writer::default();
        flows.write(&mut writer);
        let there = Flows::new(2);
        there.read(Reader::new(&writer.into_bytes()));
        assert_eq!((0..3).map(|slot| there.is_open(id(slot))).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!((there.find(10), there.find(12)), (Some(Known { flow: flow(0), since: now }), None));
        assert_eq!(there.follow(20), Some(Known { flow: flow(1), since: now }));
        assert_eq!(there.answered(now, 30), Some((registration, flow(1))));
    }
}
