//! The common part of all machines in this crate: a state, the time of the next copy, the end of the state, and the stored
//! bytes (§17 of RFC 3261 draws five figures of one shape).

use base::{Duration, Time};

use crate::Output;

/// Length of a stored machine.
pub const MACHINE_BYTES: usize = 20;

/// The first byte of a stored machine: the high half says the form of the rest, the low half says which machine it is.
const FORM: u8 = 0x10;

/// The stored form of a deadline that never comes.
const NEVER_US: u64 = u64::MAX;

/// The states of one machine.
pub(crate) trait State: Copy + PartialEq + 'static {
    /// Number of the machine in its stored form; 1 to 15.
    const KIND: u8;
    /// In the order of their stored numbers: a new state goes to the end.
    const ALL: &'static [Self];
    /// The state without timers, in which the owner forgets the machine.
    const TERMINATED: Self;
}

/// The reason why bytes are not a stored machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMachine {
    /// The bytes are of another machine, or of an unknown form.
    Kind,
    /// The bytes have a state or a flag that this machine does not have.
    State,
}

/// A value of 24 bytes; each machine is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock<S> {
    pub(crate) state: S,
    /// The transport itself repeats lost messages.
    pub(crate) reliable: bool,
    /// Number of copies sent; it determines the pause before the next copy.
    pub(crate) copies: u8,
    /// Time of the next copy; [`Time::NEVER`] if that timer does not run.
    pub(crate) repeat_at: Time,
    /// Time when the state ends by itself; [`Time::NEVER`] if it does not.
    pub(crate) ends_at: Time,
}

impl<S: State> Clock<S> {
    pub(crate) fn new(state: S, reliable: bool) -> Clock<S> {
        Clock { state, reliable, copies: 0, repeat_at: Time::NEVER, ends_at: Time::NEVER }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let next = self.repeat_at.min(self.ends_at);
        (next != Time::NEVER).then_some(next)
    }

    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.ends_at <= now && self.ends_at != Time::NEVER
    }

    pub(crate) fn repeats(&self, now: Time) -> bool {
        self.repeat_at <= now && self.repeat_at != Time::NEVER
    }

    /// The timer that has run out: `end` ends the state and comes first, `copy` sends the next copy.
    pub(crate) fn due<E>(&self, now: Time, end: Option<E>, copy: E) -> Option<E> {
        if self.is_over(now) { end } else { self.repeats(now).then_some(copy) }
    }

    /// A copy leaves now. Over an unreliable transport the next copy follows after `pause` of the number of copies.
    pub(crate) fn repeat(&mut self, now: Time, pause: impl FnOnce(u8) -> Duration) -> Output {
        self.copies = self.copies.saturating_add(1);
        self.repeat_at = if self.reliable { Time::NEVER } else { now + pause(self.copies) };
        Output::Repeat
    }

    /// Enters a state in which nothing is repeated.
    pub(crate) fn enter(&mut self, state: S, ends_at: Time, output: Output) -> Output {
        (self.state, self.repeat_at, self.ends_at) = (state, Time::NEVER, ends_at);
        output
    }

    pub(crate) fn terminate(&mut self, output: Output) -> Output {
        self.enter(S::TERMINATED, Time::NEVER, output)
    }

    /// Enters a state that only absorbs copies for `time`. If `time` is zero, as over a reliable transport, the state is left
    /// at once.
    pub(crate) fn linger(&mut self, now: Time, state: S, time: Duration, output: Output) -> Output {
        if time.is_zero() { self.terminate(output) } else { self.enter(state, now + time, output) }
    }

    /// The stored form. Deadlines are written as times from `origin` on, since each process has its own clock: the reader gives
    /// the same moment on its clock. A deadline in the past is written as due.
    pub(crate) fn to_bytes(self, origin: Time) -> [u8; MACHINE_BYTES] {
        let from_origin = |at: Time| match at {
            Time::NEVER => NEVER_US,
            at => at.as_micros().saturating_sub(origin.as_micros()),
        };
        let mut bytes = [0; MACHINE_BYTES];
        let state = S::ALL.iter().position(|known| *known == self.state).unwrap_or_default() as u8;
        bytes[..4].copy_from_slice(&[FORM | S::KIND, state, u8::from(self.reliable), self.copies]);
        bytes[4..12].copy_from_slice(&from_origin(self.repeat_at).to_be_bytes());
        bytes[12..].copy_from_slice(&from_origin(self.ends_at).to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; MACHINE_BYTES], origin: Time) -> Result<Clock<S>, BadMachine> {
        let [kind, state, reliable, copies, deadlines @ ..] = bytes;
        if *kind != FORM | S::KIND {
            return Err(BadMachine::Kind);
        }
        let state = *S::ALL.get(usize::from(*state)).ok_or(BadMachine::State)?;
        let reliable = match reliable {
            0 => false,
            1 => true,
            _ => return Err(BadMachine::State),
        };
        let (halves, _) = deadlines.as_chunks::<8>();
        let moment = |half: &[u8; 8]| match u64::from_be_bytes(*half) {
            NEVER_US => Time::NEVER,
            us => Time::from_micros(origin.as_micros().saturating_add(us)),
        };
        let (repeat_at, ends_at) = (moment(&halves[0]), moment(&halves[1]));
        Ok(Clock { state, reliable, copies: *copies, repeat_at, ends_at })
    }
}

/// The methods that every machine gets from its clock.
macro_rules! stored {
    ($machine:ident, $state:ident) => {
        impl $machine {
            pub fn state(&self) -> $state {
                self.0.state
            }

            /// Time of the next call of `due`.
            pub fn next_deadline(&self) -> Option<base::Time> {
                self.0.next_deadline()
            }

            /// The stored form: deadlines count from `origin`, a moment that writer and reader both know.
            pub fn to_bytes(&self, origin: base::Time) -> [u8; $crate::MACHINE_BYTES] {
                self.0.to_bytes(origin)
            }

            /// `origin`: the writer's moment, on the reader's clock.
            pub fn from_bytes(
                bytes: &[u8; $crate::MACHINE_BYTES],
                origin: base::Time,
            ) -> Result<$machine, $crate::BadMachine> {
                $crate::clock::Clock::from_bytes(bytes, origin).map($machine)
            }
        }
    };
}
pub(crate) use stored;
