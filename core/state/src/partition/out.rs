//! Effects on their way to the long-lived store. One engine at a time carries them there.

use std::collections::VecDeque;

use crate::command::{Effect, Millis};

#[derive(Debug, Default)]
pub(super) struct Out {
    effects: VecDeque<Effect>,
    /// Number of the first effect; effects are numbered from 1.
    taken: u64,
    lease: Option<(u32, Millis)>,
    bytes: usize,
}

impl Out {
    pub(super) fn add(&mut self, effect: Effect) {
        self.bytes += size_of(&effect);
        self.effects.push_back(effect);
    }

    pub(super) fn lend(&mut self, engine: u32, now: Millis, lease: Millis, limit: u32) -> Vec<(u64, Effect)> {
        if self.lease.is_some_and(|(other, until)| other != engine && until > now) {
            return Vec::new();
        }
        self.lease = Some((engine, now.saturating_add(lease)));
        let numbered = (self.taken + 1..).zip(self.effects.iter().cloned());
        numbered.take(limit as usize).collect()
    }

    /// False: another engine has the lease now, and will bring them again.
    pub(super) fn forget(&mut self, engine: u32, last: u64) -> bool {
        if self.lease.is_none_or(|(holder, _)| holder != engine) {
            return false;
        }
        while self.taken < last
            && let Some(effect) = self.effects.pop_front()
        {
            self.taken += 1;
            self.bytes -= size_of(&effect);
        }
        true
    }

    pub(super) fn len(&self) -> usize {
        self.effects.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn size_of(effect: &Effect) -> usize {
    effect.key.len() + effect.body.len() + std::mem::size_of::<Effect>()
}
