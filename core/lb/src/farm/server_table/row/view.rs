//! A row as an operator sees it.

use std::net::SocketAddr;

use base::{Duration, Time};
use heartbeat::{Load, ServerState};
use sip::Transport;

use super::{Reason, Row};
use crate::farm::condition::{Cause, Condition};
use crate::farm::evidence::Totals;
use crate::farm::server::{Score, Seat, ServerId};

/// All that is known of one server at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RowView {
    pub index: usize,
    pub id: ServerId,
    pub address: SocketAddr,
    pub transport: Transport,
    pub weight: u32,
    pub priority: u8,
    /// Limits of the configuration; `None`: no limit.
    pub calls_max: Option<u32>,
    pub calls_per_second_max: Option<u32>,
    /// Named in the configuration; otherwise known by heartbeat alone.
    pub configured: bool,
    /// The id in its heartbeats, and another server with the same id.
    pub heartbeat_id: Option<u32>,
    pub same_id_as: Option<SocketAddr>,
    /// State of the last heartbeat, and how long ago it came.
    pub heartbeat_state: Option<ServerState>,
    pub heartbeat_age: Option<Duration>,
    /// The state tier that keeps its calls.
    pub state_tier: Option<u64>,
    pub condition: Condition,
    pub cause: Cause,
    /// All statements about it, including the reason for its condition.
    pub reasons: Vec<Reason>,
    /// An operator drains it, or the configuration no longer names it.
    pub drained: bool,
    pub leaving: bool,
    pub seat: Seat,
    /// Its share while it starts slowly; 1000: its whole weight.
    pub share_permille: u16,
    /// Time since a request was last sent to it.
    pub quiet_for: Duration,
    /// How long it has had this condition and cause.
    pub unchanged_for: Duration,
    /// Age of the last result of a poll, and whether the poll had no answer (SPEC B3).
    pub measured_age: Option<Duration>,
    pub measured_down: bool,
    pub load: Option<Load>,
    pub load_permille: Option<u32>,
    pub score: Option<Score>,
    /// In progress, in hundredths: calls if they are counted, else what tjsq or tlwl count.
    pub in_progress: Option<u32>,
    /// New calls given to it since the row was made.
    pub new_calls: u64,
    /// New calls that came while it was at one of its limits.
    pub at_limit: u64,
    /// The evidence since the row was made.
    pub evidence: Totals,
}

impl Row {
    pub(in crate::farm::server_table) fn view(
        &self,
        now: Time,
        index: usize,
        score: Option<Score>,
        in_progress: Option<u32>,
        (admitted, at_limit): (u64, u64),
    ) -> RowView {
        let (all, first) = (self.evidence, self.evidence_first);
        RowView {
            index,
            id: self.id,
            address: self.address,
            transport: self.transport,
            weight: self.weight,
            priority: self.priority,
            calls_max: self.calls_max,
            calls_per_second_max: self.pace.as_ref().map(|pace| pace.per_second_max()),
            configured: self.configured,
            heartbeat_id: self.agent.map(|agent| agent.id),
            same_id_as: self.same_id_as,
            heartbeat_state: self.agent.map(|agent| agent.state),
            heartbeat_age: self.agent.map(|agent| now.since(agent.heard)),
            state_tier: self.state_tier,
            condition: self.condition,
            cause: self.cause,
            reasons: self.reasons(now),
            drained: self.drained.is_some(),
            leaving: self.leaving.is_some(),
            seat: self.seat,
            share_permille: self.share_permille,
            quiet_for: now.since(self.sent_at),
            unchanged_for: now.since(self.since),
            measured_age: self.measured.map(|measured| now.since(measured.at)),
            measured_down: self.measured.is_some_and(|measured| measured.down),
            load: self.load(),
            load_permille: self.load_permille(),
            score,
            in_progress,
            new_calls: admitted - self.admitted_first,
            at_limit: at_limit - self.at_limit_first,
            evidence: Totals {
                sent: all.sent - first.sent,
                answered: all.answered - first.answered,
                unreachable: all.unreachable - first.unreachable,
                returned: all.returned - first.returned,
                failed: all.failed - first.failed,
                setups_taken: all.setups_taken - first.setups_taken,
                setups_failed: all.setups_failed - first.setups_failed,
            },
        }
    }
}
