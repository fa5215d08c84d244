//! The paths of a user's sockets: for control, and of the state tier on this machine.

use std::path::PathBuf;

/// The default path of the control socket: the same for `lb` and `status` of one user.
pub fn control_path() -> PathBuf {
    socket("strowger")
}

/// The folder of the sockets of services that the packages install.
pub const SERVICE_FOLDER: &str = "/run/strowger";

/// Where a load manager is asked, if no path is named: at the socket of this user; if there is none, at that of the service.
pub fn control_path_to_ask() -> PathBuf {
    let service = PathBuf::from(SERVICE_FOLDER).join("strowger.sock");
    Some(control_path()).filter(|own| own.exists() || !service.exists()).unwrap_or(service)
}

/// The default path of the state tier's socket: the same for `state` and `engine` of one user.
pub fn state_path() -> PathBuf {
    socket("strowger-state")
}

fn socket(name: &str) -> PathBuf {
    if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty()) {
        return PathBuf::from(directory).join(format!("{name}.sock"));
    }
    let user = own_user();
    if user == 0 {
        PathBuf::from(format!("/run/{name}.sock"))
    } else {
        PathBuf::from(format!("/tmp/{name}-{user}.sock"))
    }
}

/// The user of this process: the owner of its own entry in /proc.
pub(crate) fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}
