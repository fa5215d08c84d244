//! A server of a Redis or Valkey cluster, and its neighbours: the connections on which [`state::failover`] asks them and has one
//! promoted. Without a death, the server and its replicas are asked five times a second.
//!
//! A server that was started anew may not be promoted before it has its copy (`cluster-replica-no-failover`): else engines would
//! wait for it while it copies.

mod line;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{Duration, Time};
use state::failover::{Effect, Failover, Held, LOOK_EVERY};
use state_redis::link::Settings;
use tracing::{info, warn};

use crate::settings::ShardSettings;
use crate::status;
use line::{Line, News, Question};

/// A connection that nobody has used for so long is closed.
const UNUSED_MAX: Duration = Duration::from_secs(10);
/// Between two lines of the log about a server that does not become ready.
const REMIND_EVERY: Duration = Duration::from_secs(10);
/// The setting that keeps a server from being promoted.
const SHIELD: &str = "cluster-replica-no-failover";

/// Whether the server may be promoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shield {
    /// It may.
    Down,
    /// It has just been started; it does not answer yet.
    ToRaise,
    /// It may not, until it has its copy.
    Up,
}

/// See the head of this module.
pub(crate) struct Shard {
    own: Box<str>,
    settings: Settings,
    machine: Failover,
    lines: BTreeMap<Box<str>, Line>,
    shield: Shield,
    /// Questions to the own server since its last answer.
    unanswered: u32,
    /// Why the own server could not be asked last.
    trouble: Option<String>,
    remind_at: Time,
}

impl Shard {
    pub(crate) fn new(own: SocketAddr, settings: &ShardSettings, held: Held, now: Time) -> Shard {
        let own = own.to_string();
        let settings = Settings {
            user: settings.user.clone(),
            password: settings.password.clone(),
            ..Settings::default()
        };
        Shard {
            machine: Failover::new(&own, held, now),
            own: own.into(),
            settings,
            lines: BTreeMap::new(),
            // An earlier agent may have left it so.
            shield: Shield::Up,
            unanswered: 0,
            trouble: None,
            remind_at: now + REMIND_EVERY,
        }
    }

    pub(crate) fn held(&self) -> &Held {
        self.machine.held()
    }

    pub(crate) fn may_start(&self) -> bool {
        self.machine.may_start()
    }

    pub(crate) fn is_forcing(&self) -> bool {
        self.machine.is_forcing()
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.machine.is_settled()
    }

