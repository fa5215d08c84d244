//! The way to the owner of the tables: a bounded queue of work, and the answers back. The owner looks at it with every turn,
//! some twenty times a second, so nothing need wake it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use base::Time;
use serde_json::{Map, Value};

use super::{Arguments, Context, Host, Outcome, RefusalKind, Refused, Work, verb};
use crate::lb::control::Control;

/// Work that waits for the owner: far more than operators give, far less than would keep it from its heartbeats.
const WAITING_MAX: usize = 64;
/// Work done in one turn of the owner.
const TURN_MAX: usize = 8;
/// The owner turns twenty times a second; one that has not answered by then is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

struct Job {
    work: Work,
    reply: SyncSender<Outcome>,
}

/// Where verbs are asked; one for all askers.
#[derive(Clone)]
pub(crate) struct Desk {
    host: Arc<Host>,
    jobs: SyncSender<Job>,
}

/// The owner's side.
pub(crate) struct Tray {
    host: Arc<Host>,
    jobs: Receiver<Job>,
}

pub(crate) fn open(host: Arc<Host>) -> (Desk, Tray) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (Desk { host: Arc::clone(&host), jobs: sender }, Tray { host, jobs: receiver })
}

impl Desk {
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Asks a verb by its name and waits for the outcome.
    pub(crate) fn ask(&self, name: &str, given: Map<String, Value>) -> Outcome {
        let Some(verb) = verb(name) else {
            let names: Vec<&str> = super::VERBS.iter().map(|verb| verb.name).collect();
            let what = format!("there is no verb `{name}`");
            return Err(Refused::bad(what, format!("known are {}", names.join(", "))));
        };
        let work = (verb.read)(&self.host, &Arguments::read(verb, given)?)?;
        let busy = |what: &str| Refused::new(RefusalKind::Busy, what, "ask again in a moment");
        let (reply, answer) = sync_channel(1);
        match self.jobs.try_send(Job { work, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(busy("too many requests wait")),
            Err(TrySendError::Disconnected(_)) => return Err(busy("the load manager is ending")),
        }
        answer
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| Err(busy("the load manager did not come to it in time")))
    }
}

impl Tray {
    /// Does the work that waits, at most a turn's worth: for the owner of the tables to call. What is asked meanwhile is for
    /// the next turn: whoever was answered and asks again sees what the end of this turn publishes.
    pub(crate) fn work_on(&self, now: Time, control: &mut Control) {
        let waiting: Vec<Job> = self.jobs.try_iter().take(TURN_MAX).collect();
        for job in waiting {
            let outcome = (job.work)(&mut Context { now, control, host: &self.host });
            // Whoever asked may have lost patience; then nobody wants to know.
            let _ = job.reply.try_send(outcome);
        }
    }
}
