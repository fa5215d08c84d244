//! A load manager without sockets, for the tests of this crate: messages in, messages out, time by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Duration, Time};
use heartbeat::{Heartbeat, ServerState};
use sip::{ConnectionId, Flow, Target, Transport};
use turn::{Claim, Input, Outgoing};

use crate::counters::Counter;
use crate::farm::server_counters::ServerCounters;
use crate::farm::server_table::ServerTable;
use crate::hand_over::Amount;
use crate::outbox::{Ask, Event, Outbox};
use crate::settings::*;
use crate::shared::Shared;
use crate::way::router::Router;

pub(crate) const CLIENT: &str = "192.0.2.1:5060";

pub(crate) fn settings(affinity: Affinity, selection: Selection) -> Settings {
    let listener = |transport, port: u16| {
        let address = SocketAddr::from(([198, 51, 100, 1], port));
        Listener { transport, bind: address, advertise: address, name: None }
    };
    let server = |last: u8| ServerEntry::at(SocketAddr::from(([10, 0, 0, last], 5060)), Transport::Udp);
    let listeners = vec![listener(Transport::Udp, 5060), listener(Transport::Tcp, 5060)];
    Settings {
        affinity,
        selection,
        ..Settings::small(listeners, (1..=4).map(server).collect(), *b"0123456789abcdef")
    }
}

/// One load manager, and what was recorded of it.
pub(crate) struct Farm {
    pub(crate) shared: Arc<Shared>,
    pub(crate) table: ServerTable,
    router: Router,
    pub(crate) now: Time,
    /// All events except those of refused messages.
    pub(crate) events: Vec<Event>,
    pub(crate) refused: Vec<Event>,
    pub(crate) notices: Vec<heartbeat::notice::Notice>,
    pub(crate) claims: Vec<Claim>,
    /// What name servers are asked.
    pub(crate) questions: Vec<dns::record::Question>,
}

/// A message that left.
#[derive(Clone, Debug)]
pub(crate) struct Left {
    pub(crate) to: Target,
    pub(crate) text: String,
    pub(crate) fallback: Option<Target>,
}

impl Left {
    pub(crate) fn address(&self) -> String {
        match self.to {
            Target::Datagram { to, .. } => format!("udp {to}"),
            Target::Stream { to, .. } => format!("tcp {to}"),
            Target::Connection { id, .. } => format!("connection {}", id.slot),
        }
    }

    pub(crate) fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or("")
    }

    /// The first field with that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        self.text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
    }
}

impl Farm {
    pub(crate) fn new(settings: Settings) -> Farm {
        Farm::started_as(settings, 0)
    }

    /// Another run of the same load manager, as after a restart.
    pub(crate) fn started_as(settings: Settings, run: u32) -> Farm {
        let now = Time::from_secs(3600);
        let counters = ServerCounters::for_settings(&settings, 1);
        let table = ServerTable::new(now, &settings, counters.clone()).unwrap();
        let shared = Shared::new(settings, counters, table.snapshot(), 1).started_as(run);
        let shared = Arc::new(shared);
        let router = Router::new(shared.clone(), 0, base::Chance::seeded(42));
        Farm {
            shared,
            table,
            router,
            now,
            events: Vec::new(),
            refused: Vec::new(),
            notices: Vec::new(),
            claims: Vec::new(),
            questions: Vec::new(),
        }
    }

    /// Another load manager that goes on where this one is.
    pub(crate) fn handed_over(&self, settings: Settings) -> Farm {
        let (bytes, _) = crate::hand_over::write(&self.shared, &self.table, self.now, 0);
        self.going_on_with(settings, &bytes).0
    }

    /// The same with these bytes.
    pub(crate) fn going_on_with(&self, settings: Settings, bytes: &[u8]) -> (Farm, Option<Amount>) {
        let mut next = Farm::started_as(settings, self.shared.run);
        next.now = self.now;
        let read = crate::hand_over::read(bytes, &next.shared, &mut next.table, self.now, 0);
        let own = next.router.take_over(bytes, 1, self.now);
        next.publish();
        let whole = |shared: Amount| Amount { held: own.held, registrations: own.registrations, ..shared };
        (next, read.ok().map(whole))
    }

