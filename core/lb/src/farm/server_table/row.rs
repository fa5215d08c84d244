//! One row of the server table: all that is known of one server, and the judgement on it.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Duration, Time};
use heartbeat::{Decay, Heartbeat, Load, Replay, ServerState};
use sip::Transport;

use crate::farm::condition::{Cause, Condition};
use crate::farm::departed::Departed;
use crate::farm::evidence::Totals;
use crate::farm::failing::{Failing, Stage};
use crate::farm::health::{self, Health, HealthSettings};
use crate::farm::hearsay::Hearsay;
use crate::farm::pace::Pace;
use crate::farm::recent::Recent;
use crate::farm::server::{Seat, ServerId, WHOLE, is_reachable};

mod evidence;
mod figures;
mod reasons;
mod replayed;
mod rising;
mod stored;
mod view;
pub use reasons::{Reason, Source};
pub use view::RowView;

/// A server that failed its calls returns at least this slowly.
const FAILING_RISE_TIME: Duration = Duration::from_secs(10);
/// Steps in which the share of a slowly starting server rises.
const SHARE_STEPS: u16 = 20;

/// The last word of a server's agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agent {
    pub(super) id: u32,
    pub(super) heard: Time,
    /// By the period that the heartbeat names, if it names one.
    pub(super) decay: Decay,
    state: ServerState,
    load: Option<Load>,
}

impl Agent {
    /// Whether the agent said that its server stopped, or says nothing any more.
    pub(super) fn is_gone(&self, now: Time) -> bool {
        self.state == ServerState::Stopped || self.decay.failed(self.heard, now)
    }
}

/// The last result of a poll.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// When the figures were right.
    at: Time,
    good_until: Time,
    state: ServerState,
    load: Option<Load>,
    down: bool,
}

/// What we saw of the server in the last seconds.
#[derive(Clone, Copy, Debug)]
struct Lately {
    calls: Recent,
    sent: Recent,
    failed: Recent,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: ServerId,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    pub(super) weight: u32,
    pub(super) priority: u8,
    pub(super) calls_max: Option<u32>,
    pub(super) pace: Option<Arc<Pace>>,
    pub(super) seat: Seat,
    pub(super) configured: bool,
    /// Since when an operator drains it.
    pub(super) drained: Option<Time>,
    /// Since when the configuration no longer names it.
    pub(super) leaving: Option<Time>,
    /// The server was out, or is new: its return starts slowly.
    was_out: bool,
    /// When its slow start began, and how far it has come.
    rising: Option<Time>,
    share_permille: u16,
    /// When a request was last sent to the server.
    sent_at: Time,
    pub(super) agent: Option<Agent>,
    /// The state tier that keeps its calls.
    pub(super) state_tier: Option<u64>,
    /// Where the heartbeats of a server with a state tier come from.
    pub(super) told_at: Option<SocketAddr>,
    measured: Option<Measured>,
    lately: Lately,
    pub(super) replay: Replay,
    /// Its heartbeats are refused as replayed, and none has been taken since.
    replayed: Option<replayed::Replayed>,
    pub(super) same_id_as: Option<SocketAddr>,
    pub(super) health: Health,
    pub(super) condition: Condition,
    cause: Cause,
    since: Time,
    /// Since when its known calls have gone elsewhere, if they do.
    pub(super) gone_since: Option<Time>,
    /// Calls that the server had been given at its last heartbeat, or when its trial began.
    pub(super) admitted_before: u64,
    /// Responses from it that had passed when its trial began.
    answered_before: u32,
    /// Calls given to earlier servers of its slot.
    admitted_first: u64,
    /// Calls that came while earlier servers of its slot were at their limits.
    at_limit_first: u64,
    evidence: Totals,
    evidence_first: Totals,
    pub(super) failing: Failing,
    pub(super) hearsay: Hearsay,
    /// How long its slow start takes.
    rise_time: Duration,
}

