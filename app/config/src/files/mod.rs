//! Files that the configuration names: key files, certificates with their validity, the control socket.

pub(crate) mod certificates;
pub(crate) mod control_path;
pub(crate) mod keys;
pub(crate) mod run_folder;
pub(crate) mod validity;
