//! Another build, or another configuration, takes over under calls: one engine after the other is ended and started anew from the
//! program that now lies on the disk. Its calls go on at the others meanwhile. If a new engine does not take calls, the rest
//! keeps the old build.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::kept::Kept;
use super::plan::Plan;
use super::said::Said;
use crate::report::status::StatusReport;

/// Longest wait until an engine that was told to end has ended: agents drain, then wait two seconds for the engine.
const END_PATIENCE: Duration = Duration::from_secs(6);
/// Longest wait until the new engine takes calls.
const START_PATIENCE: Duration = Duration::from_secs(15);

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Upgrade {
    index: usize,
    step: Step,
    began: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The old engine ends since then.
    Ending(Instant),
    /// The new one starts since then.
    Starting(Instant),
}

impl Upgrade {
    /// The engine that is being replaced.
    pub(super) fn index(&self) -> usize {
        self.index
    }
}

/// What an upgrade works with.
pub(super) struct Hands<'a> {
    pub(super) plan: &'a Plan,
    pub(super) folder: &'a Folder,
    pub(super) agents: &'a mut [Kept],
    /// What the load manager sees.
    pub(super) report: &'a dyn Fn() -> io::Result<StatusReport>,
}

impl Upgrade {
    /// The first engine is told to end.
    pub(super) fn begin(agents: &[Kept], now: Instant) -> Upgrade {
        Upgrade::replace(agents, 0, now, now)
    }

    fn replace(agents: &[Kept], index: usize, now: Instant, began: Instant) -> Upgrade {
        agents[index].signal(libc::SIGTERM);
        Upgrade { index, step: Step::Ending(now), began }
    }

    /// `None`: it is complete, or it has stopped.
    pub(super) fn go_on(self, now: Instant, hands: Hands<'_>, said: &mut Vec<Said>) -> Option<Upgrade> {
        let Upgrade { index, step, began } = self;
        let number = index + 1;
        let agent = &mut hands.agents[index];
        match step {
            Step::Ending(since) => {
                if now.saturating_duration_since(since) >= END_PATIENCE {
                    let text = format!("upgrade: the agent of engine {number} does not end, and is killed");
                    said.push(Said::bad(text));
                    agent.kill();
                }
                agent.ended();
                if agent.pid().is_some() {
                    return Some(Upgrade { index, step, began });
                }
                // The old agent remembers that it drains.
                let _ = fs::remove_file(hands.plan.remembered(index, hands.folder));
                if let Err(error) = agent.run() {
                    said.push(Said::bad(format!("upgrade: engine {number} cannot be started: {error}")));
                }
                Some(Upgrade { index, step: Step::Starting(now), began })
            }
            Step::Starting(since) => {
                let ended = agent.look(now);
                let waited = now.saturating_duration_since(since);
                if (hands.report)().is_ok_and(|report| hands.plan.is_active(index, &report)) {
                    let millis = waited.as_millis();
                    said.push(Said::well(format!(
                        "upgrade: engine {number} takes calls again after {millis} ms"
                    )));
                    if number < hands.agents.len() {
                        return Some(Upgrade::replace(hands.agents, number, now, began));
                    }
                    let seconds = now.saturating_duration_since(began).as_secs();
                    said.push(Said::well(format!("upgrade complete after {seconds} s")));
                    return None;
                }
                if ended.is_none() && waited < START_PATIENCE {
                    return Some(Upgrade { index, step, began });
                }
                said.push(Said::bad(format!(
                    "upgrade stopped: the new engine {number} takes no calls, and the other engines stay as they are; see {}",
                    agent.log().display()
                )));
                None
            }
        }
    }
}
