//! The folder of a farm: its keys, the load manager's file, sockets and logs. Nobody but its owner may read it, and one farm
//! has it at a time.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use std::io::Write as _;

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held while this process lives.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and the keys.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let text =
                    format!("{error}\n  remedy: name a folder in one that is there and yours (--folder)");
                return Err(io::Error::new(error.kind(), text));
            }
            Ok(()) => {}
        }
        let found = fs::symlink_metadata(path)?;
        // Everybody may make a folder in /tmp, and would read our keys in it.
        let own = fs::metadata("/proc/self")?.uid();
        if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
            let text =
                "it is not a folder of this user alone\n  remedy: chmod 700 it, or name another (--folder)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let lock =
            File::options().create(true).truncate(false).write(true).mode(0o600).open(path.join("lock"))?;
        // SAFETY: a valid descriptor.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == -1 {
            let text = "another farm runs in it\n  remedy: end that one, or name another folder (--folder)";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
        }
        let folder = Folder { path: path.to_owned(), _lock: lock };
        folder.make_keys()?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.file("farm.keys")
    }

    /// Removes what agents of earlier runs left: this run has engines of its own.
    pub(crate) fn forget_engines(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("engine-") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Keys of an earlier run stay: calls that are up have tags by them.
    fn make_keys(&self) -> io::Result<()> {
        let made = File::options().write(true).create_new(true).mode(0o600).open(self.keys());
        match made {
            Ok(mut file) => {
                writeln!(file, "{}\n{}", config::fresh_tag_line(None)?, config::fresh_heartbeat_line()?)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn place(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("strowger-folder-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn one_farm_at_a_time_and_the_same_keys() {
        let path = place("once");
        let first = Folder::open(&path).unwrap();
        let keys = fs::read_to_string(first.keys()).unwrap();
        assert_eq!(fs::metadata(first.keys()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Folder::open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert_eq!(fs::read_to_string(Folder::open(&path).unwrap().keys()).unwrap(), keys);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_read_is_refused() {
        let path = place("open");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Folder::open(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        fs::remove_dir_all(path).unwrap();
    }
}
