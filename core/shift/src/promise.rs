//! Calls of other members that this member has promised to take, until their clients come.
//!
//! The client is sent to a URI with a ticket in it. A call with a ticket is taken whatever the workload is by then, so no
//! client is redirected twice. Until the call comes, it counts as a call, so that many members that pass on calls at once do
//! not fill this member beyond its threshold.

use std::collections::{HashMap, VecDeque};

use base::{Duration, Key, Time};
use heartbeat::authenticator;

/// How long a promise counts as a call. A client that follows a redirect does so within a round trip or two.
const COUNTS_FOR: Duration = Duration::from_secs(4);

/// How long a ticket is valid: timer B of RFC 3261 §17.1.1.2, after which the client's own transaction is over.
const GOOD_FOR: Duration = Duration::from_secs(32);

/// Some 100 bytes each; with this many open promises, a member promises no more.
const PROMISES_MAX: usize = 50_000;

pub(crate) struct Promises {
    key: Key,
    last: u64,
    by_ticket: HashMap<[u8; 16], Promise>,
    /// In the order in which they end.
    ends: VecDeque<(Time, [u8; 16])>,
    /// In the order in which they cease to count.
    counts: VecDeque<(Time, [u8; 16])>,
    open: u32,
}

struct Promise {
    counts: bool,
}

impl Promises {
    /// `seed` makes tickets of different lives of a member differ.
    pub(crate) fn new(key: &[u8], seed: u64) -> Promises {
        Promises {
            key: key.to_vec().into(),
            last: seed,
            by_ticket: HashMap::new(),
            ends: VecDeque::new(),
            counts: VecDeque::new(),
            open: 0,
        }
    }

    /// A ticket, as the 32 hex digits in the URI. `None`: there are too many already.
    pub(crate) fn make(&mut self, now: Time) -> Option<String> {
        self.forget(now);
        if self.by_ticket.len() >= PROMISES_MAX {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let ticket =
            authenticator::make(&self.key, &[&b"shift ticket"[..], &self.last.to_be_bytes()].concat());
        self.by_ticket.insert(ticket, Promise { counts: true });
        self.ends.push_back((now + GOOD_FOR, ticket));
        self.counts.push_back((now + COUNTS_FOR, ticket));
        self.open += 1;
        Some(ticket.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether a call with `text` was promised. A second call with the same ticket is from the same client: for example one
    /// that was asked for credentials.
    pub(crate) fn redeem(&mut self, now: Time, text: &[u8]) -> bool {
        self.forget(now);
        let Some(ticket) = parse(text) else { return false };
        let Some(promise) = self.by_ticket.get_mut(&ticket) else { return false };
        self.open -= u32::from(std::mem::take(&mut promise.counts));
        true
    }

    /// How many promises count as calls.
    pub(crate) fn open(&mut self, now: Time) -> u32 {
        self.forget(now);
        self.open
    }

    fn forget(&mut self, now: Time) {
        while let Some(ticket) = pop_due(&mut self.counts, now) {
            if let Some(promise) = self.by_ticket.get_mut(&ticket) {
                self.open -= u32::from(std::mem::take(&mut promise.counts));
            }
        }
        while let Some(ticket) = pop_due(&mut self.ends, now) {
            self.by_ticket.remove(&ticket);
        }
    }
}

fn pop_due(queue: &mut VecDeque<(Time, [u8; 16])>, now: Time) -> Option<[u8; 16]> {
    let (until, ticket) = *queue.front()?;
    if until > now {
        return None;
    }
    queue.pop_front();
    Some(ticket)
}

fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 32 && text.is_ascii())?;
    let mut ticket = [0; 16];
    for (at, byte) in ticket.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(ticket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_counts_until_its_call_comes_and_is_good_for_a_while_after() {
        let mut promises = Promises::new(b"key", 1);
        let now = Time::from_secs(1);
        let ticket = promises.make(now).unwrap();
        let other = promises.make(now).unwrap();
        assert_ne!(ticket, other);
        assert_eq!(promises.open(now), 2);
        assert!(promises.redeem(now, ticket.as_bytes()));
        assert!(promises.redeem(now, ticket.as_bytes()), "the same client again");
        assert_eq!(promises.open(now), 1);
        let later = now + COUNTS_FOR;
        assert_eq!(promises.open(later), 0);
        assert!(promises.redeem(later, other.as_bytes()));
        assert_eq!(promises.open(later), 0);
        assert!(!promises.redeem(now + GOOD_FOR, other.as_bytes()));
        assert!(promises.by_ticket.is_empty() && promises.ends.is_empty() && promises.counts.is_empty());
    }

    #[test]
    fn what_was_not_promised_is_no_ticket() {
        let mut promises = Promises::new(b"key", 1);
        let now = Time::ZERO;
        let ticket = promises.make(now).unwrap();
        let another_life = Promises::new(b"key", 7).make(now).unwrap();
        for text in
            ["", "00", &ticket[1..], &another_life, &"+f".repeat(16), "\u{e9}0000000000000000000000000000000"]
        {
            assert!(!promises.redeem(now, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn promises_are_bounded() {
        let mut promises = Promises::new(b"key", 1);
        for _ in 0..PROMISES_MAX {
            assert!(promises.make(Time::ZERO).is_some());
        }
        assert_eq!(promises.make(Time::ZERO), None);
        assert!(promises.make(Time::ZERO + GOOD_FOR).is_some());
    }
}
