//! The folder of `strowger run`: keys, sockets, logs.

use std::path::PathBuf;

use crate::files::control_path::own_user;

/// The folder of a user's farm, if none is named.
pub fn run_folder() -> PathBuf {
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        return PathBuf::from(directory).join("strowger-run");
    }
    match own_user() {
        0 => PathBuf::from("/run/strowger"),
        user => PathBuf::from(format!("/tmp/strowger-{user}")),
    }
}
