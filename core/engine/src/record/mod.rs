//! The record of a call: all that an engine needs to go on with it (SPEC E1).
//!
//! ```text
//! header 32 (state::Header) | sections: id, length, bytes
//! ```
//!
//! Two builds of a farm may read each other's records. A new field ends a section and reads as zero or empty where it is
//! missing; a section or a field that this build does not know is kept and written back. Only a record whose header names a
//! newer least reader is refused, and goes to another engine.

mod fields;
mod leg;
#[cfg(test)]
mod tests;
mod tombstone;

use state::{FORMAT, Header, HeaderError};

pub use fields::Broken;
use fields::{Reader, write_bytes, write_number};
pub use leg::{Leg, LegState};
pub(crate) use leg::{read_flow, write_flow};
pub use tombstone::Tombstone;

/// Bytes of the largest record: an INVITE of 65,535 bytes, its answer, and 16 kB of an application's data.
pub const BYTES_MAX: usize = 1 << 18;

/// Bytes of an application's data.
pub const DATA_BYTES_MAX: usize = 16 << 10;

/// Ids of sections.
mod section {
    pub(super) const SESSION: u64 = 1;
    pub(super) const DATA: u64 = 2;
    pub(super) const TIMERS: u64 = 3;
    pub(super) const LEG: u64 = 4;
    pub(super) const INVITE: u64 = 5;
    pub(super) const ANSWER: u64 = 6;
    pub(super) const USAGES: u64 = 7;
}

/// What the engine is for a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It ends the caller's dialog and begins others (RFC 7092).
    #[default]
    B2bua,
    /// It passes requests on (RFC 3261 §16).
    Proxy,
}

/// How far a call is, in one word for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody has answered.
    Ringing,
    Up,
    /// It was cancelled, has failed or was hung up, and somebody has not confirmed that.
    Ending,
}

impl Phase {
    pub const ALL: [Phase; 3] = [Phase::Ringing, Phase::Up, Phase::Ending];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Ringing => "ringing",
            Phase::Up => "up",
            Phase::Ending => "ending",
        }
    }
}

/// A timer of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    pub id: u32,
    /// Milliseconds of the state tier.
    pub due: u64,
    pub info: Box<[u8]>,
    /// What a newer build has written behind these fields.
    pub later: Box<[u8]>,
}

/// A subscription or a transfer within a leg's dialog (RFC 5057).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub leg: u16,
    /// The value of Event, with its id.
    pub event: Box<[u8]>,
    /// Milliseconds of the state tier.
    pub expires: u64,
    /// What a newer build has written behind these fields.
    pub later: Box<[u8]>,
}

/// What operators are told of a call: it is written with what must be written anyway, and no message depends on it. Times are
/// milliseconds after the birth, at least 1; 0: not so far, or nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// The engine that made the record.
    pub made_by: u32,
    /// The first callee rang, as the engine heard that has written the answer.
    pub rang_ms: u64,
    /// The first callee answered.
    pub answered_ms: u64,
    /// How often another engine took over what was in progress, and when last.
    pub taken_over: u32,
    pub taken_over_ms: u64,
}

/// An empty section is left out.
fn write_section(id: u64, bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        write_number(id, out);
        write_bytes(bytes, out);
    }
}

/// See the head of this module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub header: Header,
    /// Microseconds of the state tier when the record was made. All that is derived uses it.
    pub birth: u64,
    pub mode: Mode,
    /// A keyed hash of the topmost Via of a BYE that has its final answer, and that answer: the record stays while a leg has none.
    /// 0: there was no BYE.
    pub bye: u64,
    pub bye_status: u16,
    /// When both sides were last asked whether they still have the call, in milliseconds of the state tier; 0: never.
    pub asked: u64,
    /// Reason in the CANCELs of this call (RFC 3326); empty: they have none. It is that of the caller's CANCEL, or ours.
    pub reason: Box<[u8]>,
    pub story: Story,
    /// CBOR of the application, at most [`DATA_BYTES_MAX`].
    pub data: Box<[u8]>,
    pub timers: Vec<Timer>,
    pub legs: Vec<Leg>,
    /// The INVITE as received; of a confirmed call its Via and CSeq, for the 2xx that is sent again.
    pub invite: Box<[u8]>,
    /// An answer of our own that may have to be sent again.
    pub answer: Box<[u8]>,
    pub usages: Vec<Usage>,
    /// What a newer build has written behind these fields of the session.
    pub later: Box<[u8]>,
    /// Sections of a newer build: id and bytes.
    pub unknown: Vec<(u64, Box<[u8]>)>,
}

/// The reason why a record cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    Header(HeaderError),
    /// The call is gone.
    Tombstone,
    /// More than [`BYTES_MAX`] bytes.
    TooLarge,
    /// The bytes are no record.
    Broken,
}

impl From<Broken> for RecordError {
    fn from(_: Broken) -> RecordError {
        RecordError::Broken
    }
}

impl Story {
    fn write(&self, out: &mut Vec<u8>) {
        let Story { made_by, rang_ms, answered_ms, taken_over, taken_over_ms } = *self;
        let all = [made_by.into(), rang_ms, answered_ms, taken_over.into(), taken_over_ms];
        all.into_iter().for_each(|number| write_number(number, out));
    }

    fn read(from: &mut Reader<'_>) -> Result<Story, Broken> {
        Ok(Story {
            made_by: from.small()?,
            rang_ms: from.number()?,
            answered_ms: from.number()?,
            taken_over: from.small()?,
            taken_over_ms: from.number()?,
        })
    }
}

