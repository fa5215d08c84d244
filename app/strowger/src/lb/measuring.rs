//! Polls beside the workers of a load manager: a thread of their own polls, and the control side takes the newest figures
//! without waiting (SPEC B3).

use std::io;
use std::sync::{Arc, Mutex};

use base::Key;
use heartbeat::Ignored;
use heartbeat::measure::Measures;
use net::Clock;
use perf::{Board, Poller};

use crate::lb::over::Over;
use crate::lb::sockets::Sockets;
use crate::process::lock::lock;
use crate::report::status::Counter;

type Wanted = (Measures, Option<Key>);

/// What the poll thread shares with the rest of the process.
#[derive(Clone)]
pub(crate) struct Measuring {
    pub(crate) board: Arc<Board>,
    counts: Arc<Mutex<(perf::Counts, perf::serve::Counts)>>,
    /// The places to poll from the next turn on, and the key.
    wanted: Arc<Mutex<Option<Wanted>>>,
}

impl Measuring {
    /// Starts the thread, if there is something to poll or to serve. The thread ends with the process, or when another process
    /// does its work.
    pub(crate) fn start(
        measures: &Measures,
        key: Option<Key>,
        clock: Clock,
        (sockets, over): (&Sockets, Over),
    ) -> io::Result<Option<Measuring>> {
        if measures.measured.is_empty() && measures.listen.is_none() {
            return Ok(None);
        }
        let listen =
            |listen| sockets.take_or(&format!("performance data at {listen}"), || Poller::listen(listen));
        let listener = measures.listen.map(listen).transpose()?;
        let poller = Poller::over(listener, measures.clone(), key, clock)?;
        let measuring = Measuring { board: poller.board(), counts: Arc::default(), wanted: Arc::default() };
        let (counts, wanted) = (Arc::clone(&measuring.counts), Arc::clone(&measuring.wanted));
        std::thread::Builder::new().name("perf".into()).spawn(move || {
            poller.run(over.flag(), |poller| {
                if let Some((measures, key)) = lock(&wanted).take() {
                    poller.change(measures, key);
                }
                *lock(&counts) = poller.counts();
            });
        })?;
        Ok(Some(measuring))
    }

    /// Polls these places from now on. The thread sees the change within a fifth of a second.
    pub(crate) fn change(&self, measures: Measures, key: Option<Key>) {
        *lock(&self.wanted) = Some((measures, key));
    }

    /// For status: the counts of polling and serving.
    pub(crate) fn counters(&self) -> Vec<Counter> {
        let (polled, served) = *lock(&self.counts);
        let named = |name: &str, value| Counter { name: format!("perf_{name}"), value };
        let mut all = vec![
            named("polls", polled.polls),
            named("answers", polled.answers),
            named("misses", polled.misses),
            named("notifications", polled.notifications),
            named("connections", polled.connections),
            named("other_server", polled.other_server),
            named("servers_refused", self.board.refused()),
            named("served", served.answered),
            named("served_connections", served.connections),
            named("served_refused", served.connections_refused),
            named("served_given_up", served.connections_given_up),
        ];
        for reason in Ignored::ALL {
            let count = polled.ignored[reason.index()] + served.ignored[reason.index()];
            all.push(named(&format!("ignored_{}", reason.name()), count));
        }
        all
    }
}
