//! Is a server alive, judged by its traffic and its answers to OPTIONS? One pure machine per server, fed with evidence
//! ([`crate::farm::evidence`]) at each tick of the server table. The server table itself handles heartbeats of agents.

use base::{Duration, Time};

use crate::settings::{Probe, Settings};

pub use crate::farm::condition::{Reason, State};

mod due;
mod stored;

/// A server that answered within this time is there, whatever ICMP says: a forger of ICMP cannot keep it from answering. The
/// failure of a server that is gone is noticed this much later.
const JUST_ANSWERED: Duration = Duration::from_secs(1);

/// Pause between a failure and the next trial; doubles with each failed trial.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A server up for this long is forgiven its earlier failures.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);
/// The network says that a server is not there: this many OPTIONS in a row without an answer confirm it.
const HINTED_MISSES: u32 = 2;
/// New calls that a server on trial gets.
pub const TRIAL_CALLS: u32 = 3;
/// A server that says "full" is believed for at most this long: a Retry-After of minutes must not outlast the fullness.
const FULL_MAX: Duration = Duration::from_secs(30);

/// The settings of health, taken from [`Settings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    pub probe: Probe,
    /// Time between two OPTIONS to one server.
    pub probe_interval: Duration,
    /// A server is suspect after this time with requests unanswered and nothing else heard; also the wait for an OPTIONS.
    pub silence: Duration,
    /// A server is failed after this many refusals or unreachables in a row, or after this many unanswered OPTIONS in a row
    /// if it answered them before. One may be a leftover of a restart.
    pub fail_after: u32,
    /// Time for which a failed server stays failed, whatever it answers: a server that flaps stays out, instead of going
    /// in and out.
    pub stay_out: Duration,
}

impl HealthSettings {
    pub fn of(settings: &Settings) -> HealthSettings {
        let (probe, probe_interval, silence) = (settings.probe, settings.probe_interval, settings.silence);
        let (fail_after, stay_out) = (settings.fail_after.max(1), settings.stay_out);
        HealthSettings { probe, probe_interval, silence, fail_after, stay_out }
    }
}

/// What happened to a server. Counts are those of one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Requests that ask for a response (not ACK) were forwarded to it.
    Sent(u32),
    /// Any response from it passed.
    Answered,
    /// This many connections to it were refused or lost.
    Unreachable(u32),
    /// The network says that this many datagrams did not arrive. This is only a hint, since anyone who sees our datagrams can
    /// say so. OPTIONS decide.
    Returned(u32),
    /// It got requests and gave no sign for the time of silence.
    Silence,
    /// The pause after its failure has passed.
    PauseOver,
    ProbeAnswered {
        status: u16,
        retry_after: Option<Duration>,
    },
    ProbeTimeout,
    /// It answered a call with 503 and Retry-After: full, not dead.
    Full(Duration),
}

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct Health {
    settings: HealthSettings,
    state: State,
    reason: Reason,
    since: Time,
    /// Pause after the next failure.
    pause: Duration,
    /// When the oldest request without any later sign of life was sent, and the number of such requests.
    silent_since: Option<Time>,
    unanswered: u32,
    unreachable_hits: u32,
    returned_hits: u32,
    last_answer: Option<Time>,
    full_until: Option<Time>,
    /// The server counts as full only because calls were refused.
    full_by_hearsay: bool,
    probe_sent: Option<Time>,
    next_probe: Time,
    probe_misses: u32,
    /// Whether it ever answered OPTIONS, or traffic: silence is evidence only if the server once answered that kind, or
    /// never answered at all.
    answers_options: bool,
    answers_traffic: bool,
}

