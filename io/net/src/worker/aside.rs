//! A second port in the worker's thread, and how often it is served (SPEC A7, thread model `one`).

use std::os::fd::RawFd;

use base::Time;

/// Work that shares the thread of a worker: the control turn with its heartbeat port.
pub trait Aside: Send {
    /// The socket whose readiness starts a turn.
    fn source(&self) -> RawFd;

    /// Serves at most `budget` datagrams, and due timers. Returns the number of datagrams.
    fn turn(&mut self, now: Time, budget: usize) -> usize;

    fn next_deadline(&self) -> Option<Time>;
}

/// Datagrams of the second port per turn when it is quiet and when it is behind.
const BUDGET_MIN: usize = 16;
const BUDGET_MAX: usize = 1024;

/// Turns of the first port between two of the second while both are busy.
const INTERVAL_MAX: u32 = 32;

/// The adaptive service rate between the two ports: a port that is behind is served more often and longer; a port that had
/// little is left alone for longer. If the first port has nothing to do, the second is served at once.
#[derive(Debug)]
pub(super) struct ServiceRate {
    interval: u32,
    budget: usize,
    turns: u32,
    waiting: bool,
}

impl Default for ServiceRate {
    fn default() -> ServiceRate {
        ServiceRate { interval: 1, budget: BUDGET_MIN, turns: 0, waiting: false }
    }
}

impl ServiceRate {
    /// The second port has become readable.
    pub(super) fn arrived(&mut self) {
        self.waiting = true;
    }

    /// Whether the second port is served in this turn, and with how many datagrams at most. `busy`: the first port had
    /// messages in this turn. `due`: a timer of the second port has run out; it does not wait.
    pub(super) fn budget(&mut self, busy: bool, due: bool) -> Option<usize> {
        self.turns = self.turns.saturating_add(1);
        let turn = self.waiting && (!busy || self.turns >= self.interval);
        if !turn && !due {
            return None;
        }
        self.turns = 0;
        Some(self.budget)
    }

    /// Takes the result: a port that used up its budget is behind.
    pub(super) fn served(&mut self, served: usize, budget: usize) {
        if served >= budget {
            self.waiting = true;
            self.interval = (self.interval / 2).max(1);
            self.budget = (self.budget * 2).min(BUDGET_MAX);
        } else {
            self.waiting = false;
            self.interval = (self.interval * 2).min(INTERVAL_MAX);
            self.budget = (self.budget / 2).max(BUDGET_MIN);
        }
    }

    /// The second port has more than it was allowed to take: the worker must not sleep.
    pub(super) fn is_behind(&self) -> bool {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_port_is_served_ever_more_rarely_while_the_other_is_busy() {
        let mut rate = ServiceRate::default();
        let mut served_in = Vec::new();
        for turn in 0..100 {
            rate.arrived();
            if let Some(budget) = rate.budget(true, false) {
                served_in.push(turn);
                rate.served(1, budget);
            }
        }
        assert_eq!(served_in, [0, 2, 6, 14, 30, 62, 94]);
    }

    #[test]
    fn a_port_that_is_behind_is_served_every_turn_and_longer() {
        let mut rate = ServiceRate::default();
        for _ in 0..10 {
            rate.arrived();
            if let Some(budget) = rate.budget(true, false) {
                rate.served(0, budget);
            }
        }
        let mut budgets = Vec::new();
        rate.arrived();
        for _ in 0..60 {
            if let Some(budget) = rate.budget(true, false) {
                budgets.push(budget);
                rate.served(budget, budget);
            }
        }
        assert_eq!(budgets[..7], [16, 32, 64, 128, 256, 512, 1024]);
        assert!(budgets.len() > 30, "{budgets:?}");
    }

    #[test]
    fn timers_and_an_idle_first_port_do_not_wait() {
        let mut rate = ServiceRate { interval: INTERVAL_MAX, ..ServiceRate::default() };
        assert_eq!(rate.budget(true, false), None);
        assert_eq!(rate.budget(true, true), Some(BUDGET_MIN));
        rate.arrived();
        assert_eq!(rate.budget(true, false), None);
        assert_eq!(rate.budget(false, false), Some(BUDGET_MIN));
    }
}
