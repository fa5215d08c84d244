//! Where the control socket of a user's load manager is looked for.

use std::path::PathBuf;

/// Where the control socket lies when nothing else is said: the same for `lb` and `status` of one user.
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

/// The user that this process runs as: the owner of its own entry in /proc.
fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}