impl Health {
    pub fn new(settings: HealthSettings, now: Time) -> Health {
        Health {
            settings,
            state: State::Up,
            reason: Reason::Fresh,
            since: now,
            pause: PAUSE_MIN,
            silent_since: None,
            unanswered: 0,
            unreachable_hits: 0,
            returned_hits: 0,
            last_answer: None,
            full_until: None,
            full_by_hearsay: false,
            probe_sent: None,
            next_probe: now,
            probe_misses: 0,
            answers_options: false,
            answers_traffic: false,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// When the present state began.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Takes other settings from now on; all that is known stays.
    pub fn set_settings(&mut self, settings: HealthSettings) {
        self.settings = settings;
    }

    /// It answered OPTIONS with 503, or a call with 503 and Retry-After: known calls only until this moment.
    pub fn full_until(&self) -> Option<Time> {
        self.full_until
    }

    /// Whether servers are judged by what is seen of them.
    pub fn judges(&self) -> bool {
        self.settings.probe != Probe::Off
    }

    pub fn is_full_by_hearsay(&self) -> bool {
        self.full_until.is_some() && self.full_by_hearsay
    }

    /// The server is needed, whatever callers were told.
    pub fn forget_hearsay(&mut self) {
        if self.is_full_by_hearsay() {
            self.full_until = None;
        }
    }

    /// The new state for each event; true if the state changed.
    pub fn handle(&mut self, now: Time, event: Event) -> bool {
        use State::{Failed, Suspect, Trial, Up};
        if self.settings.probe == Probe::Off {
            return false;
        }
        let before = self.state;
        self.take_note(now, event);
        match (self.state, event) {
            (Up, Event::Unreachable(_)) if self.unreachable_hits < self.settings.fail_after => {}
            (Up | Suspect | Trial, Event::Unreachable(_)) => self.fail(now, Reason::Unreachable),
            (Up, Event::Returned(_))
                if self.has_just_answered(now) || self.returned_hits < self.settings.fail_after => {}
            (Up, Event::Returned(_)) => self.enter(now, Suspect, Reason::Unreachable),
            (Up, Event::Silence) => self.enter(now, Suspect, Reason::Silence),
            (Suspect | Trial, Event::Silence) => self.fail(now, Reason::Silence),
            (Up | Suspect | Trial, Event::ProbeTimeout) if !self.probe_silence_counts(now) => {}
            (Suspect | Trial, Event::ProbeTimeout)
                if self.is_hinted() && self.probe_misses < HINTED_MISSES =>
            {
                self.next_probe = now;
            }
            (Up, Event::ProbeTimeout) if self.probe_misses < self.settings.fail_after => {
                self.enter(now, Suspect, Reason::ProbeSilence);
            }
            (Up | Suspect | Trial, Event::ProbeTimeout) => self.fail(now, Reason::ProbeSilence),
            (Suspect | Trial, Event::Answered) => self.enter(now, Up, Reason::Answered),
            (Suspect | Trial, Event::ProbeAnswered { status, .. }) => {
                self.enter(now, Up, Reason::ProbeAnswered(status));
            }
            // It must stay away from calls for a time, whatever it answers.
            (Failed, Event::Answered | Event::ProbeAnswered { .. })
                if now.since(self.since) < self.settings.stay_out => {}
            // Alive after all; it must show that once more, so that a flapping server stays out longer each time.
            (Failed, Event::Answered) => self.enter(now, Trial, Reason::Answered),
            (Failed, Event::ProbeAnswered { status, .. }) => {
                self.enter(now, Trial, Reason::ProbeAnswered(status));
            }
            (Failed, Event::PauseOver) if !self.trial_by_call() => {}
            (Failed, Event::PauseOver) => self.enter(now, Trial, Reason::PauseOver),
            (Up, Event::Answered) if self.reason == Reason::Fresh => self.reason = Reason::Answered,
            (Up, Event::ProbeAnswered { status, .. }) => self.reason = Reason::ProbeAnswered(status),
            (Up, Event::Answered | Event::PauseOver)
            | (Suspect | Trial, Event::PauseOver)
            | (Suspect | Trial, Event::Returned(_))
            | (Failed, Event::Unreachable(_) | Event::Returned(_) | Event::Silence | Event::ProbeTimeout)
            | (_, Event::Sent(_) | Event::Full(_)) => {}
        }
        self.state != before
    }

    fn take_note(&mut self, now: Time, event: Event) {
        match event {
            Event::Sent(count) => {
                self.silent_since.get_or_insert(now);
                self.unanswered = self.unanswered.saturating_add(count);
            }
            Event::Answered => {
                self.heard(now);
                self.answers_traffic = true;
            }
            Event::Unreachable(count) => self.unreachable_hits = self.unreachable_hits.saturating_add(count),
            // While answers come, something else is wrong: one port, one message, or the sender of the report.
            Event::Returned(_) if self.has_just_answered(now) => {}
            Event::Returned(count) => {
                if !self.is_hinted() {
                    self.next_probe = now;
                }
                self.returned_hits = self.returned_hits.saturating_add(count);
            }
            Event::ProbeAnswered { status, retry_after } => {
                self.heard(now);
                self.probe_sent = None;
                self.answers_options = true;
                // RFC 3261 §21.5.4: busy or in maintenance, which is not dead. Without Retry-After: until the next
                // OPTIONS.
                let full = retry_after.unwrap_or(self.settings.probe_interval * 2).min(FULL_MAX);
                self.full_until = (status == 503).then(|| now + full);
                self.full_by_hearsay = false;
            }
            Event::ProbeTimeout => {
                self.probe_sent = None;
                self.probe_misses = self.probe_misses.saturating_add(1);
            }
            Event::Full(time) => {
                (self.full_until, self.full_by_hearsay) = (Some(now + time.min(FULL_MAX)), true);
            }
            Event::Silence | Event::PauseOver => {}
        }
    }

    fn heard(&mut self, now: Time) {
        (self.silent_since, self.unanswered, self.unreachable_hits, self.probe_misses) = (None, 0, 0, 0);
        self.returned_hits = 0;
        self.last_answer = Some(now);
    }

    /// Unanswered OPTIONS say nothing of a server that never answers OPTIONS but answers its traffic, nor of a server
    /// whose traffic is being answered. If the network says that the server is not there, the silence of both is enough.
    fn probe_silence_counts(&self, now: Time) -> bool {
        if self.is_hinted() {
            return !self.has_just_answered(now);
        }
        !self.is_answering(now) && (self.answers_options || !self.answers_traffic)
    }

    fn is_answering(&self, now: Time) -> bool {
        self.last_answer.is_some_and(|at| now.since(at) < self.settings.silence)
    }

    /// An answer this fresh outweighs what the network says.
    fn has_just_answered(&self, now: Time) -> bool {
        self.last_answer.is_some_and(|at| now.since(at) < JUST_ANSWERED.min(self.settings.silence))
    }

    /// The network says that the server is not there.
    fn is_hinted(&self) -> bool {
        self.returned_hits >= self.settings.fail_after
    }

    fn fail(&mut self, now: Time, reason: Reason) {
        if self.state == State::Up && now.since(self.since) >= FORGIVEN_AFTER {
            self.pause = PAUSE_MIN;
        } else if self.state == State::Trial {
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        self.enter(now, State::Failed, reason);
    }

    fn enter(&mut self, now: Time, state: State, reason: Reason) {
        (self.state, self.reason, self.since) = (state, reason, now);
        match state {
            State::Suspect => self.next_probe = now,
            State::Failed | State::Trial => {
                (self.silent_since, self.unanswered, self.returned_hits, self.probe_misses) = (None, 0, 0, 0);
            }
            State::Up => {}
        }
    }

    /// A failed server is tried again now: for when no other is left.
    pub fn try_now(&mut self, now: Time) -> bool {
        let failed = self.state == State::Failed;
        if failed {
            self.enter(now, State::Trial, Reason::PauseOver);
        }
        failed
    }

    /// A live server that answers OPTIONS need not be tried with a caller's call.
    fn trial_by_call(&self) -> bool {
        self.settings.probe == Probe::Traffic || !self.answers_options
    }
}
