//! Calls that a server refused as full. A server passes on what others answer, so a 503 may come from one callee, who could
//! make the whole farm look full. It counts for the server only if enough different callers were refused in a short time, or
//! calls to enough different callees with no call taken in between.

use base::{Duration, Time};

/// How many different callers, or callees, are enough.
const ENOUGH: usize = 3;
/// The time within which refusals count together.
const TOGETHER: Duration = Duration::from_secs(10);

/// A refused call: hashes of the caller's address and of the called address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    pub caller: u64,
    pub callee: u64,
}

/// See the head of this module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hearsay {
    callers: [Option<(u64, Time)>; ENOUGH],
    callees: [Option<(u64, Time)>; ENOUGH],
}

impl Hearsay {
    /// True: the server itself is full.
    pub fn refused(&mut self, now: Time, refused: Refused) -> bool {
        // Both are noted, whatever the first returns.
        let callers = add(&mut self.callers, now, refused.caller);
        let callees = add(&mut self.callees, now, refused.callee);
        callers || callees
    }

    /// A call was taken: the server is not full for everybody.
    pub fn taken(&mut self) {
        self.callees = Default::default();
    }
}

/// Adds one; true: there are enough. The oldest makes room.
fn add(known: &mut [Option<(u64, Time)>; ENOUGH], now: Time, one: u64) -> bool {
    for place in known.iter_mut() {
        if place.is_some_and(|(other, at)| other == one || now.since(at) >= TOGETHER) {
            *place = None;
        }
    }
    let oldest = known.iter_mut().min_by_key(|place| place.map(|(_, at)| at));
    if let Some(place) = oldest {
        *place = Some((one, now));
    }
    known.iter().all(Option::is_some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(caller: u64, callee: u64) -> Refused {
        Refused { caller, callee }
    }

    #[test]
    fn one_callee_fills_no_server_however_often_one_caller_calls() {
        let mut hearsay = Hearsay::default();
        assert!((0..100).all(|call| !hearsay.refused(Time::from_secs(call / 20), by(1, 1))));
        // Nor do many callees count, if calls to others are taken.
        for callee in 0..100 {
            hearsay.taken();
            assert!(!hearsay.refused(Time::from_secs(5), by(1, callee)));
        }
    }

    #[test]
    fn three_callers_or_three_callees_in_a_row_do() {
        let mut hearsay = Hearsay::default();
        let said: Vec<bool> = (0..3).map(|n| hearsay.refused(Time::from_secs(n), by(n, 7))).collect();
        assert_eq!(said, [false, false, true]);
        let mut hearsay = Hearsay::default();
        let said: Vec<bool> = (0..3).map(|n| hearsay.refused(Time::from_secs(n), by(7, n))).collect();
        assert_eq!(said, [false, false, true]);
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let mut hearsay = Hearsay::default();
        assert!((0..9).all(|n| !hearsay.refused(Time::from_secs(n * 5), by(n, n))));
    }
}
