//! The agent's part beside a server of a cluster: its death is followed by a promotion, and it is not started before that.

use std::time::Duration;

use tracing::{error, info, warn};

use super::Agent;
use crate::shard::Shard;
use crate::supervise::{Event, Phase};

impl Agent {
    /// Whether the agent must not end yet: the promotion of a replica that it began is on its way.
    pub(super) fn is_forcing(&self) -> bool {
        self.shard.as_ref().is_some_and(Shard::is_forcing)
    }

    /// Whether a server that is due to be started must wait.
    pub(super) fn is_held_back(&self) -> bool {
        self.supervisor.phase() == Phase::Waiting && self.shard.as_ref().is_some_and(|one| !one.may_start())
    }

    /// The server has ended, or an earlier agent's had ended before.
    pub(super) fn died(&mut self) {
        let now = self.now();
        let hung = self.settings.hung_after.unwrap_or(Duration::ZERO);
        if let Some(shard) = &mut self.shard {
            shard.died(hung, now);
        }
    }

    /// Hears what the servers of the cluster say, and asks them.
    pub(super) fn guard(&mut self) {
        let now = self.now();
        let Some(shard) = &mut self.shard else { return };
        shard.turn(now);
        match self.supervisor.phase() {
            Phase::Starting if shard.is_settled() => {
                info!("server is ready: {}", shard.part());
                self.act(Event::Ready);
            }
            Phase::Starting => {
                if let Some(reminder) = shard.reminder(now) {
                    warn!("{reminder}");
                }
            }
            Phase::Running => {
                if let Some(hung_after) = self.settings.hung_after
                    && shard.hangs(hung_after)
                {
                    error!("server has not answered for {} ms; it is killed", hung_after.as_millis());
                    self.signal_session(libc::SIGKILL);
                }
            }
            Phase::Waiting | Phase::Leaving | Phase::Stopping | Phase::Killing | Phase::Finished => {}
        }
        // What the server has may be new.
        self.remember();
    }
}
