//! Watches the load of all workers and changes how datagrams are dealt out. The first worker does this for all.

use std::sync::Arc;

use base::{Duration, Time};

use crate::spread::{self, Judge};
use crate::{Counters, Spread, Udp, Window};

const WINDOW: Duration = Duration::from_secs(1);

pub(super) struct Balance {
    judge: Judge,
    workers: Vec<Arc<Counters>>,
    /// Datagrams, busy microseconds and lost datagrams of each worker when the window began.
    before: Vec<[u64; 3]>,
    began: Time,
    /// The kernel refused to change; it will not change later either.
    refused: bool,
}

impl Balance {
    pub(super) fn of(workers: Vec<Arc<Counters>>) -> Balance {
        let before = vec![[0; 3]; workers.len()];
        Balance { judge: Judge::default(), workers, before, began: Time::ZERO, refused: false }
    }

    /// Ends the window when it is time, and changes how datagrams are dealt out if there is a reason.
    pub(super) fn look(&mut self, now: Time, sockets: &[Udp], counters: &Counters) {
        let length = now.since(self.began);
        if length < WINDOW || self.refused {
            return;
        }
        self.began = now;
        let micros = length.as_micros() as u64;
        let mut windows = Vec::with_capacity(self.workers.len());
        for (worker, before) in self.workers.iter().zip(&mut self.before) {
            let read = [&worker.datagrams_in, &worker.busy_micros, &worker.datagrams_lost_in_kernel];
            let read = read.map(|counter| counter.get());
            windows.push(Window {
                datagrams: read[0] - before[0],
                busy_permille: ((read[1] - before[1]).saturating_mul(1000) / micros) as u32,
                lost: read[2] - before[2],
            });
            *before = read;
        }
        let Some(spread) = self.judge.judge(&windows) else { return };
        counters.spread_changes.add(1);
        counters.spread_by_message.set(u64::from(spread == Spread::Message));
        self.refused =
            sockets.iter().any(|socket| spread::apply(spread, socket, self.workers.len()).is_err());
    }
}
