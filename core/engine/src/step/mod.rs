//! What an event does to a call: a function of the record, of what the engine remembers besides, and of the event. Nothing is
//! done here: a [`Step`] says what is written and what leaves before and after.

mod asking;
mod callee;
mod caller;
mod cancelling;
mod dialog;
mod ending;
mod failure;
mod hanging_up;
mod returned;
mod success;
mod take_over;
mod timer;
mod within;

pub(crate) use asking::due as asked_at;
pub(crate) use ending::ends_of;
pub(crate) use failure::late as late_failure;
pub(crate) use within::{back, mark, not_allowed};

use sip::{Flow, Message, Method, Reject, Target};
use state::planted::{self, Bug};
use state::{Key, Millis};

use crate::application::{Application, Call, Wants};
use crate::names::Leg as LegNumber;
use crate::record::{Record, Tombstone};
use crate::settings::Settings;
use crate::soft::{Asked, Soft};
use crate::text::{Response, Text, Written};

/// A wake-up comes so much later than the timer whose engine may have died.
const WAKE_BEHIND_MS: Millis = 2_000;

/// What happened to a call.
#[derive(Clone, Copy)]
pub(crate) enum Event<'e> {
    Request {
        request: &'e Message<'e>,
        flow: Flow,
        method: Method,
    },
    Response {
        response: &'e Message<'e>,
    },
    Timer(Timer),
    /// The owner is dead, or a wake-up came.
    TakeOver,
}

/// A timer of the engine that has run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// B: a leg has not answered at all; or its destination cannot be reached.
    NoAnswer(LegNumber),
    /// C: the call has rung too long.
    Rang,
    /// A cancelled leg has not said its final answer.
    NotCancelled(LegNumber),
    /// H: nobody has acknowledged the failure.
    NoAck,
    /// F: a request that was passed on has got no answer. The number is that of the relay.
    Unanswered(u64),
    /// F: the same of a BYE of ours.
    UnwantedStays(LegNumber),
    /// F: a side does not answer whether it still has the call.
    Silent(LegNumber),
    /// A timer of the application.
    OfApplication(u32),
}

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Send {
        bytes: Vec<u8>,
        target: Target,
    },
    /// The INVITE of a leg leaves, and its client transaction begins.
    Invite(LegNumber, Written),
    /// A leg has given a provisional response.
    Heard(LegNumber),
    /// The first callee rings.
    Rings,
    /// A leg has given its final response.
    Answered(LegNumber),
    Cancel(LegNumber, Written),
    /// The CANCEL of a leg has its answer.
    CancelAnswered(LegNumber),
    /// A failure leaves; it is repeated until the ACK.
    Fail {
        bytes: Vec<u8>,
        target: Target,
    },
    /// The failure is acknowledged, or nobody waits for it.
    FailureOver,
    /// A request passes on within a dialog.
    Relay(Box<Asked>, Written),
    /// A passed request has its final response.
    Relayed(u64),
    /// A BYE of ours leaves.
    Bye(LegNumber, Written),
    /// A BYE of ours is answered.
    ByeAnswered(LegNumber),
    /// A side is asked whether it still has the call.
    Options(LegNumber, Written),
    OptionsAnswered(LegNumber),
    /// Somebody still rings: the time that a call may ring begins anew.
    RingsOn,
    /// For the counters.
    Count(Counted),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Begun,
    Confirmed,
    Failed,
    Ended,
    TakenOver,
    Refused,
}

/// What is written.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Create { record: Record, wake: Millis },
    Put { record: Record, wake: Option<Millis> },
    Del { tombstone: Tombstone },
}

/// What an event does.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing is written.
    Done(Vec<Effect>),
    /// The record must first be compared with that of the store.
    Check,
    /// There is no record: the event happens anew after T1, since the INVITE may be on its way through another engine.
    Later,
    /// `first`: what leaves at once. `then`: what leaves when the change is written. `emitted`: what is written with it, to happen
    /// once outside of the call.
    Write { first: Vec<Effect>, change: Box<Change>, then: Vec<Effect>, emitted: Vec<state::Effect> },
}

impl Step {
    fn nothing() -> Step {
        Step::Done(Vec::new())
    }

    fn write(change: Change, then: Vec<Effect>) -> Step {
        Step::Write { first: Vec::new(), change: Box::new(change), then, emitted: Vec::new() }
    }

    /// The engine that wrote the record last is dead, and may have died before all replicas had it: then the record goes with a
    /// primary that dies now. So it is written anew before anything leaves that rests on it.
    pub(crate) fn on_kept_record(self, look: &Look<'_>, record: &Record) -> Step {
        match self {
            Step::Done(effects) if effects.iter().any(|effect| !matches!(effect, Effect::Count(_))) => {
                Step::write(Change::Put { record: look.next(record), wake: None }, effects)
            }
            Step::Write { mut first, change, then, emitted } => {
                first.extend(then);
                Step::Write { first: Vec::new(), change, then: first, emitted }
            }
            other => other,
        }
    }

