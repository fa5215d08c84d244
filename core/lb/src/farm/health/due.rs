//! Events of health that time alone brings: silence, the end of a pause, OPTIONS to be sent and OPTIONS unanswered.

use base::{Duration, Time};

use super::{Event, Health, State};
use crate::settings::Probe;

/// Unanswered requests from which silence counts: a single one may be a request that no server would answer.
const SILENT_REQUESTS: u32 = 2;
/// The wait for an OPTIONS to a server that, as the network says, is not there.
const HINTED_WAIT: Duration = Duration::from_millis(500);

impl Health {
    /// Lets time pass: silence, pauses and unanswered OPTIONS become events. True if the state changed.
    pub fn handle_timeout(&mut self, now: Time) -> bool {
        let mut changed = false;
        if self.probe_deadline().is_some_and(|deadline| now >= deadline) {
            changed |= self.handle(now, Event::ProbeTimeout);
        }
        if self.silence_deadline().is_some_and(|deadline| now >= deadline) {
            changed |= self.handle(now, Event::Silence);
        }
        if self.pause_deadline().is_some_and(|deadline| now >= deadline) {
            changed |= self.handle(now, Event::PauseOver);
        }
        if self.full_until.is_some_and(|until| now >= until) {
            self.full_until = None;
        }
        changed
    }

    /// Whether an OPTIONS is to be sent now. If so, it counts as sent; its response or its silence comes back as an
    /// event.
    pub fn take_probe(&mut self, now: Time) -> bool {
        if !self.is_asked() || self.probe_sent.is_some() || now < self.next_probe {
            return false;
        }
        self.next_probe = now + self.settings.probe_interval;
        let busy = self.last_answer.is_some_and(|at| now.since(at) < self.settings.probe_interval);
        if self.state == State::Up && busy && self.full_until.is_none() && self.answers_options {
            return false;
        }
        self.probe_sent = Some(now);
        true
    }

    /// Whether the server gets OPTIONS. A server that is judged by its traffic gets them only while it is suspected: servers
    /// that drop what scanners send do not answer OPTIONS, and are well.
    fn is_asked(&self) -> bool {
        match self.settings.probe {
            Probe::Off => false,
            Probe::Traffic => self.state == State::Suspect || self.state == State::Trial && self.is_hinted(),
            Probe::Options => true,
        }
    }

    /// When [`Health::handle_timeout`] has something to do; or, if the server is `probed`, [`Health::take_probe`].
    pub fn next_deadline(&self, probed: bool) -> Option<Time> {
        let probes = probed && self.is_asked() && self.probe_sent.is_none();
        let probe = probes.then_some(self.next_probe);
        let deadlines =
            [self.probe_deadline(), self.silence_deadline(), self.pause_deadline(), self.full_until, probe];
        deadlines.into_iter().flatten().min()
    }

    fn probe_deadline(&self) -> Option<Time> {
        let wait =
            if self.is_hinted() { HINTED_WAIT.min(self.settings.silence) } else { self.settings.silence };
        self.probe_sent.map(|sent| sent + wait)
    }

    fn silence_deadline(&self) -> Option<Time> {
        let enough = match self.state {
            State::Up => SILENT_REQUESTS,
            State::Suspect | State::Trial => 1,
            State::Failed => return None,
        };
        let from = self.silent_since.filter(|_| self.unanswered >= enough)?;
        // A suspect gets the same time once more, counted from when it became suspect.
        Some(from.max(if self.state == State::Suspect { self.since } else { from }) + self.settings.silence)
    }

    fn pause_deadline(&self) -> Option<Time> {
        (self.state == State::Failed && self.trial_by_call())
            .then(|| self.since + self.pause.max(self.settings.stay_out))
    }
}
