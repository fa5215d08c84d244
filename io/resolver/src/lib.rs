//! A thread that asks the name servers. Whoever has questions hands them over and takes the answers when they have come; nobody waits.
//!
//! Nothing is remembered here: every question goes to a name server, and the answers are kept by those who asked (`dns::cache`).
//! The file hosts(5) is read, and counts before the name servers.

mod answer;
mod ask;
mod counters;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dns::record::{Answer, Failure, Question};
use tokio::sync::mpsc::{self, Sender};
use tracing::warn;

pub use counters::Counters;

/// Questions that may wait for the thread. More are answered with a failure at once.
const QUESTIONS_MAX: usize = 8192;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name servers to ask, in this order. Empty: those of resolv.conf(5).
    pub name_servers: Vec<SocketAddr>,
    /// How long one name server may take.
    pub timeout: Duration,
}

/// The handle of the thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Resolver {
    questions: Sender<Question>,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Mutex<Vec<(Question, Answer)>>,
    counters: Counters,
    /// Called after each answer, on the thread of the resolver.
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    fn answers(&self) -> MutexGuard<'_, Vec<(Question, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, question: Question, answer: Answer) {
        self.counters.note(&answer);
        self.answers().push((question, answer));
        (self.wake)();
    }
}

impl Resolver {
    /// `wake` is called after each answer. It must not wait.
    pub fn start(settings: Settings, wake: impl Fn() + Send + Sync + 'static) -> io::Result<Resolver> {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            counters: Counters::default(),
            wake: Box::new(wake),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("resolver".into()).spawn(move || {
            // This thread reads what strangers send.
            if let Err(error) = os::privilege::keep(&[]) {
                warn!("powers of root cannot be given up: {error}");
            }
            runtime.block_on(ask::serve(settings, asked, of_thread));
        })?;
        Ok(Resolver { questions, shared })
    }

    /// Asks. The answer comes by [`Resolver::take`], whatever happens.
    pub fn ask(&self, question: Question) {
        self.shared.counters.questions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Err(refused) = self.questions.try_send(question) {
            self.shared.answer(refused.into_inner(), Answer::Failed(Failure::Broken));
        }
    }

    /// The answers that have come since the last call.
    pub fn take(&self) -> Vec<(Question, Answer)> {
        std::mem::take(&mut *self.shared.answers())
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

#[cfg(test)]
mod tests;
