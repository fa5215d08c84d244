//! The way to the owner of the tables: a bounded queue of work, and the answers. The owner looks at the queue in every turn,
//! some twenty times a second, so nothing needs to wake it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use base::Time;
use config::Tokens;
use serde_json::{Map, Value};

use super::asked::Asked;
use super::http::counters::ApiCounters;
use super::{Arguments, Context, Host, Outcome, RefusalKind, Refused, Work, verb};
use crate::lb::control::Control;
use crate::lb::hand_over::Giving;

/// Bound of the waiting work: far more than operators give, and far too little to keep the owner from its heartbeats.
const WAITING_MAX: usize = 64;
/// How much work the owner does in one turn.
const TURN_MAX: usize = 8;
/// The owner turns twenty times a second. An owner that has not answered within this time is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

struct Job {
    work: Work,
    reply: SyncSender<Outcome>,
}

/// The place where verbs are asked, by every asker.
#[derive(Clone)]
pub(crate) struct Desk {
    host: Arc<Host>,
    jobs: SyncSender<Job>,
}

/// The owner's end of the desk.
pub(crate) struct Tray {
    host: Arc<Host>,
    jobs: Receiver<Job>,
}

pub(crate) fn open(host: Arc<Host>) -> (Desk, Tray) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    (Desk { host: Arc::clone(&host), jobs: sender }, Tray { host, jobs: receiver })
}

/// What the owner of the tables is to do for this verb.
pub(super) fn work_of(host: &Host, name: &str, given: Map<String, Value>) -> Result<Work, Refused> {
    let Some(verb) = verb(name) else {
        let names: Vec<&str> = super::VERBS.iter().map(|verb| verb.name).collect();
        let what = format!("there is no verb `{name}`");
        return Err(Refused::bad(what, format!("the verbs are {}", names.join(", "))));
    };
    (verb.read)(host, &Arguments::read(verb, given)?)
}

impl Desk {
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }
}

impl Asked for Desk {
    fn ask(&self, name: &str, given: Map<String, Value>) -> Outcome {
        let work = work_of(&self.host, name, given)?;
        let busy = |what: &str| Refused::new(RefusalKind::Busy, what, "ask again in a moment");
        let (reply, answer) = sync_channel(1);
        match self.jobs.try_send(Job { work, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(busy("too many requests are waiting")),
            Err(TrySendError::Disconnected(_)) => return Err(busy("the load manager is ending")),
        }
        answer.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(busy("the load manager did not answer in time")))
    }

    fn tokens(&self) -> Arc<Tokens> {
        self.host.tokens.load_full()
    }

    fn giving(&self) -> Option<&Giving> {
        self.host.giving.as_ref()
    }

    fn api(&self) -> &ApiCounters {
        &self.host.api
    }
}

impl Tray {
    /// Does the waiting work, at most one turn's worth; the owner of the tables calls this. Work that comes meanwhile waits
    /// for the next turn, so an asker that was answered and asks again sees what the end of this turn publishes.
    pub(crate) fn work_on(&self, now: Time, control: &mut Control) {
        let waiting: Vec<Job> = self.jobs.try_iter().take(TURN_MAX).collect();
        for job in waiting {
            let outcome = (job.work)(&mut Context { now, control, host: &self.host });
            // The asker may have given up; then nobody needs the answer.
            let _ = job.reply.try_send(outcome);
        }
    }
}
