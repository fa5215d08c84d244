//! The figures of a server for selection and score: its load from heartbeats and polls, and what we saw of it ourselves.

use heartbeat::Load;

use super::Row;
use crate::farm::condition::Condition;
use crate::farm::health::TRIAL_CALLS;
use crate::farm::score::Figures;
use crate::farm::server::{Score, Server};

/// The load that one call adds to a server that does not tell its calls: a permille.
const CALL_LOAD_PPM: u32 = 1000;

impl Row {
    /// The newer of the loads from its heartbeats and from polls; a poll without an answer brings none.
    pub(super) fn load(&self) -> Option<Load> {
        let told = self.agent.and_then(|agent| agent.load.map(|load| (agent.heard, load)));
        let measured = self.measured.and_then(|measured| measured.load.map(|load| (measured.at, load)));
        told.into_iter().chain(measured).max_by_key(|(at, _)| *at).map(|(_, load)| load)
    }

    pub(super) fn residual(&self) -> Option<u32> {
        self.load().and_then(|load| load.residual_calls)
    }

    /// The figures for the score of SPEC B1; none for a server that has failed, so that its memory is not in the sum.
    pub(in crate::farm::server_table) fn figures(&self) -> Figures {
        let load = self.load().filter(|_| self.condition != Condition::Failed).unwrap_or_default();
        let (sent, failed) = (self.lately.sent.count(), self.lately.failed.count());
        let failed = (u64::from(failed.min(sent)) * 1000).checked_div(u64::from(sent));
        Figures {
            cpu_permille: load.cpu_permille,
            memory_available_kib: load.memory_available_kib,
            network_permille: load.network_permille,
            latency_us: load.latency_us,
            calls: Some(self.lately.calls.count()),
            failed_permille: Some(failed.unwrap_or(0) as u16),
            down: self.measured.is_some_and(|measured| measured.down),
        }
    }

    pub(super) fn load_permille(&self) -> Option<u32> {
        self.load().and_then(|load| load.load_permille())
    }

    fn call_load_ppm(&self) -> u32 {
        let load = self.load().unwrap_or_default();
        let limit =
            load.calls.zip(load.residual_calls).map(|(calls, residual)| calls.saturating_add(residual));
        limit.and_then(|limit| 1_000_000u32.checked_div(limit)).unwrap_or(CALL_LOAD_PPM)
    }

    /// The row as the data path sees it.
    pub(in crate::farm::server_table) fn server(&self, index: u16, score: Option<Score>) -> Server {
        let trial = self.is_on_trial();
        let residual = self.residual();
        Server {
            id: self.id,
            address: self.address,
            transport: self.transport,
            condition: self.condition,
            cause: self.cause,
            since: self.since,
            gone_since: self.gone_since,
            weight: self.weight,
            priority: self.priority,
            calls_max: self.calls_max,
            pace: self.pace.clone(),
            share_permille: self.share_permille,
            score,
            load_permille: self.load_permille(),
            call_load_ppm: self.call_load_ppm(),
            residual_calls: if trial {
                Some(residual.unwrap_or(TRIAL_CALLS).min(TRIAL_CALLS))
            } else {
                residual
            },
            admitted_before: self.admitted_before as u32,
            answered_before: self.answered_before,
            index,
            seat: self.seat,
            state_tier: self.state_tier,
        }
    }
}
