//! A REGISTER in progress as values for the load manager that goes on with it (see [`base::fields`]).

use base::fields::{Reader, Writer};
use base::{Duration, Time};
use transaction::{MACHINE_BYTES, NonInviteClient};
use turn::stored::{read_flow, write_flow};

use super::{Branch, Fanout, Given, Order, State};
use crate::farm::server::ServerId;

mod name {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const FLOW: u8 = 2;
    pub(super) const BACK: u8 = 3;
    pub(super) const IN_TURN: u8 = 4;
    pub(super) const BRANCH: u8 = 5;
    pub(super) const ROUND: u8 = 6;
    pub(super) const BORN: u8 = 7;
    pub(super) const WAIT_US: u8 = 8;
    pub(super) const NEXT_AT: u8 = 9;
    pub(super) const ANSWER: u8 = 10;
    pub(super) const ENDS: u8 = 11;
}

/// Names within a branch.
mod branch {
    pub(super) const SERVER: u8 = 1;
    pub(super) const RELIABLE: u8 = 2;
    pub(super) const GIVEN: u8 = 3;
    /// Start and end, 32 bits each.
    pub(super) const WITHOUT: u8 = 4;
    pub(super) const TRIED: u8 = 5;
    pub(super) const MACHINE: u8 = 6;
    pub(super) const STATUS: u8 = 7;
    pub(super) const RESPONSE: u8 = 8;
    pub(super) const SILENT: u8 = 9;
}

/// In the order of their numbers.
const GIVEN: [Given; 3] = [Given::None, Given::Own, Given::Foreign];

impl Fanout {
    pub(in crate::register) fn write(&self, into: &mut Writer) {
        into.bytes(name::MESSAGE, &self.message);
        into.group(name::FLOW, |into| write_flow(&self.flow, into));
        into.address(name::BACK, self.back);
        into.flag(name::IN_TURN, self.order == Order::InTurn);
        for branch in &self.branches {
            into.group(name::BRANCH, |into| branch.write(into));
        }
        into.number(name::ROUND, self.round);
        into.time(name::BORN, self.born);
        into.number(name::WAIT_US, self.wait.as_micros() as u64);
        into.time(name::NEXT_AT, self.next_at);
        if let Some(answer) = &self.answer {
            into.bytes(name::ANSWER, answer);
        }
        into.time(name::ENDS, self.ends);
    }

    pub(in crate::register) fn read(from: Reader<'_>) -> Option<Fanout> {
        let message: Box<[u8]> = from.get(name::MESSAGE)?.into();
        let branches = from.groups(name::BRANCH).map(|from| Branch::read(from, message.len()));
        Some(Fanout {
            flow: read_flow(from.group(name::FLOW)?)?,
            back: from.address(name::BACK)?,
            order: if from.flag(name::IN_TURN) { Order::InTurn } else { Order::Together },
            branches: branches.collect::<Option<_>>()?,
            round: from.number(name::ROUND)?,
            born: Time::from_micros(from.number(name::BORN)?),
            wait: Duration::from_micros(from.number(name::WAIT_US)?),
            next_at: from.time(name::NEXT_AT),
            answer: from.get(name::ANSWER).map(Box::from),
            ends: from.time(name::ENDS),
            message,
        })
    }
}

impl Branch {
    fn write(&self, into: &mut Writer) {
        into.number(branch::SERVER, self.server.0.into());
        into.flag(branch::RELIABLE, self.reliable);
        let given = GIVEN.iter().position(|known| *known == self.given).unwrap_or_default();
        into.number(branch::GIVEN, given as u64);
        for range in &self.without {
            into.number(branch::WITHOUT, u64::from(range.start) << 32 | u64::from(range.end));
        }
        into.flag(branch::TRIED, self.tried);
        match &self.state {
            State::Queued => {}
            State::Asked(machine) => into.bytes(branch::MACHINE, &machine.to_bytes(Time::ZERO)),
            State::Heard { status, response } => {
                into.number(branch::STATUS, (*status).into());
                into.bytes(branch::RESPONSE, response);
            }
            State::Silent => into.flag(branch::SILENT, true),
        }
    }

    /// `length`: of the message that the ranges lie in.
    fn read(from: Reader<'_>, length: usize) -> Option<Branch> {
        let range = |bytes: &[u8]| {
            let mut whole = [0; 8];
            whole.get_mut(8usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
            let both = u64::from_be_bytes(whole);
            let range = (both >> 32) as u32..both as u32;
            (range.start <= range.end && range.end as usize <= length).then_some(range)
        };
        let state = match (from.get(branch::MACHINE), from.small(branch::STATUS), from.get(branch::RESPONSE))
        {
            (Some(machine), ..) => {
                let machine: &[u8; MACHINE_BYTES] = machine.try_into().ok()?;
                State::Asked(NonInviteClient::from_bytes(machine, Time::ZERO).ok()?)
            }
            (None, Some(status), Some(response)) => State::Heard { status, response: response.into() },
            _ if from.flag(branch::SILENT) => State::Silent,
            _ => State::Queued,
        };
        Some(Branch {
            server: ServerId(from.small(branch::SERVER)?),
            reliable: from.flag(branch::RELIABLE),
            given: *GIVEN.get(from.small::<usize>(branch::GIVEN)?)?,
            without: from.all(branch::WITHOUT).map(range).collect::<Option<_>>()?,
            tried: from.flag(branch::TRIED),
            state,
        })
    }
}
