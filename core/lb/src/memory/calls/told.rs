//! What another load manager tells of a call (SPEC A8).

use base::Time;
use heartbeat::notice::{Notice, What};

use super::Calls;
use super::flags::OVER;
use crate::memory::expiring::Remembered;
use crate::signed::stamp::RINGING_TIME;

/// What became of a notice of another load manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Learnt,
    /// We knew of that call.
    Known,
    /// We knew of that call, at another server: both servers may have it.
    Otherwise,
    /// There is no room.
    Full,
}

impl Calls {
    /// Another load manager tells of a call. What we know ourselves stands, except for a move: the other load manager had the
    /// reason. A quarter of the memory is kept for our own calls.
    pub fn told(&self, now: Time, notice: Notice) -> Told {
        let long = match notice.what {
            What::Begun | What::Moved | What::Over => self.new_call_time,
            What::Ringing => RINGING_TIME,
            What::Answered if self.keeps_sessions => self.idle,
            What::Answered => self.new_call_time,
        };
        let until = now + long;
        let known = self.known.update(now, notice.call, |entry| match notice.what {
            What::Begun => {}
            What::Moved => entry.server = notice.server,
            What::Ringing => entry.until = entry.until.max(until),
            What::Answered if self.keeps_sessions => entry.until = entry.until.max(until),
            What::Answered => entry.until = entry.until.min(until),
            What::Over => {
                entry.until = entry.until.min(until);
                entry.flags |= OVER;
            }
        });
        match known {
            Some((before, _)) if notice.what != What::Moved && before.server != notice.server => {
                Told::Otherwise
            }
            Some(_) => Told::Known,
            None if notice.what == What::Over => Told::Known,
            None if self.known.len() >= self.known.entries_max() / 4 * 3 => Told::Full,
            None => match self.known.get_or_insert_with(now, notice.call, until, || Some((notice.server, 0)))
            {
                Remembered::Full => Told::Full,
                Remembered::New { .. } | Remembered::Known(_) | Remembered::Declined => Told::Learnt,
            },
        }
    }
}
