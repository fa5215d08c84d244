//! Whole calls through one or several engines on one store.

mod application;
mod asking;
mod calls;
mod deaths;
mod lost;
mod newer;
mod notices;
mod passing;
mod proxy;
mod reach;
mod replays;
mod returned;
mod shares;
mod still;
mod world;
