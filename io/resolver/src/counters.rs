//! What was asked and what came of it, for metrics.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use dns::record::{Answer, Failure};

#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) questions: AtomicU64,
    answers: AtomicU64,
    nothing: AtomicU64,
    silent: AtomicU64,
    failed: AtomicU64,
}

/// Name and meaning of each.
const DEFINITIONS: [(&str, &str); 5] = [
    ("dns_questions", "Questions to name servers"),
    ("dns_answers", "Answers of name servers with records"),
    ("dns_nothing", "Answers of name servers that there is no such name or record"),
    ("dns_silent", "Questions that no name server answered in time"),
    ("dns_failed", "Questions that name servers refused or failed to answer (REFUSED, SERVFAIL)"),
];

impl Counters {
    pub const fn definitions() -> &'static [(&'static str, &'static str)] {
        &DEFINITIONS
    }

    /// By the names of the definitions.
    pub fn read(&self) -> [(&'static str, u64); 5] {
        let values = [&self.questions, &self.answers, &self.nothing, &self.silent, &self.failed];
        std::array::from_fn(|at| (DEFINITIONS[at].0, values[at].load(Relaxed)))
    }

    pub(crate) fn note(&self, answer: &Answer) {
        let counter = match answer {
            Answer::Found { .. } => &self.answers,
            Answer::Nothing { .. } => &self.nothing,
            Answer::Failed(Failure::Silent) => &self.silent,
            Answer::Failed(Failure::ServerFailure | Failure::Refused | Failure::Broken | Failure::Full) => {
                &self.failed
            }
        };
        counter.fetch_add(1, Relaxed);
    }
}
