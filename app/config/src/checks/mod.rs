//! The checks between keys: each value is right by itself, and these files check that all values fit together and make the
//! settings from them. There is one file for each part of the program; [`lb`] puts a load manager together.

pub(crate) mod api;
pub(crate) mod by_name;
pub(crate) mod heartbeats;
pub(crate) mod http;
pub(crate) mod https;
pub(crate) mod keys;
pub(crate) mod lb;
pub(crate) mod listeners;
pub(crate) mod pair;
pub(crate) mod peers;
pub(crate) mod perf;
pub(crate) mod process;
pub(crate) mod proxies;
pub(crate) mod register;
pub(crate) mod resolver;
pub(crate) mod run;
pub(crate) mod servers;
pub(crate) mod tls;
pub(crate) mod tolerance;
pub(crate) mod without_effect;
