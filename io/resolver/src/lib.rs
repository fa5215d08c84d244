//! A thread that asks the name servers. Whoever has questions hands them over, and gets the answers delivered; nobody waits.
//!
//! Nothing is remembered here: every question goes to a name server, and the answers are kept by those who asked (`dns::cache`).
//! The file hosts(5) is read, and counts before the name servers.

mod answer;
mod ask;
mod counters;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
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

/// Takes an answer.
type Deliver = dyn Fn(&Question, Answer) + Send + Sync;

struct Shared {
    counters: Counters,
    deliver: Box<Deliver>,
}

impl Shared {
    fn answer(&self, question: &Question, answer: Answer) {
        self.counters.note(&answer);
        (self.deliver)(question, answer);
    }
}

impl Resolver {
    /// `deliver` takes each answer, usually on the thread of the resolver. It must not wait.
    pub fn start(
        settings: Settings,
        deliver: impl Fn(&Question, Answer) + Send + Sync + 'static,
    ) -> io::Result<Resolver> {
        let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
        let shared = Arc::new(Shared { counters: Counters::default(), deliver: Box::new(deliver) });
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

    /// Asks. The answer is delivered, whatever happens.
    pub fn ask(&self, question: Question) {
        self.shared.counters.questions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Err(refused) = self.questions.try_send(question) {
            self.shared.answer(&refused.into_inner(), Answer::Failed(Failure::Broken));
        }
    }

    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }
}

#[cfg(test)]
mod tests;