impl Row {
    pub(super) fn new(
        now: Time,
        address: SocketAddr,
        transport: Transport,
        seat: Seat,
        (evidence, admitted): (Totals, u64),
        health: HealthSettings,
    ) -> Row {
        let health = Health::new(health, now);
        Row {
            id: ServerId::of(address),
            address,
            transport,
            weight: 1,
            priority: 0,
            calls_max: None,
            pace: None,
            seat,
            configured: false,
            drained: None,
            leaving: None,
            was_out: true,
            rising: None,
            share_permille: WHOLE,
            sent_at: now,
            agent: None,
            state_tier: None,
            told_at: None,
            measured: None,
            lately: Lately {
                calls: Recent::new(now, admitted),
                sent: Recent::new(now, evidence.sent),
                failed: Recent::new(now, evidence.failures()),
            },
            replay: Replay::default(),
            replayed: None,
            same_id_as: None,
            condition: Condition::Active,
            cause: Cause::Health(health.state(), health.reason()),
            health,
            since: now,
            gone_since: None,
            admitted_before: 0,
            answered_before: 0,
            admitted_first: 0,
            at_limit_first: 0,
            evidence,
            evidence_first: evidence,
            failing: Failing::new(now),
            hearsay: Hearsay::default(),
            rise_time: Duration::ZERO,
        }
    }

    /// The row of a slot that had been given this many calls before.
    pub(super) fn after(self, admitted: u64, at_limit: u64) -> Row {
        let (admitted_first, at_limit_first) = (admitted, at_limit);
        Row { admitted_before: admitted, admitted_first, at_limit_first, ..self }
    }

    /// What is kept of it when it is no longer there, if a state tier keeps its calls.
    pub(super) fn departed(&self, gone_since: Option<Time>) -> Option<Departed> {
        Some(Departed { id: self.id, state_tier: self.state_tier?, gone_since })
    }

    /// Takes a heartbeat in; true if figures that selection reads changed.
    pub(super) fn hear(
        &mut self,
        now: Time,
        heartbeat: &Heartbeat,
        decay: Decay,
        settings: HealthSettings,
        admitted: u64,
    ) -> bool {
        self.replayed = None;
        let before = self.agent;
        let restarted = before.is_some_and(|agent| agent.state == ServerState::Stopped)
            && heartbeat.state != ServerState::Stopped;
        if restarted {
            self.begin_anew(now, settings);
        }
        let (id, state, load) = (heartbeat.server_id, heartbeat.state, heartbeat.load);
        self.agent = Some(Agent { id, heard: now, decay: decay.of_sender(heartbeat.period_ms), state, load });
        // The last word of a server that stops may no longer name the tier; its calls are there all the same.
        if heartbeat.state_tier.is_some() || state != ServerState::Stopped {
            self.state_tier = heartbeat.state_tier;
        }
        if !self.is_on_trial() {
            self.admitted_before = admitted;
        }
        load.is_some() || before.is_none_or(|agent| agent.load.is_some())
    }

    /// Evidence of the earlier process says nothing of this one.
    pub(super) fn begin_anew(&mut self, now: Time, settings: HealthSettings) {
        self.health = Health::new(settings, now);
        self.failing = Failing::new(now);
        self.hearsay = Hearsay::default();
    }

    /// Takes in the result of a poll, which is good for `good_for` unless renewed. True: the server went down or came
    /// back.
    pub(super) fn take_measured(
        &mut self,
        now: Time,
        heartbeat: &Heartbeat,
        good_for: Duration,
        admitted: u64,
    ) -> bool {
        let before = self.measured.is_some_and(|measured| measured.down);
        let age = Duration::from_millis(u64::from(heartbeat.age_ms.unwrap_or(0)));
        let at = Time::ZERO + now.since(Time::ZERO).saturating_sub(age);
        let (state, load, down) = (heartbeat.state, heartbeat.load, heartbeat.down);
        self.measured = Some(Measured { at, good_until: now + good_for, state, load, down });
        let limits = load.is_some_and(|load| load.residual_calls.is_some());
        if limits && !self.is_on_trial() {
            self.admitted_before = admitted;
        }
        down != before
    }

    /// Forgets a poll's figures that nobody renewed; true if there were any. If a performance server is gone, the choice
    /// loses precision, but the farm loses no calls.
    pub(super) fn expire_measured(&mut self, now: Time) -> bool {
        let expired = self.measured.is_some_and(|measured| now > measured.good_until);
        if expired {
            self.measured = None;
        }
        expired
    }

    pub(super) fn count_lately(&mut self, now: Time, admitted: u64) {
        self.lately.calls.note(now, admitted);
        self.lately.sent.note(now, self.evidence.sent);
        self.lately.failed.note(now, self.evidence.failures());
    }