impl Record {
    /// A moment of the story: microseconds of the state tier.
    pub(crate) fn story_ms(&self, micros: u64) -> u64 {
        (micros.saturating_sub(self.birth) / 1000).max(1)
    }

    /// Writes the record behind what `out` has.
    pub fn write(&self, out: &mut Vec<u8>) {
        Header { format: FORMAT.max(self.header.format), ..self.header }.write(out);
        let mut bytes = Vec::with_capacity(512);
        write_number(self.birth, &mut bytes);
        write_number(self.mode as u64, &mut bytes);
        let has_story = self.story != Story::default() || !self.later.is_empty();
        let has_reason = !self.reason.is_empty() || has_story;
        let has_asked = self.asked != 0 || has_reason;
        if self.bye != 0 || self.bye_status != 0 || has_asked {
            write_number(self.bye, &mut bytes);
            write_number(self.bye_status.into(), &mut bytes);
        }
        if has_asked {
            write_number(self.asked, &mut bytes);
        }
        if has_reason {
            write_bytes(&self.reason, &mut bytes);
        }
        if has_story {
            self.story.write(&mut bytes);
        }
        bytes.extend_from_slice(&self.later);
        write_section(section::SESSION, &bytes, out);
        bytes.clear();
        write_section(section::DATA, &self.data, out);
        for timer in &self.timers {
            let mut one = Vec::new();
            write_number(timer.id.into(), &mut one);
            write_number(timer.due, &mut one);
            write_bytes(&timer.info, &mut one);
            one.extend_from_slice(&timer.later);
            write_bytes(&one, &mut bytes);
        }
        write_section(section::TIMERS, &bytes, out);
        bytes.clear();
        for leg in &self.legs {
            leg.write(&mut bytes);
            write_section(section::LEG, &bytes, out);
            bytes.clear();
        }
        write_section(section::INVITE, &self.invite, out);
        write_section(section::ANSWER, &self.answer, out);
        for usage in &self.usages {
            let mut one = Vec::new();
            write_number(usage.leg.into(), &mut one);
            write_bytes(&usage.event, &mut one);
            write_number(usage.expires, &mut one);
            one.extend_from_slice(&usage.later);
            write_bytes(&one, &mut bytes);
        }
        write_section(section::USAGES, &bytes, out);
        for (id, unknown) in &self.unknown {
            write_number(*id, out);
            write_bytes(unknown, out);
        }
    }

    /// How far the caller's side is.
    pub fn phase(&self) -> Phase {
        match self.legs.first().map(|caller| caller.state) {
            Some(LegState::Calling | LegState::Early) => Phase::Ringing,
            Some(LegState::Confirmed) => Phase::Up,
            Some(LegState::Cancelling | LegState::Ending | LegState::Failed | LegState::Closed) | None => {
                Phase::Ending
            }
        }
    }

    /// A copy without the INVITE and the answer, which are most of its bytes.
    pub(crate) fn without_messages(&self) -> Record {
        Record {
            header: self.header,
            birth: self.birth,
            mode: self.mode,
            bye: self.bye,
            bye_status: self.bye_status,
            asked: self.asked,
            reason: self.reason.clone(),
            story: self.story,
            data: self.data.clone(),
            timers: self.timers.clone(),
            legs: self.legs.clone(),
            invite: Box::default(),
            answer: Box::default(),
            usages: self.usages.clone(),
            later: self.later.clone(),
            unknown: self.unknown.clone(),
        }
    }

    /// What an application sees of its call.
    pub(crate) fn of_application(&self) -> Record {
        Record {
            header: self.header,
            birth: self.birth,
            data: self.data.clone(),
            timers: self.timers.clone(),
            ..Record::default()
        }
    }

    /// Reads a record, as the store gives it.
    pub fn read(bytes: &[u8]) -> Result<Record, RecordError> {
        if bytes.len() > BYTES_MAX {
            return Err(RecordError::TooLarge);
        }
        let (header, sections) = Header::read(bytes).map_err(RecordError::Header)?;
        if header.is_tombstone() {
            return Err(RecordError::Tombstone);
        }
        let mut record = Record { header, ..Record::default() };
        let mut sections = Reader::of(sections);
        while !sections.is_empty() {
            let id = sections.number()?;
            let bytes = sections.bytes()?;
            let mut fields = Reader::of(bytes);
            match id {
                section::SESSION => {
                    record.birth = fields.number()?;
                    record.mode = match fields.number()? {
                        0 => Mode::B2bua,
                        1 => Mode::Proxy,
                        _ => return Err(RecordError::Broken),
                    };
                    (record.bye, record.bye_status) = (fields.number()?, fields.small()?);
                    record.asked = fields.number()?;
                    record.reason = fields.owned()?;
                    record.story = Story::read(&mut fields)?;
                    record.later = fields.rest();
                }
                section::DATA => record.data = bytes.into(),
                section::TIMERS => {
                    while !fields.is_empty() {
                        let mut one = Reader::of(fields.bytes()?);
                        let (id, due, info) = (one.small()?, one.number()?, one.owned()?);
                        record.timers.push(Timer { id, due, info, later: one.rest() });
                    }
                }
                section::LEG => record.legs.push(Leg::read(fields)?),
                section::INVITE => record.invite = bytes.into(),
                section::ANSWER => record.answer = bytes.into(),
                section::USAGES => {
                    while !fields.is_empty() {
                        let mut one = Reader::of(fields.bytes()?);
                        let (leg, event, expires) = (one.small()?, one.owned()?, one.number()?);
                        record.usages.push(Usage { leg, event, expires, later: one.rest() });
                    }
                }
                _ => record.unknown.push((id, bytes.into())),
            }
        }
        Ok(record)
    }
}
