//! The file that holds the memory of calls between two runs of a load manager. A start reads the file and removes it. If a
//! run could not write the file, as after `kill -9`, nothing old is believed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base::Time;
use lb::memory::stored;
use lb::shared::Shared;
use tracing::{info, warn};

/// Restores what the run before wrote. `Err`: no file can be written there; the operator must learn this at the start, not
/// at the end.
pub(crate) fn restore(path: &Path, shared: &Shared, now: Time) -> io::Result<()> {
    let fails = |error: io::Error| {
        let what = format!(
            "memory.file {}: {error}; the process must be able to write in that directory",
            path.display()
        );
        io::Error::new(error.kind(), what)
    };
    create(&beside(path)).and_then(|_| fs::remove_file(beside(path))).map_err(fails)?;
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fails(error)),
    };
    fs::remove_file(path).map_err(fails)?;
    match stored::restore(&bytes, &shared.calls, &shared.keys, now, wall_us(shared, now)) {
        Ok(restored) => info!(
            "memory file: {} calls of the run before are known, {} entries were left out; the file was written {} ms ago",
            restored.calls,
            restored.left_out,
            restored.away.as_millis()
        ),
        Err(why) => warn!("memory file {}: no call of the run before is known: {why}", path.display()),
    }
    Ok(())
}

/// Writes the file for the next run. If it cannot be written, the log says so, and the memory is lost.
pub(crate) fn write(path: &Path, shared: &Shared, now: Time) {
    let terms = shared.terms();
    let bytes = stored::to_bytes(&terms.calls, &terms.keys, now, wall_us(shared, now));
    let half = beside(path);
    let written =
        create(&half).and_then(|mut file| file.write_all(&bytes)).and_then(|()| fs::rename(&half, path));
    match written {
        Ok(()) => {
            info!("memory file: {} calls are written for the next run", terms.calls.known_calls().len())
        }
        Err(error) => warn!("memory file {}: cannot be written: {error}", path.display()),
    }
}

/// Microseconds since 1970.
fn wall_us(shared: &Shared, now: Time) -> u64 {
    shared.clock_began_us.wrapping_add(now.as_micros())
}

/// The file while it is incomplete.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Only the owner may read the file: it says which server has which call.
fn create(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_says_at_once_where_no_file_can_be_written_and_believes_no_strangers_file() {
        let settings = config::parse(crate::ctl::testing::TWO).unwrap().settings;
        let shared = crate::lb::control::Control::new(Time::ZERO, settings, 1).unwrap().shared();
        let missing = restore(Path::new("/nonexistent/memory"), &shared, Time::ZERO).unwrap_err().to_string();
        assert!(missing.starts_with("memory.file /nonexistent/memory: No such file"), "{missing}");
        let directory = std::env::temp_dir().join(format!("strowger-memory-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("memory");
        fs::write(&path, "what somebody else wrote").unwrap();
        restore(&path, &shared, Time::ZERO).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "a file is read once");
        write(&path, &shared, Time::ZERO);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(&directory).unwrap();
    }
}
