//! Figures of host and server: asked of the thread that collects them, and told in heartbeats.

use std::time::Duration;

use base::Time;
use heartbeat::Load;
use heartbeat::stream::framed;
use tracing::warn;

use super::Agent;
use crate::figures_file::Figures;
use crate::proc;

/// Figures are collected once a heartbeat, but not more often than this, because a collection reads all of /proc …
const COLLECT_EVERY_MIN: Duration = Duration::from_millis(200);

/// … and not less often than this, so that a threshold is noticed.
const COLLECT_EVERY_MAX: Duration = Duration::from_secs(1);

impl Agent {
    pub(super) fn ask_figures(&mut self, now: Time) {
        // CPU use is known only from the second collection on, so the second collection follows soon.
        let first = self.load == Load::default();
        let usual =
            self.settings.collect.unwrap_or(self.settings.period.clamp(COLLECT_EVERY_MIN, COLLECT_EVERY_MAX));
        self.collect_at = now + if first { COLLECT_EVERY_MIN } else { usual };
        self.gatherer.ask(self.process.as_ref().map(|process| process.pid), now);
        proc::reap_orphans(self.process.as_ref().map(|process| process.pid));
    }

    /// Takes what the thread has found.
    pub(super) fn take_figures(&mut self, now: Time) {
        let Some(load) = self.gatherer.answer() else {
            if self.gatherer.became_late(now) {
                warn!("/proc does not answer: CPU and memory are unknown until it does; heartbeats go on");
                self.load = Load::default();
                self.sender.set(self.supervisor.state(), self.load);
            }
            return;
        };
        self.load = load;
        if let Some(file) = &mut self.figures_file {
            let mut figures = Figures { load: self.load, state_tier: self.settings.state_tier };
            file.put_into(&mut figures);
            self.load = figures.load;
            self.sender.set_state_tier(figures.state_tier);
        }
        let strained = self.load.cpu_permille.is_some_and(|cpu| cpu >= self.settings.cpu_high_permille)
            || self.load.memory_available_kib.is_some_and(|kib| kib <= self.settings.memory_low_kib);
        self.sender.set(self.supervisor.state(), self.load);
        if strained {
            self.notify(now);
        }
    }

    pub(super) fn collect_and_send(&mut self) {
        let now = self.now();
        self.take_figures(now);
        if now >= self.collect_at {
            self.ask_figures(now);
        }
        if now >= self.beat_at {
            self.sender.send(now);
            self.beat_at = self.beat_at + self.settings.period;
            if self.beat_at < now {
                self.beat_at = now + self.settings.period;
            }
        }
    }

    /// The notification loop (SPEC B3): while the load is too high or memory too low, each round of the collection loop
    /// tells everybody at once, by heartbeat and on the streams.
    fn notify(&mut self, now: Time) {
        self.beat_at = now;
        if let Some(stream) = &mut self.stream {
            stream.notify(&framed(&self.sender.notification()));
        }
    }
}
