//! Held requests from the outside: what the router is told to do, and in which order.

use std::net::SocketAddr;

use base::Time;
use sip::{ConnectionId, Transport};

use super::entry::TIMER_C;
use super::*;

mod answers;
mod bounds;
mod cancel;
mod failover;
mod lost;
mod tier;

const A: ServerId = ServerId(0xA);
const B: ServerId = ServerId(0xB);
const C: ServerId = ServerId(0xC);
const D: ServerId = ServerId(0xD);
const KEY: u64 = 0x0123_4567_89AB_CDEF;

fn flow(transport: Transport) -> Flow {
    let remote = SocketAddr::from(([192, 0, 2, 1], 5060));
    let id = ConnectionId { worker: 0, slot: 1, generation: 1 };
    Flow { listener: 0, transport, remote, connection: transport.is_reliable().then_some(id) }
}

const INVITE: &[u8] = b"INVITE sip:bob@example.com SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nbody";

fn invite() -> Vec<u8> {
    INVITE.to_vec()
}

fn kept(message: &[u8]) -> Kept<'_> {
    Kept {
        class: Class::Invite,
        message,
        flow: flow(Transport::Tcp),
        server: A,
        server_reliable: false,
        to_client: None,
        failover: true,
        in_dialog: false,
        route_fields: b"",
    }
}

pub(super) fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

/// The same, from a client of that transport.
pub(super) fn kept_over(transport: Transport, message: &[u8]) -> Kept<'_> {
    Kept { flow: flow(transport), ..kept(message) }
}

/// A table with one worker, for events about one key.
struct Bench {
    held: Held,
    alarms: Alarms,
    key: u64,
}

impl Bench {
    /// A bench with an INVITE kept at time zero, unless `change` changes it.
    fn with(change: impl FnOnce(&mut Kept<'static>)) -> Bench {
        let mut bench =
            Bench { held: Held::new(Limits::new(10, 10_000)), alarms: Alarms::new(0, 10), key: KEY };
        let mut kept = kept(INVITE);
        change(&mut kept);
        bench.held.keep(at(0), &mut bench.alarms, KEY, &kept).unwrap();
        bench
    }

    fn invite() -> Bench {
        Bench::with(|_| {})
    }

    /// All actions that are due, until none is.
    fn due(&mut self, ms: u64) -> Vec<What> {
        let mut message = Vec::new();
        std::iter::from_fn(|| self.held.next_due(at(ms), &mut self.alarms, &mut message))
            .map(|action| action.what)
            .collect()
    }

    /// The first action that becomes due, and when.
    fn wait(&mut self) -> Option<(u64, Action)> {
        let mut message = Vec::new();
        while let Some(now) = self.alarms.next_deadline() {
            if let Some(action) = self.held.next_due(now, &mut self.alarms, &mut message) {
                return Some((now.as_millis(), action));
            }
        }
        None
    }

    fn response(&mut self, ms: u64, class: Class, status: u16, server: ServerId) -> Verdict {
        self.held.response(at(ms), &mut self.alarms, self.key, class, status, server)
    }

    fn moved(&mut self, ms: u64, class: Class, server: ServerId) {
        assert!(self.held.moved(at(ms), &mut self.alarms, self.key, class, server, false));
    }

    /// The server fails, and the request goes to another server.
    fn fail_over(&mut self, ms: u64, from: ServerId, to: ServerId) {
        self.held.server_failed(at(ms), &mut self.alarms, from);
        let due = self.due(ms);
        assert!(
            matches!(due[..], [What::Reroute { tried, why: Why::Failed }] if tried.last() == Some(from)),
            "{due:?}"
        );
        self.moved(ms, Class::Invite, to);
    }

    fn cancel(&mut self, ms: u64) -> Cancelled {
        let message = b"CANCEL sip:bob@example.com SIP/2.0\r\nCSeq: 1 CANCEL\r\n\r\n".to_vec();
        self.held.cancel(at(ms), &mut self.alarms, self.key, &Kept { class: Class::Cancel, ..kept(&message) })
    }

    /// Nothing is left, except alarms that no longer count, and those not for long.
    fn is_clean_at(&mut self, ms: u64) {
        assert_eq!(self.due(ms), []);
        assert_eq!((self.held.len(), self.held.bytes()), (0, 0));
        assert_eq!(self.due(ms + 32_000), []);
        assert!(self.alarms.is_empty());
    }
}

fn send(server: ServerId) -> What {
    What::Send { server }
}
