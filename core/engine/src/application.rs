//! What an application does with calls (SPEC E7). It knows nothing of transactions, transports, nodes and their deaths.
//!
//! A handler is called with a call, and changes it. What it changes is written with the event in one step, or not at all: if
//! another engine has written first, the handler is called again with the newer call. So a handler does nothing outside of the
//! call, never waits, and reads no clock: it has [`Call::now`], and [`Call::emit`] for what must happen once elsewhere.

mod forward;

use base::Duration;
use sip::{Message, Name, Reject, Start};
use state::{Effect, Key, Millis};

use crate::record::{self, Record, Timer};

pub use forward::Forward;

/// Timers of one call.
const TIMERS_MAX: usize = 16;

/// See the head of this module.
pub trait Application: Send + Sync + std::fmt::Debug {
    /// Stands in the records of its calls.
    fn number(&self) -> u32;

    /// Of the data that it keeps in records.
    fn version(&self) -> u32 {
        1
    }

    /// A call comes.
    fn invited(&self, call: &mut Call<'_>, invite: &Invitation<'_>) -> Verdict;

    /// A callee has answered.
    fn answered(&self, _call: &mut Call<'_>) {}

    /// A timer of [`Call::start_timer`] has run out: once, on whichever engine.
    fn timer(&self, _call: &mut Call<'_>, _id: u32, _info: &[u8]) {}

    /// The call is over. What the handler emits is kept; nothing else of the call is.
    fn ended(&self, _call: &mut Call<'_>) {}
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The targets of the configuration ring, all at the same time.
    Forward,
    /// These SIP URIs ring, all at the same time. A URI without a user gets the user of the Request-URI.
    Call(Vec<Box<[u8]>>),
    Refuse(Reject),
}

/// The INVITE of a call that comes.
#[derive(Clone, Copy, Debug)]
pub struct Invitation<'m> {
    pub(crate) request: &'m Message<'m>,
}

impl<'m> Invitation<'m> {
    /// The Request-URI.
    pub fn uri(&self) -> &'m [u8] {
        match self.request.start() {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => b"",
        }
    }

    /// The value of From.
    pub fn from(&self) -> &'m [u8] {
        self.request.first_value(Name::From).unwrap_or_default()
    }

    /// The first value of another header field.
    pub fn field(&self, name: &str) -> Option<&'m [u8]> {
        let is_named = |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        let header = self.request.headers().iter().find(|header| is_named(self.request.name(header)))?;
        Some(self.request.value(header))
    }
}

/// More than a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// A call, as its application sees it.
#[derive(Debug)]
pub struct Call<'r> {
    key: Key,
    now: Millis,
    record: &'r mut Record,
    effects: Vec<Effect>,
    hangs_up: bool,
}

impl<'r> Call<'r> {
    pub(crate) fn new(key: Key, now: Millis, record: &'r mut Record) -> Call<'r> {
        Call { key, now, record, effects: Vec::new(), hangs_up: false }
    }

    /// The call gets this application.
    pub(crate) fn begin(&mut self, application: &dyn Application) {
        self.record.header.application = application.number();
        self.record.header.application_version = application.version();
    }

    /// Milliseconds since 1970, by the clock of the state tier.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// Names the call for good: another call never has the same.
    pub fn id(&self) -> String {
        format!("{}-{}", self.key, self.record.birth)
    }

    /// What the application keeps with the call.
    pub fn data(&self) -> &[u8] {
        &self.record.data
    }

    /// At most [`record::DATA_BYTES_MAX`] bytes.
    pub fn set_data(&mut self, data: &[u8]) -> Result<(), TooMuch> {
        if data.len() > record::DATA_BYTES_MAX {
            return Err(TooMuch);
        }
        self.record.data = data.into();
        Ok(())
    }

    /// Starts a timer, or starts it anew. It survives the engine, and is then at most some seconds late. At most 16 of a call.
    pub fn start_timer(&mut self, id: u32, after: Duration, info: &[u8]) -> Result<(), TooMuch> {
        self.stop_timer(id);
        if self.record.timers.len() >= TIMERS_MAX || info.len() > record::DATA_BYTES_MAX {
            return Err(TooMuch);
        }
        let due = self.now.saturating_add(after.as_millis() as Millis);
        self.record.timers.push(Timer { id, due, info: info.into(), ..Timer::default() });
        Ok(())
    }

    pub fn stop_timer(&mut self, id: u32) {
        self.record.timers.retain(|timer| timer.id != id);
    }

    /// Ends the call: both sides get a BYE, or the caller gets 480 where nobody has answered so far.
    pub fn hang_up(&mut self) {
        self.hangs_up = true;
    }

    /// Something that must happen once outside of the call. `name` tells it from others of this call.
    pub fn emit(&mut self, name: &str, body: &[u8]) {
        let key = format!("{}-{name}", self.id()).into_bytes().into();
        self.effects.push(Effect { key, body: body.into() });
    }

    /// What the handler wants besides the changed record.
    pub(crate) fn wants(self) -> Wants {
        Wants { effects: self.effects, hangs_up: self.hangs_up }
    }
}

/// See [`Call::wants`].
#[derive(Debug, Default)]
pub(crate) struct Wants {
    pub(crate) effects: Vec<Effect>,
    pub(crate) hangs_up: bool,
}