    /// With what leaves at once.
    fn after(self, now: Vec<Effect>) -> Step {
        match self {
            Step::Write { change, then, emitted, .. } => Step::Write { first: now, change, then, emitted },
            other => other,
        }
    }

    /// With what happens once outside of the call.
    fn emitting(self, emitted: Vec<state::Effect>) -> Step {
        match self {
            Step::Write { first, change, then, .. } => Step::Write { first, change, then, emitted },
            other => other,
        }
    }
}

/// What a step may look at.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) key: Key,
    /// Time of the state tier, in microseconds.
    pub(crate) micros: u64,
    pub(crate) soft: &'a Soft,
    /// The record was compared with that of the store for this event.
    pub(crate) checked: bool,
}

impl<'a> Look<'a> {
    fn text<'t>(&self, record: &'t Record) -> Text<'t>
    where
        'a: 't,
    {
        Text { settings: self.settings, key: self.key, record }
    }

    fn millis(&self) -> Millis {
        self.micros / 1000
    }

    /// When a call that waits for an answer is looked at if its engine dies.
    fn wake_after(&self, time: base::Duration) -> Millis {
        self.millis() + time.as_millis() as Millis + WAKE_BEHIND_MS
    }

    /// Has the application look at the record that is written next.
    fn tell<T>(
        &self,
        next: &mut Record,
        tell: impl FnOnce(&dyn Application, &mut Call<'_>) -> T,
    ) -> (T, Wants) {
        let mut call = Call::new(self.key, self.millis(), next);
        let said = tell(&*self.settings.application, &mut call);
        (said, call.wants())
    }

    /// The record as this engine writes it next.
    fn next(&self, record: &Record) -> Record {
        self.owned(record.clone())
    }

    /// The same without the INVITE and the answer: the caller writes others, or none.
    fn next_without_messages(&self, record: &Record) -> Record {
        self.owned(record.without_messages())
    }

    fn owned(&self, mut next: Record) -> Record {
        if !planted::is(Bug::WrongOwner) {
            next.header.owner = self.settings.engine;
        }
        next
    }
}

/// What an event does to a call that has a record.
pub(crate) fn of_call(look: &Look<'_>, record: &Record, event: &Event<'_>) -> Step {
    match *event {
        Event::Request { request, flow, method } => match (method, is_within(request)) {
            (Method::Invite, false) => caller::invite_again(look, record, request, flow),
            (Method::Cancel, _) => caller::cancel(look, record, request, flow),
            (Method::Ack, _) => caller::ack(look, record, request),
            (_, true) => within::request(look, record, request, flow, method),
            (_, false) => answer(request, flow, &Reject::no_such_transaction()),
        },
        Event::Response { response } => callee::response(look, record, response),
        Event::Timer(over) => timer::over(look, record, over),
        Event::TakeOver => take_over::of(look, record),
    }
    .unwrap_or_else(Step::nothing)
}

/// What an INVITE does that has no record.
pub(crate) fn of_invite(look: &Look<'_>, request: &Message<'_>, flow: Flow) -> Step {
    caller::invite(look, request, flow)
}

/// Whether the event is an INVITE that begins a call.
pub(crate) fn begins(event: &Event<'_>) -> bool {
    matches!(event, Event::Request { request, method: Method::Invite, .. } if !is_within(request))
}

/// When the first timer of the application runs out.
fn first_timer(record: &Record) -> Millis {
    record.timers.iter().map(|timer| timer.due).min().unwrap_or(Millis::MAX)
}

fn is_within(request: &Message<'_>) -> bool {
    let to = request.first_value(sip::Name::To).and_then(|to| sip::headers::address::tag(to).ok());
    to.flatten().is_some()
}

/// An answer of our own, without a change. A To without a tag keeps none: the sender has no dialog with us.
fn answer(request: &Message<'_>, flow: Flow, reject: &Reject) -> Option<Step> {
    Some(Step::Done(vec![answer_effect(request, flow, reject, b"")]))
}

pub(crate) fn answer_effect(request: &Message<'_>, flow: Flow, reject: &Reject, tag: &[u8]) -> Effect {
    response_effect(request, flow, &Response::own(reject, tag))
}

/// A response of our own to a request that just came.
pub(crate) fn response_effect(request: &Message<'_>, flow: Flow, response: &Response<'_>) -> Effect {
    let mut bytes = Vec::with_capacity(512);
    crate::text::respond(request, flow.remote, response, &mut bytes);
    Effect::Send { bytes, target: sip::answer::target(request, flow) }
}

/// Reads a stored message. `None`: the record does not have it.
fn with_stored<T>(bytes: &[u8], read: impl FnOnce(&Message<'_>) -> Option<T>) -> Option<T> {
    let mut parser = sip::Parser::new();
    read(&parser.parse(bytes).ok()?)
}
