//! Commits that left in one piece, and who has them.
//!
//! `WAIT` says how many replicas have the piece, not which. A replica outside the view may be quicker than one in it, and one may
//! have come that nobody has heard of. So the primary is asked how far it is behind the commits, and how far each replica is behind
//! the `WAIT`, which only gives them the time.

use super::kept::Id;
use super::link::Progress;

/// The replicas that a primary names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replicas {
    /// All of them, in the view or not.
    pub(super) all: usize,
    /// The addresses of those in the view.
    pub(super) in_view: Vec<Box<str>>,
    /// How many outside the view had the last piece in time.
    pub(super) in_pace: u32,
    /// How many of the view did not follow their primary when it was asked last.
    pub(super) missing: usize,
}

impl Replicas {
    /// There are some outside the view.
    pub(super) fn has_others(&self) -> bool {
        self.all > self.in_view.len()
    }

    /// How many are waited for: quick ones outside the view as well, or the wait would end before those in it are asked about.
    pub(super) fn waited_for(&self) -> u32 {
        let view = self.in_view.len() as u32;
        (view + self.in_pace).min(self.all as u32).max(view)
    }

    /// Learns from a piece which replicas follow and are quick.
    pub(super) fn learn(&mut self, batch: &Batch) {
        let Some(after) = batch.after() else { return };
        let following = self.in_view.iter().filter(|one| after.iter().any(|(address, _)| address == *one));
        self.missing = self.in_view.len() - following.count();
        let is_other = |address: &str| self.in_view.iter().all(|one| &**one != address);
        self.in_pace = batch.having().filter(|address| is_other(address)).count() as u32;
    }
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) ids: Vec<Id>,
    /// How far the primary was with the last commit, and its replicas at the end.
    pub(super) progress: Vec<Progress>,
}

impl Batch {
    /// Whether all replicas of the view have it, as the view is now.
    pub(super) fn is_kept(&self, replicas: &Replicas) -> bool {
        replicas.in_view.iter().all(|one| self.having().any(|address| *address == **one))
    }

    /// The replicas that are known to have it.
    fn having(&self) -> impl Iterator<Item = &str> {
        let written = self.progress.first().map_or(u64::MAX, |progress| progress.offset);
        let after = self.after().unwrap_or_default().iter();
        after.filter(move |(_, offset)| *offset >= written).map(|(address, _)| &**address)
    }

    fn after(&self) -> Option<&[(Box<str>, u64)]> {
        self.progress.get(1).map(|progress| &progress.replicas[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(all: usize, in_view: &[&str]) -> Replicas {
        Replicas { all, in_view: in_view.iter().map(|one| (*one).into()).collect(), ..Replicas::default() }
    }

    fn batch(written: u64, after: &[(&str, u64)]) -> Batch {
        let after = after.iter().map(|(address, offset)| ((*address).into(), *offset)).collect();
        let progress = vec![
            Progress { offset: written, replicas: Vec::new() },
            Progress { offset: written + 9, replicas: after },
        ];
        Batch { ids: Vec::new(), progress }
    }

    #[test]
    fn all_replicas_of_the_view_must_have_it_and_no_other_stands_for_them() {
        // What followed, whether it is kept, who else had it, who of the view was missing.
        for (after, expected, others, missing) in [
            (&[("a", 7), ("b", 7)][..], true, 0, 0),
            (&[("a", 7), ("b", 8), ("c", 5)], true, 0, 0),
            (&[("a", 6), ("b", 7), ("c", 7)], false, 1, 0),
            (&[("b", 9), ("c", 9), ("d", 9)], false, 2, 1),
            (&[], false, 0, 2),
        ] {
            let (mut known, batch) = (replicas(3, &["a", "b"]), batch(7, after));
            known.learn(&batch);
            assert_eq!((batch.is_kept(&known), known.in_pace, known.missing), (expected, others, missing));
            assert_eq!(known.waited_for(), 2 + others.min(1));
        }
    }

    #[test]
    fn without_a_view_nobody_must_have_it_and_without_an_answer_nobody_has_it() {
        assert!(Batch::default().is_kept(&replicas(1, &[])));
        assert!(!Batch::default().is_kept(&replicas(1, &["a"])));
        let half = Batch { progress: vec![Progress::default()], ..Batch::default() };
        assert!(!half.is_kept(&replicas(1, &["a"])), "the node did not answer the second question");
        let mut known = Replicas { in_pace: 3, ..replicas(1, &["a"]) };
        known.learn(&half);
        assert_eq!(known.in_pace, 3, "nothing was learned");
    }
}
