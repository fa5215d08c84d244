//! The virtual clock: it stands still during an event, and then jumps to the next event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::Time;

/// Events with their times. Of two events at one time the one added first comes first, so a seed always gives the same run.
#[derive(Debug)]
pub struct Clock<E> {
    now: Time,
    added: u64,
    queue: BinaryHeap<Reverse<Entry<E>>>,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Default for Clock<E> {
    fn default() -> Clock<E> {
        Clock { now: Time::ZERO, added: 0, queue: BinaryHeap::new() }
    }
}

impl<E> Clock<E> {
    pub fn now(&self) -> Time {
        self.now
    }

    /// An event in the past happens now.
    pub fn add(&mut self, at: Time, event: E) {
        self.added += 1;
        self.queue.push(Reverse(Entry { at: at.max(self.now), number: self.added, event }));
    }

    /// The next event up to `end`; the clock jumps to it.
    pub fn next(&mut self, end: Time) -> Option<E> {
        self.queue.peek().filter(|Reverse(entry)| entry.at <= end)?;
        let Reverse(entry) = self.queue.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Entry<E>) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Entry<E>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Entry<E>) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_jumps_from_event_to_event_in_order() {
        let mut clock = Clock::default();
        for (ms, event) in [(5, 'b'), (2, 'a'), (5, 'c'), (90, 'z')] {
            clock.add(Time::from_millis(ms), event);
        }
        let end = Time::from_millis(50);
        let seen: String = std::iter::from_fn(|| clock.next(end)).collect();
        assert_eq!((seen.as_str(), clock.now()), ("abc", Time::from_millis(5)));
        clock.add(Time::ZERO, 'p');
        assert_eq!((clock.next(end), clock.now()), (Some('p'), Time::from_millis(5)));
    }
}
