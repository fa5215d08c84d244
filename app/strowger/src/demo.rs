//! The parts of `strowger demo`: callers, the processes of the farm, and the display.

mod caller_text;
mod callers;
mod farm;
mod histogram;
mod meter;
mod pace;
mod redis;
mod running;
mod screen;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use callers::Callers;
pub(crate) use callers::Pacing;
pub(crate) use farm::{Farm, Settings, free_ports};
pub(crate) use histogram::quantile;
pub(crate) use meter::{Beside, Meter};
pub(crate) use pace::{PICTURE, SETTLE, TALK};
pub(crate) use redis::{Cluster, PRIMARIES};
pub(crate) use running::Running;
pub(crate) use screen::{Screen, milliseconds};