    pub(crate) fn of(affinity: Affinity, selection: Selection) -> Farm {
        Farm::new(settings(affinity, selection))
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.shared.calls.sweep(self.now);
    }

    fn drive(&mut self, turn: impl FnOnce(&mut Router, Time, &mut Outbox)) -> Vec<Left> {
        let mut out = Outbox::default();
        turn(&mut self.router, self.now, &mut out);
        let (refused, events): (Vec<_>, Vec<_>) =
            out.events.drain(..).partition(|event| matches!(event, Event::Refused { .. }));
        self.events.extend(events);
        self.refused.extend(refused);
        for ask in out.asks.drain(..) {
            match ask {
                Ask::Tell(notice) => self.notices.push(notice),
                Ask::LookUp(question) => self.questions.push(question),
            }
        }
        self.claims.append(&mut out.claims);
        let text = |range: &std::ops::Range<u32>| {
            String::from_utf8_lossy(&out.bytes[range.start as usize..range.end as usize]).into_owned()
        };
        let left = |send: &Outgoing| Left {
            to: send.to,
            text: text(&send.bytes),
            fallback: send.fallback.as_ref().map(|(_, to)| *to),
        };
        out.sends.iter().map(left).collect()
    }

    /// One message by UDP from this address.
    pub(crate) fn udp(&mut self, from: &str, text: &str) -> Vec<Left> {
        self.datagram(from, text.as_bytes())
    }

    /// The same by another listener of UDP.
    pub(crate) fn by_listener(&mut self, listener: u8, from: &str, text: &str) -> Vec<Left> {
        let remote = from.parse().unwrap();
        let flow = Flow { listener, transport: Transport::Udp, remote, connection: None };
        let bytes = text.as_bytes();
        self.drive(|router, now, out| router.handle(now, Input::Message { bytes, flow }, out))
    }

    /// Any bytes by UDP.
    pub(crate) fn datagram(&mut self, from: &str, bytes: &[u8]) -> Vec<Left> {
        let flow =
            Flow { listener: 0, transport: Transport::Udp, remote: from.parse().unwrap(), connection: None };
        self.drive(|router, now, out| router.handle(now, Input::Message { bytes, flow }, out))
    }

    /// One message on a connection.
    pub(crate) fn tcp(&mut self, from: &str, slot: u16, text: &str) -> Vec<Left> {
        self.stream(1, Transport::Tcp, from, slot, text)
    }

    /// The same on any listener.
    pub(crate) fn stream(
        &mut self,
        listener: u8,
        transport: Transport,
        from: &str,
        slot: u16,
        text: &str,
    ) -> Vec<Left> {
        let connection = Some(ConnectionId { worker: 0, slot, generation: 7 });
        let flow = Flow { listener, transport, remote: from.parse().unwrap(), connection };
        self.drive(|router, now, out| {
            router.handle(now, Input::Message { bytes: text.as_bytes(), flow }, out)
        })
    }

    /// The edge has checked a claim.
    pub(crate) fn judged(&mut self, claim: &Claim, proven: bool) {
        self.drive(|router, now, out| router.handle(now, Input::Judged { claim, proven }, out));
    }

    /// The connection in this slot ended.
    pub(crate) fn closed_slot(&mut self, slot: u16) {
        let id = ConnectionId { worker: 0, slot, generation: 7 };
        let peer = "192.0.2.1:40000".parse().unwrap();
        self.drive(|router, now, out| router.handle(now, Input::Closed { id, peer }, out));
    }

    /// The connection with this address ended.
    pub(crate) fn closed(&mut self, peer: &str) -> Vec<Left> {
        let id = ConnectionId { worker: 0, slot: 9, generation: 7 };
        let peer = peer.parse().unwrap();
        self.drive(|router, now, out| router.handle(now, Input::Closed { id, peer }, out))
    }

    /// A send to this target failed.
    pub(crate) fn send_failed(&mut self, to: Target) -> Vec<Left> {
        self.drive(|router, now, out| router.handle(now, Input::SendFailed { to }, out))
    }

