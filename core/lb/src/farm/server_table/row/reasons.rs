//! All statements about a server: who makes each, and what it alone allows the server to be given.

use base::{Duration, Time};
use heartbeat::ServerState;

use super::Row;
use crate::farm::condition::{Cause, Condition};
use crate::farm::failing::Stage;
use crate::farm::health;

/// Who makes a statement about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    Heartbeat,
    Options,
    Traffic,
    Operator,
}

impl Source {
    pub const ALL: [Source; 4] = [Source::Heartbeat, Source::Options, Source::Traffic, Source::Operator];

    pub const fn name(self) -> &'static str {
        match self {
            Source::Heartbeat => "heartbeat",
            Source::Options => "options",
            Source::Traffic => "traffic",
            Source::Operator => "operator",
        }
    }
}

/// One statement about a server, and what it alone allows the server to be given. The server's state is what all of them
/// allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    pub source: Source,
    pub cause: Cause,
    pub allows: Condition,
    pub for_time: Duration,
}

impl Row {
    pub(super) fn reasons(&self, now: Time) -> Vec<Reason> {
        use Condition::{Active, Failed, KnownCallsOnly, Trial};
        let mut reasons = Vec::new();
        let mut say = |source, cause, allows, since: Time| {
            reasons.push(Reason { source, cause, allows, for_time: now.since(since) });
        };
        if let Some(agent) = &self.agent {
            let (cause, allows) = match agent.state {
                ServerState::Stopped => (self.refused(now).unwrap_or(Cause::Stopped), Failed),
                _ if agent.decay.failed(agent.heard, now) => {
                    (self.refused(now).unwrap_or(Cause::Decayed), Failed)
                }
                ServerState::Draining => (Cause::Draining, KnownCallsOnly),
                ServerState::Started if self.residual() == Some(0) => (Cause::Full, KnownCallsOnly),
                ServerState::Started => (Cause::Started, Active),
            };
            say(Source::Heartbeat, cause, allows, agent.heard);
        }
        let health = &self.health;
        let source = match health.reason() {
            health::Reason::ProbeAnswered(_) | health::Reason::ProbeSilence => Source::Options,
            health::Reason::Fresh
            | health::Reason::Answered
            | health::Reason::Unreachable
            | health::Reason::Silence
            | health::Reason::PauseOver => Source::Traffic,
        };
        let allows = match health.state() {
            health::State::Up | health::State::Suspect => Active,
            health::State::Trial => Trial,
            health::State::Failed => Failed,
        };
        say(source, Cause::Health(health.state(), health.reason()), allows, health.since());
        match self.failing.stage() {
            Stage::Trusted => {}
            Stage::Aside(_) => {
                let cause = Cause::Failing(self.failing.share());
                say(Source::Traffic, cause, KnownCallsOnly, self.failing.since());
            }
            Stage::Trial => {
                let cause = Cause::FailingTrial(self.failing.share());
                say(Source::Traffic, cause, Trial, self.failing.since());
            }
        }
        if health.full_until().is_some() {
            say(source, Cause::Full, KnownCallsOnly, now);
        }
        if let Some(since) = self.drained {
            say(Source::Operator, Cause::Drained, KnownCallsOnly, since);
        }
        if let Some(since) = self.leaving {
            say(Source::Operator, Cause::Leaving, KnownCallsOnly, since);
        }
        reasons
    }
}