    /// Judges the row anew; true if the result changed, so that routing, or someone who asks why, must know.
    pub(super) fn judge(&mut self, now: Time, admitted: u64, slow_start: Duration) -> bool {
        let (condition, cause) = self.verdict(now);
        if (condition, cause) == (self.condition, self.cause) {
            return false;
        }
        let trial = |cause| matches!(cause, Cause::Health(health::State::Trial, _) | Cause::FailingTrial(_));
        if trial(cause) && !trial(self.cause) {
            self.admitted_before = admitted;
            self.answered_before = self.evidence.answered as u32;
        }
        let open = condition == Condition::Active;
        let out = condition == Condition::Failed
            || matches!(cause, Cause::Drained | Cause::Draining | Cause::Failing(_));
        if open && self.was_out {
            self.was_out = false;
            let failed = matches!(self.cause, Cause::FailingTrial(_) | Cause::Failing(_));
            self.rise_time = if failed { slow_start.max(FAILING_RISE_TIME) } else { slow_start };
            if !self.rise_time.is_zero() {
                (self.rising, self.share_permille) = (Some(now), WHOLE / SHARE_STEPS);
            }
        }
        self.was_out |= out;
        (self.condition, self.cause, self.since) = (condition, cause, now);
        self.gone_since = match is_reachable(condition, cause) {
            true => None,
            false => self.gone_since.or(Some(now)),
        };
        true
    }

    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    /// Its trial begins, or begins anew: the calls that it gets are counted from here.
    pub(super) fn begin_trial(&mut self, admitted: u64) {
        self.admitted_before = admitted;
    }

    /// Whether it gets a few calls, counted since its trial began.
    fn is_on_trial(&self) -> bool {
        self.health.state() == health::State::Trial || self.failing.stage() == Stage::Trial
    }

    fn verdict(&self, now: Time) -> (Condition, Cause) {
        use Condition::{Active, Failed, KnownCallsOnly, Trial};
        let health = Cause::Health(self.health.state(), self.health.reason());
        let decayed = self.agent.is_some_and(|agent| agent.decay.failed(agent.heard, now));
        let state = self.agent.map(|agent| agent.state);
        match (state, self.health.state()) {
            (Some(ServerState::Stopped), _) => (Failed, self.refused(now).unwrap_or(Cause::Stopped)),
            _ if decayed => (Failed, self.refused(now).unwrap_or(Cause::Decayed)),
            (_, health::State::Failed) => (Failed, health),
            _ if self.drained.is_some() => (KnownCallsOnly, Cause::Drained),
            _ if self.leaving.is_some() => (KnownCallsOnly, Cause::Leaving),
            (Some(ServerState::Draining), _) => (KnownCallsOnly, Cause::Draining),
            _ if self.health.full_until().is_some() || self.residual() == Some(0) => {
                (KnownCallsOnly, Cause::Full)
            }
            (None, _) if self.measured.is_some_and(|measured| measured.state != ServerState::Started) => {
                (KnownCallsOnly, Cause::MeasuredDraining)
            }
            _ if matches!(self.failing.stage(), Stage::Aside(_)) => {
                (KnownCallsOnly, Cause::Failing(self.failing.share()))
            }
            _ if self.failing.stage() == Stage::Trial => (Trial, Cause::FailingTrial(self.failing.share())),
            (_, health::State::Trial) => (Trial, health),
            (_, health::State::Suspect) => (Active, health),
            (Some(ServerState::Started), health::State::Up) => (Active, Cause::Started),
            (None, health::State::Up) => (Active, health),
        }
    }

    /// The agent's word replaces OPTIONS, as long as the traffic does not contradict it.
    pub(super) fn is_probed(&self) -> bool {
        self.agent.is_none() || self.health.state() != health::State::Up
    }

    pub(super) fn failed_by_silence(&self) -> bool {
        use health::Reason::{ProbeSilence, Silence};
        matches!(self.cause, Cause::Health(health::State::Failed, Silence | ProbeSilence))
    }

    /// How long a server that is known by heartbeat alone has been gone; zero for any other.
    pub(super) fn gone_since(&self, now: Time) -> Duration {
        // A server whose heartbeats come is not gone, even if they are refused.
        let gone = !self.configured && matches!(self.cause, Cause::Decayed | Cause::Stopped);
        let heard = self.agent.map_or(now, |agent| agent.heard);
        if gone { now.since(heard) } else { Duration::ZERO }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let decays = self
            .agent
            .filter(|_| !matches!(self.cause, Cause::Decayed | Cause::Stopped | Cause::Replayed { .. }));
        let decays = decays.map(|agent| agent.decay.deadline(agent.heard) + Duration::from_micros(1));
        let failing = self.failing.next_deadline();
        let others = decays.into_iter().chain(failing).chain(self.refused_until());
        self.health.next_deadline(self.is_probed()).into_iter().chain(others).min()
    }
}