    pub(crate) fn part(&self) -> &'static str {
        if self.machine.is_primary() { "primary" } else { "replica, or primary without calls" }
    }

    pub(crate) fn wake(&self) -> Time {
        self.machine.wake()
    }

    /// The descriptors for the poll.
    pub(crate) fn watch(&self, fds: &mut Vec<libc::pollfd>) {
        fds.extend(self.lines.values().map(Line::watched));
    }

    pub(crate) fn started(&mut self, now: Time) {
        self.machine.started(now);
        self.lines.remove(&self.own);
        self.shield = Shield::ToRaise;
        self.unanswered = 0;
        self.remind_at = now + REMIND_EVERY;
    }

    pub(crate) fn died(&mut self, hung: Duration, now: Time) {
        // Only a server that has left many questions unanswered has hung.
        let hung = if self.has_hung(hung) { hung } else { Duration::ZERO };
        let mut effects = Vec::new();
        self.machine.died(hung, now, &mut effects);
        self.perform(effects, now);
    }

    /// Reads what has come, and asks what is due.
    pub(crate) fn turn(&mut self, now: Time) {
        let mut effects = Vec::new();
        for address in self.lines.keys().cloned().collect::<Vec<_>>() {
            self.read(&address, now, &mut effects);
        }
        self.machine.tick(now, &mut effects);
        self.perform(effects, now);
        self.lines.retain(|_, line| now.since(line.used) < UNUSED_MAX);
        if self.shield == Shield::Up && self.machine.is_settled() {
            self.set_shield("no", Shield::Down);
        }
    }

    fn read(&mut self, address: &str, now: Time, effects: &mut Vec<Effect>) {
        let Some(line) = self.lines.get_mut(address) else { return };
        let mut news = Vec::new();
        let ended = line.turn(address, &mut news);
        for one in news {
            if address == &*self.own {
                self.unanswered = 0;
                self.trouble = None;
                if self.shield == Shield::ToRaise {
                    self.set_shield("yes", Shield::Up);
                }
            }
            match one {
                News::Word(word) => self.machine.heard(address, &word, now, effects),
                News::Refused(Question::Force, why) => self.machine.refused(address, &why, now, effects),
                News::Refused(Question::Shield, why) => warn!("{SHIELD} of {address} cannot be set: {why}"),
                // A server that loads its copy, or may not tell.
                News::Refused(Question::Look(_), why) if address == &*self.own => self.trouble = Some(why),
                News::Refused(Question::Look(_), _) | News::Done => {}
            }
        }
        if let Err(error) = ended {
            self.lines.remove(address);
            if address == &*self.own {
                self.trouble = Some(error.to_string());
            }
        }
    }

    fn set_shield(&mut self, value: &str, shield: Shield) {
        if let Some(line) = self.lines.get_mut(&self.own) {
            line.ask(Question::Shield, &[&["CONFIG", "SET", SHIELD, value]]);
            self.shield = shield;
        }
    }

    fn perform(&mut self, effects: Vec<Effect>, now: Time) {
        for effect in effects {
            match effect {
                Effect::Look(server) => {
                    if server == self.own {
                        self.unanswered = self.unanswered.saturating_add(1);
                    }
                    if let Some(line) = self.line(&server, now) {
                        line.look(now);
                    }
                }
                Effect::Force(server) => {
                    if let Some(line) = self.line(&server, now) {
                        line.ask(Question::Force, &[&["CLUSTER", "FAILOVER", "FORCE"]]);
                    }
                }
                Effect::Say(text) => info!("{text}"),
                Effect::Warn(text) => warn!("{text}"),
            }
        }
        // What was asked now leaves now: a promotion waits for it.
        let mut effects = Vec::new();
        for address in self.lines.keys().cloned().collect::<Vec<_>>() {
            if self.lines.get(&address).is_some_and(Line::has_to_send) {
                self.read(&address, now, &mut effects);
            }
        }
        if !effects.is_empty() {
            self.perform(effects, now);
        }
    }

    /// The connection to a server, opened now if there is none, or none that answers.
    fn line(&mut self, server: &str, now: Time) -> Option<&mut Line> {
        if self.lines.get(server).is_some_and(|line| line.is_stuck(now)) {
            self.lines.remove(server);
        }
        if !self.lines.contains_key(server) {
            match Line::open(server, &self.settings, now) {
                Ok(line) => drop(self.lines.insert(server.into(), line)),
                Err(error) if server == &*self.own => self.trouble = Some(error.to_string()),
                Err(_) => {}
            }
        }
        let line = self.lines.get_mut(server)?;
        line.used = now;
        Some(line)
    }

    fn has_hung(&self, hung_after: Duration) -> bool {
        !hung_after.is_zero() && LOOK_EVERY * self.unanswered >= hung_after
    }

    /// Whether the server has not answered for so long. Questions are counted, since an agent that stood still has asked nobody.
    pub(crate) fn hangs(&mut self, hung_after: Duration) -> bool {
        self.has_hung(hung_after)
    }

    /// A line for the log, if the server has been starting for too long.
    pub(crate) fn reminder(&mut self, now: Time) -> Option<String> {
        if now < self.remind_at {
            return None;
        }
        self.remind_at = now + REMIND_EVERY;
        let why = match &self.trouble {
            Some(why) => format!("{}: {why}", self.own),
            None => "it is neither a primary that serves nor a replica with a copy".to_owned(),
        };
        Some(format!("server not ready: {why} (check --redis, --user and --password-file)"))
    }

    /// Lines of the agent's status.
    pub(crate) fn status(&self, now: Time, text: &mut String) {
        status::line(text, "redis", Some(&self.own));
        status::line(text, "redis_part", Some(self.part()));
        status::line(text, "replicas_in_step", Some(self.machine.in_step(now)));
    }
}
