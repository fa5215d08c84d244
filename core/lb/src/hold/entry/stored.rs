//! A held request as values for the load manager that goes on with it (see [`base::fields`]). Both have one clock.

use base::Time;
use base::fields::{Reader, Writer};
use transaction::hop_by_hop::RequestLine;
use transaction::{InviteClient, InviteServer, MACHINE_BYTES, NonInviteClient};
use turn::stored::{read_flow, read_target, write_flow, write_target};

use super::{Cancel, Entry, Phase, Sent, ToClient};
use crate::farm::server::ServerId;
use crate::hold::{Asker, Class, Tried, Why};

mod name {
    pub(super) const MESSAGE: u8 = 1;
    pub(super) const LINE: u8 = 2;
    pub(super) const FLOW: u8 = 3;
    pub(super) const PHASE: u8 = 4;
    pub(super) const MACHINE: u8 = 5;
    pub(super) const STATUS: u8 = 6;
    /// Of its phase: the CANCEL may be sent, the choice is being made, our answer was sent.
    pub(super) const DONE: u8 = 7;
    pub(super) const WHY: u8 = 8;
    pub(super) const BORN: u8 = 9;
    pub(super) const PATIENCE: u8 = 10;
    pub(super) const SERVER: u8 = 11;
    pub(super) const TRIED: u8 = 12;
    pub(super) const MOVED_AT: u8 = 13;
    pub(super) const CLASS: u8 = 14;
    pub(super) const CANCEL: u8 = 15;
    pub(super) const SERVER_RELIABLE: u8 = 16;
    pub(super) const TO_CLIENT: u8 = 17;
    pub(super) const ASKER: u8 = 18;
    pub(super) const ASKER_BACK: u8 = 19;
    pub(super) const ASKER_VIA: u8 = 20;
    pub(super) const SENT_AT: u8 = 21;
    pub(super) const WORKER: u8 = 22;
    pub(super) const TWICE: u8 = 23;
    pub(super) const RESEND_AT: u8 = 24;
    pub(super) const LOSSES: u8 = 25;
    pub(super) const FAILOVER: u8 = 26;
    pub(super) const IN_DIALOG: u8 = 27;
    pub(super) const HEARD: u8 = 28;
    pub(super) const ALONE: u8 = 29;
}

mod phase {
    pub(super) const INVITE: u64 = 1;
    pub(super) const OTHER: u64 = 2;
    pub(super) const HELD_BACK: u64 = 3;
    pub(super) const SEEKING: u64 = 4;
    pub(super) const ANSWERED: u64 = 5;
    pub(super) const PASSED: u64 = 6;
    pub(super) const OVER: u64 = 7;
}

/// In the order of their numbers: a new one goes to the end.
const CLASSES: [Class; 3] = [Class::Invite, Class::Cancel, Class::Other];
const CANCELS: [Cancel; 3] = [Cancel::No, Cancel::Answered, Cancel::Forwarded];
const REASONS: [Why; 5] = [Why::Failed, Why::FailedInTier, Why::Silent, Why::Full, Why::Refused];

fn number<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().position(|known| known == one).unwrap_or_default() as u64
}

fn one<T: Copy>(all: &[T], number: Option<u64>) -> Option<T> {
    all.get(usize::try_from(number?).ok()?).copied()
}

impl Entry {
    /// The worker that sent it last.
    pub(in crate::hold) fn worker(&self) -> u8 {
        self.sent.worker
    }

    pub(in crate::hold) fn write(&self, into: &mut Writer) {
        into.bytes(name::MESSAGE, &self.message);
        into.bytes(name::LINE, self.line.as_bytes());
        into.group(name::FLOW, |into| write_flow(&self.flow, into));
        write_phase(self.phase, into);
        into.time(name::BORN, self.born);
        into.time(name::PATIENCE, self.patience);
        if let Some(server) = self.server {
            into.number(name::SERVER, server.0.into());
        }
        self.tried.iter().for_each(|server| into.number(name::TRIED, server.0.into()));
        into.time(name::MOVED_AT, self.moved_at);
        into.number(name::CLASS, number(&CLASSES, &self.class));
        into.number(name::CANCEL, number(&CANCELS, &self.cancel));
        into.flag(name::SERVER_RELIABLE, self.server_reliable);
        if let Some(to_client) = &self.to_client {
            into.group(name::TO_CLIENT, |into| write_target(&to_client.target, into));
            if let Some(asker) = &to_client.asker {
                into.number(name::ASKER, asker.server.0.into());
                into.group(name::ASKER_BACK, |into| write_target(&asker.back, into));
                into.bytes(name::ASKER_VIA, &asker.via);
            }
        }
        into.time(name::SENT_AT, self.sent.at);
        into.number(name::WORKER, self.sent.worker.into());
        into.flag(name::TWICE, self.sent.twice);
        into.time(name::RESEND_AT, self.resend_at);
        into.number(name::LOSSES, self.losses.into());
        into.flag(name::FAILOVER, self.failover);
        into.flag(name::IN_DIALOG, self.in_dialog);
        into.flag(name::HEARD, self.heard);
        into.flag(name::ALONE, self.alone);
    }

