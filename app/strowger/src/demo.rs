//! The parts of `strowger demo`: callers, the processes of the farm, and the display.

mod caller_text;
mod callers;
mod farm;
mod histogram;
mod screen;
#[cfg(test)]
mod tests;

pub(crate) use callers::{Callers, Pacing, Tally};
pub(crate) use farm::{Farm, Settings, free_ports};
pub(crate) use histogram::quantile;
pub(crate) use screen::{Screen, View, milliseconds};
