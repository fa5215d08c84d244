//! A farm on this machine as children of one process: the records of calls, a load manager, engines under agents. They are
//! started in order, started again when they die, replaced one by one for a new build, and ended in order.

pub(crate) mod child;
mod farm;
mod folder;
mod kept;
mod plan;
mod said;
mod upgrade;

pub(crate) use farm::Farm;
pub(crate) use folder::Folder;
pub(crate) use plan::{Plan, free_ports};
pub(crate) use said::Said;
