//! Events about messages that we refuse or drop: one event for each, up to as many a second as an operator can read. The
//! rest is counted and reported with the next event, so that a flood of bad messages costs a counter.

use base::{Duration, Time};
use sip::{Flow, Message, Name, Reject, Start};

use crate::outbox::Event;
use crate::way::turn::Turn;

/// The most events of refused messages that one worker makes in [`INTERVAL`]; more tell an operator nothing new.
const EVENTS_MAX: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

/// Bytes kept of a method and of a Call-ID: a longer text is cut, since a stranger chose it.
const TEXT_MAX: usize = 128;

/// How many events were made since the interval began.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    began: Time,
    made: u32,
    /// Messages refused without an event since the last one.
    unsaid: u64,
    /// The count of requests that no server could take, at the last refused request.
    no_server: u64,
}

impl Refusals {
    /// We answer a request with an error. `no_server` counts the requests that no server could take: the control side reports
    /// these together in one line of the log, so a request counted there has no event.
    pub(crate) fn refused(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        reject: &Reject,
        no_server: u64,
    ) {
        let is_counted = std::mem::replace(&mut self.no_server, no_server) != no_server;
        if reject.status() >= 300
            && !(is_counted && reject.status() == 503)
            && let Some(unsaid) = self.allow(turn.now)
        {
            let (status, reason) = (Some(reject.status()), reject.reason());
            turn.out.events.push(event(Some(message), status, reason, turn.flow, unsaid));
        }
    }

    /// We drop a message because no answer is allowed: `why` says what is wrong with it.
    pub(crate) fn dropped(&mut self, turn: &mut Turn<'_>, message: Option<&Message<'_>>, why: &'static str) {
        if let Some(unsaid) = self.allow(turn.now) {
            turn.out.events.push(event(message, None, why, turn.flow, unsaid));
        }
    }

    /// Whether this message may have an event; and how many messages before it had none.
    fn allow(&mut self, now: Time) -> Option<u64> {
        if now.since(self.began) >= INTERVAL {
            (self.began, self.made) = (now, 0);
        }
        if self.made == EVENTS_MAX {
            self.unsaid += 1;
            return None;
        }
        self.made += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

fn event(
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
        let mut refusals = Refusals::default();
        let said: Vec<_> = (0..100).filter_map(|_| refusals.allow(Time::from_secs(1))).collect();
        assert_eq!(said, [0; 10]);
        assert_eq!(refusals.allow(Time::from_secs(2)), Some(90));
        assert_eq!(refusals.allow(Time::from_secs(2)), Some(0));
    }
}
