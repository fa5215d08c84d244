//! The numbers in CSeq of requests that pass from one leg to another.

/// The largest number that a CSeq may have: below 2^31 (RFC 3261 §8.1.1.5).
const MAX: i64 = (1 << 31) - 1;

/// From here on a leg does not go on with the numbers of the other, so that the numbers last.
const TAKEN_OVER_BELOW: u32 = 1 << 30;

/// What a request of our own adds. It is more than the requests that may have passed since the record was written: those are
/// not in the record, so an engine that takes the call over does not know their number.
const OWN_STEP: i64 = 65_536;

/// What is added to the CSeq of a request that passes from one leg to another, in one direction. A response goes back with the
/// number of its own request, never with one computed from here: the offset may have changed meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset(pub i64);

impl Offset {
    /// For a leg whose first request follows a request with this number.
    pub fn start(first: u32) -> Offset {
        match first {
            0..TAKEN_OVER_BELOW => Offset(0),
            _ => Offset(1 - i64::from(first)),
        }
    }

    /// The number with which a request leaves. `None`: the leg has no number left.
    pub fn out(self, number: u32) -> Option<u32> {
        let out = i64::from(number).checked_add(self.0)?;
        u32::try_from(out).ok().filter(|_| (0..=MAX).contains(&out))
    }

    /// After a request of our own: what passes later has larger numbers.
    pub fn after_own(self) -> Offset {
        Offset(self.0.saturating_add(OWN_STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_goes_on_with_the_numbers_of_the_other_unless_they_are_large() {
        for (first, out) in [(1, 1), ((1 << 30) - 1, (1 << 30) - 1), (1 << 30, 1), (MAX as u32, 1)] {
            let offset = Offset::start(first);
            assert_eq!(offset.out(first), Some(out));
            assert_eq!(offset.out(first + 1), (out < MAX as u32).then_some(out + 1), "{first}");
        }
    }

    #[test]
    fn our_own_request_leaves_room_for_what_the_record_does_not_know() {
        let offset = Offset::start(1).after_own();
        assert_eq!(offset.out(2), Some(65_538));
        assert_eq!(Offset(MAX).out(1), None, "no number is left");
        assert_eq!(Offset(i64::MAX).after_own().out(1), None);
        assert_eq!(Offset(-5).out(4), None);
    }
}
