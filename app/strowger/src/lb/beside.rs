//! What a worker's thread has besides its router: the voice that tells other load managers, the resolver of names, and the fault
//! records.

use std::time::SystemTime;

use base::Time;
use fcaps::{Fault, FaultLog};
use heartbeat::notice::Notice;
use lb::outbox::{Ask, Event};
use lb::way::router::Router;
use resolver::Resolver;
use tracing::{info, warn};

use crate::lb::peers::Teller;

pub(crate) struct Beside {
    pub(crate) faults: FaultLog,
    /// Present if there are other load managers.
    pub(crate) teller: Option<Teller>,
    pub(crate) resolver: Resolver,
    /// Notices of one turn.
    pub(crate) notices: Vec<Notice>,
}

impl net::Beside<Router> for Beside {
    fn ask(&mut self, _now: Time, asks: &mut Vec<Ask>) {
        for ask in asks.drain(..) {
            match ask {
                Ask::Tell(notice) => self.notices.push(notice),
                Ask::LookUp(question) => self.resolver.ask(question),
            }
        }
        match &mut self.teller {
            Some(teller) => teller.tell(&mut self.notices),
            None => self.notices.clear(),
        }
    }

    fn record(&mut self, _now: Time, events: &mut Vec<Event>) {
        for event in events.drain(..) {
            match event {
                Event::TakenOver { call_id, method, client, from, to, why } => {
                    let time = SystemTime::now();
                    self.faults.record(Fault { time, call_id, method, client, from, to, why });
                }
                Event::Refused { source, transport, method, call_id, status, reason, unsaid } => {
                    let (method, call_id) =
                        (String::from_utf8_lossy(&method), String::from_utf8_lossy(&call_id));
                    let source = format!("{}:{source}", transport.word());
                    let what = if status.is_some() { "request refused" } else { "message dropped" };
                    info!(target: "strowger::refused", %source, %method, %call_id, status, unsaid, "{what}: {reason}");
                }
                Event::PastUs { cause, client, server } => {
                    let server = server.map(|server| server.to_string());
                    let (what, remedy) = (cause.what(), cause.remedy());
                    warn!(target: "strowger::lb", %client, server, "{what}; remedy: {remedy}");
                }
            }
        }
    }
}
