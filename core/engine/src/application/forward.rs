//! All calls go to the targets of the configuration.

use base::Duration;

use super::{Application, Call, Invitation, Verdict};

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// How long a call may last after its answer.
    pub talk_max: Option<Duration>,
}

/// The timer of [`Forward::talk_max`].
const TALK: u32 = 1;

impl Application for Forward {
    fn number(&self) -> u32 {
        1
    }

    fn invited(&self, _call: &mut Call<'_>, _invite: &Invitation<'_>) -> Verdict {
        Verdict::Forward
    }

    fn answered(&self, call: &mut Call<'_>) {
        if let Some(talk_max) = self.talk_max {
            // The record of a call without timers has room for one.
            let _ = call.start_timer(TALK, talk_max, b"");
        }
    }

    fn timer(&self, call: &mut Call<'_>, id: u32, _info: &[u8]) {
        if id == TALK {
            call.hang_up();
        }
    }
}
