//! The path of a user's control socket.

use std::path::PathBuf;

/// The default path of the control socket: the same for `lb` and `status` of one user.
pub fn control_path() -> PathBuf {
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        return PathBuf::from(directory).join("strowger.sock");
    }
    let user = own_user();
    if user == 0 {
        PathBuf::from("/run/strowger.sock")
    } else {
        PathBuf::from(format!("/tmp/strowger-{user}.sock"))
    }
}

/// The user of this process: the owner of its own entry in /proc.
fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}