    /// There was no stream for this message, so its fallback has left.
    pub(crate) fn fell_back(&mut self, left: &Left) {
        let Some(Target::Datagram { to, .. }) = left.fallback else { panic!("no fallback: {left:?}") };
        let bytes = left.text.replacen("SIP/2.0/TCP", "SIP/2.0/UDP", 1);
        self.drive(|router, now, out| {
            router.handle(now, Input::FellBack { bytes: bytes.as_bytes(), to }, out);
            router.handle(now, Input::SendFailed { to: left.to }, out);
        });
    }

    /// This host had no room to send it.
    pub(crate) fn no_room(&mut self, to: Target) -> Vec<Left> {
        self.drive(|router, now, out| router.handle(now, Input::NoRoom { to }, out))
    }

    /// An ICMP message says that a datagram to this target did not arrive.
    pub(crate) fn returned(&mut self, to: Target, quoted: &[u8]) -> Vec<Left> {
        self.drive(|router, now, out| router.handle(now, Input::Returned { to, quoted }, out))
    }

    pub(crate) fn timers(&mut self) -> Vec<Left> {
        self.drive(|router, now, out| router.handle_timeout(now, out))
    }

    /// Publishes the changed table.
    pub(crate) fn publish(&mut self) {
        self.table.tick(self.now);
        self.shared.publish(self.table.snapshot());
    }

    /// The control side learns of calls that servers refused as full.
    pub(crate) fn hear_refusals(&mut self) {
        for result in self.shared.probes.take_results() {
            let retry_after = Duration::from_secs(u64::from(result.retry_after.unwrap()));
            self.table.refused_call(self.now, result.server, result.call.unwrap(), retry_after);
        }
        self.publish();
    }

    /// This server cannot be reached any more.
    pub(crate) fn kill(&mut self, server: &str) {
        let address: SocketAddr = server.trim_start_matches("udp ").parse().unwrap();
        assert!(self.table.remove(address), "{server} is a server");
        self.publish();
    }

    /// The agent of this server says that it stopped.
    pub(crate) fn stopped(&mut self, server: &str) {
        let address: SocketAddr = server.parse().unwrap();
        let stopped = Heartbeat::plain(1, address.port(), ServerState::Stopped);
        self.table.heartbeat(self.now, address.ip(), &stopped).unwrap();
        self.publish();
    }

    pub(crate) fn count(&self, counter: Counter) -> u64 {
        self.shared.count_of(counter)
    }
}

/// A request as a client writes it, outside of a dialog.
pub(crate) fn request(method: &str, call: &str, branch: &str, more: &str) -> String {
    from_client(method, call, branch, "", more)
}

pub(crate) fn from_client(method: &str, call: &str, branch: &str, to_tag: &str, more: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "{method} sip:bob@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n{more}\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=alice\r\nTo: <sip:bob@example.com>{to_tag}\r\n\
         Call-ID: {call}\r\nCSeq: 1 {method}\r\nContact: <sip:alice@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The response of the server that got `request`, with its Via, Record-Route, From, Call-ID and CSeq unchanged.
pub(crate) fn response(request: &Left, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.text.lines() {
        let name = line.split(':').next().unwrap_or("");
        if matches!(name, "Via" | "Record-Route" | "From" | "Call-ID" | "CSeq") {
            text.push_str(line);
            text.push_str("\r\n");
        } else if name == "To" {
            let tag = if line.contains(";tag=") { "" } else { ";tag=bob" };
            text.push_str(&format!("{line}{tag}\r\n"));
        }
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

/// `Route` lines for the client, made of the Record-Route that came back to it.
pub(crate) fn routes(answer: &Left) -> String {
    let routes = answer.fields("Record-Route");
    routes.iter().rev().map(|route| format!("Route: {route}\r\n")).collect()
}

pub(crate) fn only(mut left: Vec<Left>) -> Left {
    assert_eq!(left.len(), 1, "{left:#?}");
    left.remove(0)
}

/// An INVITE and its 200: what the server got, and what the client got.
pub(crate) fn establish(farm: &mut Farm, call: &str) -> (Left, Left) {
    let invite = only(farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK-{call}"), "")));
    let server = invite.address();
    let answer = only(farm.udp(server.trim_start_matches("udp "), &response(&invite, "200 OK")));
    (invite, answer)
}