    /// `None`: the bytes are no held request.
    pub(in crate::hold) fn read(from: Reader<'_>) -> Option<Entry> {
        let server = |name| from.small(name).map(ServerId);
        let mut tried = Tried::default();
        for id in from.all(name::TRIED) {
            let mut whole = [0; 4];
            whole.get_mut(4usize.checked_sub(id.len())?..)?.copy_from_slice(id);
            tried.add(ServerId(u32::from_be_bytes(whole)));
        }
        let to_client = match from.group(name::TO_CLIENT) {
            None => None,
            Some(target) => {
                let asker =
                    match (server(name::ASKER), from.group(name::ASKER_BACK), from.get(name::ASKER_VIA)) {
                        (Some(server), Some(back), Some(via)) => {
                            Some(Asker { server, back: read_target(back)?, via: via.into() })
                        }
                        _ => None,
                    };
                Some(Box::new(ToClient { target: read_target(target)?, asker }))
            }
        };
        Some(Entry {
            message: from.get(name::MESSAGE)?.into(),
            line: RequestLine::from_bytes(from.get(name::LINE)?),
            flow: read_flow(from.group(name::FLOW)?)?,
            phase: read_phase(from)?,
            born: moment(from, name::BORN),
            patience: from.time(name::PATIENCE),
            server: server(name::SERVER),
            tried,
            moved_at: moment(from, name::MOVED_AT),
            class: one(&CLASSES, from.number(name::CLASS))?,
            cancel: one(&CANCELS, from.number(name::CANCEL))?,
            server_reliable: from.flag(name::SERVER_RELIABLE),
            to_client,
            sent: Sent {
                at: moment(from, name::SENT_AT),
                worker: from.small(name::WORKER).unwrap_or_default(),
                twice: from.flag(name::TWICE),
            },
            resend_at: from.time(name::RESEND_AT),
            losses: from.small(name::LOSSES).unwrap_or_default(),
            failover: from.flag(name::FAILOVER),
            in_dialog: from.flag(name::IN_DIALOG),
            heard: from.flag(name::HEARD),
            alone: from.flag(name::ALONE),
        })
    }
}

/// A moment that has been.
fn moment(from: Reader<'_>, name: u8) -> Time {
    from.number(name).map_or(Time::ZERO, Time::from_micros)
}

fn write_phase(of: Phase, into: &mut Writer) {
    let (kind, machine, status, done, why) = match of {
        Phase::Invite(machine) => (phase::INVITE, Some(machine.to_bytes(Time::ZERO)), None, false, None),
        Phase::Other(machine) => (phase::OTHER, Some(machine.to_bytes(Time::ZERO)), None, false, None),
        Phase::HeldBack { ready } => (phase::HELD_BACK, None, None, ready, None),
        Phase::Seeking { why, told } => (phase::SEEKING, None, None, told, Some(why)),
        Phase::Answered { machine, status, sent } => {
            (phase::ANSWERED, Some(machine.to_bytes(Time::ZERO)), Some(status), sent, None)
        }
        Phase::Passed(machine) => (phase::PASSED, Some(machine.to_bytes(Time::ZERO)), None, false, None),
        Phase::Over { answered } => (phase::OVER, None, answered, false, None),
    };
    into.number(name::PHASE, kind);
    into.flag(name::DONE, done);
    if let Some(machine) = machine {
        into.bytes(name::MACHINE, &machine);
    }
    if let Some(status) = status {
        into.number(name::STATUS, status.into());
    }
    if let Some(why) = why {
        into.number(name::WHY, number(&REASONS, &why));
    }
}

fn read_phase(from: Reader<'_>) -> Option<Phase> {
    let machine = || -> Option<&[u8; MACHINE_BYTES]> { from.get(name::MACHINE)?.try_into().ok() };
    let server = || InviteServer::from_bytes(machine()?, Time::ZERO).ok();
    let (status, done) = (from.small(name::STATUS), from.flag(name::DONE));
    Some(match from.number(name::PHASE)? {
        phase::INVITE => Phase::Invite(InviteClient::from_bytes(machine()?, Time::ZERO).ok()?),
        phase::OTHER => Phase::Other(NonInviteClient::from_bytes(machine()?, Time::ZERO).ok()?),
        phase::HELD_BACK => Phase::HeldBack { ready: done },
        phase::SEEKING => Phase::Seeking { why: one(&REASONS, from.number(name::WHY))?, told: done },
        phase::ANSWERED => Phase::Answered { machine: server()?, status: status?, sent: done },
        phase::PASSED => Phase::Passed(server()?),
        phase::OVER => Phase::Over { answered: status },
        _ => return None,
    })
}
