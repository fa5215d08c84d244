//! Counts the steps of loops over a stranger's input, so that a test can compare the work for a message with the size of the
//! message. Without the feature `count_work`, nothing is counted and nothing is compiled.
//!
//! A step is one turn of a loop: one byte, one block of bytes, one field or one parameter. Every new loop over input from
//! the network must count its turns here.

#[cfg(any(test, feature = "count_work"))]
mod counter {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn add(steps: usize) {
        STEPS.with(|counted| counted.set(counted.get() + steps as u64));
    }

    /// The steps that `run` takes on this thread.
    pub fn of(run: impl FnOnce()) -> u64 {
        let before = STEPS.with(Cell::get);
        run();
        STEPS.with(Cell::get) - before
    }
}

#[cfg(any(test, feature = "count_work"))]
pub use counter::of;

/// One turn of a loop.
#[inline(always)]
pub fn step() {
    steps(1);
}

/// Several turns at once.
#[inline(always)]
pub fn steps(number: usize) {
    #[cfg(any(test, feature = "count_work"))]
    counter::add(number);
    #[cfg(not(any(test, feature = "count_work")))]
    let _ = number;
}

/// The steps of a search, comparison or hash over this many bytes, a block at a time.
#[inline(always)]
pub fn bytes(length: usize) {
    steps(length / BLOCK + 1);
}

/// Bytes that count as one step if one turn looks at a whole block.
const BLOCK: usize = 16;
