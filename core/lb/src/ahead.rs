//! Asks the processor for memory that will be needed in a moment, so that its way from there and the work until then pass
//! side by side. What was asked for in vain costs an instruction.

/// The cache line of `place`, which need not be a place that can be read.
#[inline(always)]
pub(crate) fn fetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction is a hint, which reads nothing and faults nowhere, whatever the address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
