//! Answers, each for its time. An answer whose time is over is asked for again, and counts until the next answer: while name
//! servers are silent or say that they failed, the last good answer goes on. A failure is remembered, too, so that it is not asked
//! for again at once.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use base::Time;

use crate::record::{Answer, Failure, Question, Records};

/// An answer that nobody has looked at for this long is forgotten when its time is over.
const UNUSED_MAX: Duration = Duration::from_secs(600);
/// Entries that one call of [`Cache::sweep`] looks at.
const SWEPT_AT_ONCE: usize = 256;
/// That there is no such record counts no longer, whatever its SOA says: a record that is made is to be seen soon.
const NOTHING_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shorter and longer times of answers are taken as these.
    pub ttl_min: Duration,
    pub ttl_max: Duration,
    /// How long a failure is remembered.
    pub failure: Duration,
    pub entries_max: usize,
}

/// What is known of a question now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Found(Arc<Records>),
    /// There is no such record.
    Nothing,
    /// It has been asked, and never answered before.
    Waiting,
    /// It has never been answered, and now it failed.
    Failed(Failure),
}

#[derive(Clone, Debug)]
struct Entry {
    /// The last answer that was none of a failure.
    answer: Option<Option<Arc<Records>>>,
    /// Since the answer: the first failure of those in a row.
    failed: Option<(Failure, Time)>,
    /// When it is to be asked again. While it is being asked, there is no such time.
    due: Option<Time>,
    used: Time,
}

#[derive(Debug)]
pub struct Cache {
    limits: Limits,
    entries: BTreeMap<Question, Entry>,
    /// Questions that the edge has not taken yet; at most one for each entry.
    wanted: Vec<Question>,
    swept: Option<Question>,
    /// Questions that were turned away, because the cache was full.
    refused: u64,
}

impl Cache {
    pub fn new(limits: Limits) -> Cache {
        Cache { limits, entries: BTreeMap::new(), wanted: Vec::new(), swept: None, refused: 0 }
    }

    /// Other limits, for answers that come from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// What is known. What is not known, or no longer fresh, is asked.
    pub fn see(&mut self, now: Time, question: &Question) -> Seen {
        let Some(entry) = self.entries.get_mut(question) else {
            if self.entries.len() >= self.limits.entries_max {
                self.refused += 1;
                return Seen::Failed(Failure::Full);
            }
            let entry = Entry { answer: None, failed: None, due: None, used: now };
            self.entries.insert(question.clone(), entry);
            self.wanted.push(question.clone());
            return Seen::Waiting;
        };
        entry.used = now;
        if entry.due.is_some_and(|due| now >= due) {
            entry.due = None;
            self.wanted.push(question.clone());
        }
        match (&entry.answer, entry.failed) {
            (Some(Some(records)), _) => Seen::Found(Arc::clone(records)),
            (Some(None), _) => Seen::Nothing,
            (None, Some((failure, _))) => Seen::Failed(failure),
            (None, None) => Seen::Waiting,
        }
    }

    /// An answer of the edge. What was not asked is ignored.
    pub fn answered(&mut self, now: Time, question: &Question, answer: Answer) {
        let Some(entry) = self.entries.get_mut(question) else { return };
        let Limits { ttl_min, ttl_max, failure, .. } = self.limits;
        let time = |ttl: Duration| ttl.max(ttl_min).min(ttl_max.max(ttl_min));
        let again = match answer {
            Answer::Found { records, ttl } => {
                (entry.answer, entry.failed) = (Some(Some(Arc::new(records))), None);
                time(ttl)
            }
            Answer::Nothing { ttl } => {
                (entry.answer, entry.failed) = (Some(None), None);
                ttl.map_or(failure, |ttl| time(ttl.min(NOTHING_MAX)))
            }
            Answer::Failed(why) => {
                let since = entry.failed.map_or(now, |(_, since)| since);
                entry.failed = Some((why, since));
                failure
            }
        };
        entry.due = Some(now + again);
    }

    /// The failure, and since when it lasts, of a question that was answered last time but not since.
    pub fn failing(&self, question: &Question) -> Option<(Failure, Time)> {
        self.entries.get(question)?.failed
    }

    /// When the answer is to be asked for again. `None`: it is being asked for, or it is unknown.
    pub fn due(&self, question: &Question) -> Option<Time> {
        self.entries.get(question)?.due
    }

