//! The demo's figures of the last whole second.

use std::time::{Duration, Instant};

use super::callers::Tally;
use super::histogram::quantile;
use super::screen::View;
use crate::report::status::StatusReport;

/// Counts at the beginning of the present second.
#[derive(Default)]
struct Second {
    at: Option<Instant>,
    messages: u64,
    by_server: Vec<u64>,
    ringing: Vec<u64>,
}

/// Figures of the last whole second.
#[derive(Default)]
struct Shown {
    messages: u64,
    rates: Vec<u64>,
    p50: Option<u64>,
    p99: Option<u64>,
}

/// See the head of this module.
#[derive(Default)]
pub(crate) struct Meter {
    last: Second,
    shown: Shown,
}

/// What the picture shows besides the meter's figures.
pub(crate) struct Beside<'a> {
    pub(crate) elapsed: Duration,
    pub(crate) seconds: u64,
    pub(crate) taken_over: Option<usize>,
    pub(crate) events: &'a [String],
}

impl Meter {
    /// The data of the next picture.
    pub(crate) fn view<'a>(
        &'a mut self,
        tally: &Tally,
        report: &'a StatusReport,
        beside: Beside<'a>,
    ) -> View<'a> {
        let by_server: Vec<u64> = report.servers.iter().map(|server| server.messages).collect();
        let ringing = tally.first_answer.counts();
        let elapsed = self.last.at.map_or(Duration::MAX, |at| at.elapsed());
        if elapsed >= Duration::from_secs(1) {
            if self.last.at.is_some() {
                let millis = elapsed.as_millis().max(1) as u64;
                let per_second = |count: u64, before: u64| count.saturating_sub(before) * 1000 / millis;
                let before = |index: usize| self.last.by_server.get(index).copied().unwrap_or(0);
                let window: Vec<u64> =
                    ringing.iter().zip(&self.last.ringing).map(|(now, before)| now - before).collect();
                self.shown = Shown {
                    messages: per_second(tally.messages.get(), self.last.messages),
                    rates: by_server
                        .iter()
                        .enumerate()
                        .map(|(at, count)| per_second(*count, before(at)))
                        .collect(),
                    p50: quantile(&window, 500),
                    p99: quantile(&window, 990),
                };
            }
            self.last =
                Second { at: Some(Instant::now()), messages: tally.messages.get(), by_server, ringing };
        }
        View {
            elapsed_millis: beside.elapsed.as_millis() as u64,
            seconds: beside.seconds,
            report,
            rates: &self.shown.rates,
            begun: tally.started.get(),
            up: tally.up.get(),
            ended: tally.ended.get(),
            lost: tally.lost.get(),
            messages_per_second: self.shown.messages,
            p50: self.shown.p50,
            p99: self.shown.p99,
            taken_over: beside.taken_over,
            events: beside.events,
        }
    }
}
