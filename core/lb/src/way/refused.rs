//! What is said of messages that we refuse or drop: one event for each, as many a second as an operator can read. The
//! rest is counted with the next event, so that a flood of bad messages costs a counter.

use base::{Duration, Time};
use sip::{Flow, Message, Name, Reject, Start};

use crate::outbox::{Event, Outbox};
use crate::way::router::Core;

/// Events of refused messages that one worker may make in [`INTERVAL`]; more tell an operator nothing new.
const EVENTS_MAX: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

/// Bytes kept of a method and of a Call-ID: what is longer is cut, since a stranger chose it.
const TEXT_MAX: usize = 128;

/// How many events were made since the interval began.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// The present turn.
    pub(crate) now: Time,
    began: Time,
    made: u32,
    /// Messages refused without an event since the last one.
    unsaid: u64,
}

impl Refusals {
    /// Whether this message may be said, and how many were not before it.
    fn allow(&mut self) -> Option<u64> {
        if self.now.since(self.began) >= INTERVAL {
            (self.began, self.made) = (self.now, 0);
        }
        if self.made == EVENTS_MAX {
            self.unsaid += 1;
            return None;
        }
        self.made += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

impl Core {
    /// We answer a request with an error.
    pub(crate) fn say_refused(
        &mut self,
        message: &Message<'_>,
        reject: &Reject,
        flow: Flow,
        out: &mut Outbox,
    ) {
        if reject.status() >= 300
            && let Some(unsaid) = self.refusals.allow()
        {
            let event = refused(Some(message), Some(reject.status()), reject.reason(), flow, unsaid);
            out.events.push(event);
        }
    }

    /// We drop what came, because no answer is allowed: `why` says what is wrong with it.
    pub(crate) fn say_dropped(
        &mut self,
        message: Option<&Message<'_>>,
        why: &'static str,
        flow: Flow,
        out: &mut Outbox,
    ) {
        if let Some(unsaid) = self.refusals.allow() {
            out.events.push(refused(message, None, why, flow, unsaid));
        }
    }
}

fn refused(
    message: Option<&Message<'_>>,
    status: Option<u16>,
    reason: &'static str,
    flow: Flow,
    unsaid: u64,
) -> Event {
    let call_id = message.and_then(|message| message.first(Name::CallId).map(|field| message.value(field)));
    let method = match message.map(Message::start) {
        Some(Start::Request { token, .. }) => cut(token),
        Some(Start::Response { status, .. }) => status.to_string().into_bytes().into(),
        None => Box::default(),
    };
    let call_id = cut(call_id.unwrap_or_default());
    Event::Refused { source: flow.remote, transport: flow.transport, method, call_id, status, reason, unsaid }
}

fn cut(text: &[u8]) -> Box<[u8]> {
    text[..text.len().min(TEXT_MAX)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_said_ten_times_a_second_and_the_rest_is_counted() {
        let mut refusals = Refusals { now: Time::from_secs(1), ..Refusals::default() };
        let said: Vec<_> = (0..100).filter_map(|_| refusals.allow()).collect();
        assert_eq!(said, [0; 10]);
        refusals.now = Time::from_secs(2);
        assert_eq!(refusals.allow(), Some(90));
        assert_eq!(refusals.allow(), Some(0));
    }
}
