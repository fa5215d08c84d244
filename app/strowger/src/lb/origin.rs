//! What a load manager begins with, and hands on to the one that takes its place.

use base::Time;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// See [`lb::shared::Shared`].
    pub(crate) run: u32,
    /// The wall clock at [`Time::ZERO`], microseconds since 1970.
    pub(crate) clock_began_us: u64,
}

impl Origin {
    pub(crate) fn fresh(now: Time) -> std::io::Result<Origin> {
        let wall = os::since_1970().as_micros() as u64;
        Ok(Origin {
            run: u32::from_ne_bytes(os::chance::bytes()?),
            clock_began_us: wall.saturating_sub(now.as_micros()),
        })
    }
}