    /// The questions that are to be asked now.
    pub fn take_wanted(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.wanted)
    }

    /// Forgets what nobody uses any more; a part of all entries in each call.
    pub fn sweep(&mut self, now: Time) {
        let from = self.swept.take().map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<&Question> = self
            .entries
            .range((from, Bound::Unbounded))
            .map(|(question, _)| question)
            .take(SWEPT_AT_ONCE)
            .collect();
        let last = next.last().filter(|_| next.len() == SWEPT_AT_ONCE).map(|last| Question::clone(last));
        let unused = |question: &&&Question| {
            let entry = &self.entries[**question];
            entry.due.is_some_and(|due| now >= due) && now.since(entry.used) >= UNUSED_MAX
        };
        let gone: Vec<Question> =
            next.iter().filter(unused).map(|question| Question::clone(question)).collect();
        gone.iter().for_each(|question| drop(self.entries.remove(question)));
        self.swept = last;
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::record::Kind;
    use crate::testing::{addresses, limits, name};

    fn question(text: &str) -> Question {
        Question { name: name(text), kind: Kind::A, searched: false }
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(1000 + seconds)
    }

    fn found(ip: &str, seconds: u64) -> Answer {
        Answer::Found { records: addresses(&[ip]), ttl: Duration::from_secs(seconds) }
    }

    fn seen(ip: &str) -> Seen {
        Seen::Found(Arc::new(addresses(&[ip])))
    }

    #[test]
    fn an_answer_counts_for_its_time_and_is_then_asked_for_again() {
        let (mut cache, a) = (Cache::new(limits()), question("a.example"));
        assert_eq!(cache.see(at(0), &a), Seen::Waiting);
        assert_eq!(cache.see(at(1), &a), Seen::Waiting);
        assert_eq!(cache.take_wanted(), slice::from_ref(&a), "asked once");
        cache.answered(at(1), &a, found("192.0.2.1", 10));
        assert_eq!(cache.see(at(10), &a), seen("192.0.2.1"));
        assert!(cache.take_wanted().is_empty());
        assert_eq!(
            cache.see(at(11), &a),
            seen("192.0.2.1"),
            "the old answer counts until the new one is here"
        );
        assert_eq!(cache.see(at(12), &a), seen("192.0.2.1"));
        assert_eq!(cache.take_wanted(), slice::from_ref(&a));
        cache.answered(at(12), &a, found("192.0.2.2", 0));
        assert_eq!(
            (cache.see(at(12), &a), cache.due(&a)),
            (seen("192.0.2.2"), Some(at(13))),
            "at least a second"
        );
        cache.answered(at(13), &a, found("192.0.2.2", 1_000_000));
        assert_eq!(cache.due(&a), Some(at(13 + 3600)), "at most an hour");
    }

    #[test]
    fn the_last_good_answer_goes_on_through_failures() {
        let (mut cache, a) = (Cache::new(limits()), question("a.example"));
        cache.see(at(0), &a);
        cache.answered(at(0), &a, found("192.0.2.1", 10));
        for second in [10, 20, 30] {
            cache.answered(at(second), &a, Answer::Failed(Failure::Silent));
            assert_eq!(cache.see(at(second), &a), seen("192.0.2.1"));
            assert_eq!(cache.failing(&a), Some((Failure::Silent, at(10))), "since the first of them");
            assert_eq!(cache.due(&a), Some(at(second + 5)));
        }
        cache.answered(at(40), &a, Answer::Nothing { ttl: None });
        assert_eq!((cache.see(at(40), &a), cache.failing(&a)), (Seen::Nothing, None));
    }

    #[test]
    fn a_failure_is_not_asked_for_again_at_once() {
        let (mut cache, a) = (Cache::new(limits()), question("a.example"));
        cache.see(at(0), &a);
        cache.take_wanted();
        cache.answered(at(0), &a, Answer::Failed(Failure::Refused));
        assert_eq!(cache.see(at(4), &a), Seen::Failed(Failure::Refused));
        assert!(cache.take_wanted().is_empty());
        assert_eq!(cache.see(at(5), &a), Seen::Failed(Failure::Refused));
        assert_eq!(cache.take_wanted(), [a]);
    }

    #[test]
    fn a_full_cache_refuses_and_what_is_unused_is_forgotten() {
        let mut cache = Cache::new(Limits { entries_max: 600, ..limits() });
        for number in 0..600 {
            let question = question(&format!("n{number}.example"));
            assert_eq!(cache.see(at(0), &question), Seen::Waiting);
            cache.answered(at(0), &question, found("192.0.2.1", 10));
        }
        assert_eq!(cache.see(at(0), &question("more.example")), Seen::Failed(Failure::Full));
        assert_eq!((cache.len(), cache.refused()), (600, 1));
        cache.see(at(500), &question("n7.example"));
        cache.answered(at(500), &question("n7.example"), found("192.0.2.1", 10));
        (0..3).for_each(|_| cache.sweep(at(700)));
        assert_eq!(cache.len(), 1, "only the one that is used is left");
        assert_eq!(cache.see(at(700), &question("more.example")), Seen::Waiting);
    }
}
