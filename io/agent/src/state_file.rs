//! What an agent leaves for the next agent: which process the server is, and what the heartbeats said of it.
//!
//! The file is written whole and renamed into place, so a killed agent leaves the old or the new content. A lock beside it
//! stops a second agent from supervising the same server.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use state::failover::Held;

use crate::proc;

/// The first line. A file with another first line is not read.
const HEADER: &str = "strowger agent state 1";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The server's first process. `None`: there is none.
    pub(crate) process: Option<(i32, u64)>,
    pub(crate) boot_id: String,
    pub(crate) ready: bool,
    pub(crate) draining: bool,
    /// No heartbeat of this agent had a larger count. The next agent's counts are above it, even if the clock was set back.
    pub(crate) count_below: u64,
    /// What the server of a cluster had.
    pub(crate) held: Option<Held>,
}

#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// Held while this agent lives; the kernel releases it with the process.
    _lock: File,
}

impl StateFile {
    /// Fails if another agent holds the lock.
    pub(crate) fn open(path: &Path) -> io::Result<StateFile> {
        let lock_path = beside(path, "lock");
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path)?;
        // SAFETY: a valid descriptor.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == -1 {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("another agent uses it (lock {})", lock_path.display()),
            ));
        }
        Ok(StateFile { path: path.to_owned(), _lock: lock })
    }

    /// `Ok(None)`: there is no file yet.
    pub(crate) fn read(&self) -> Result<Option<Remembered>, String> {
        match fs::read_to_string(&self.path) {
            Ok(text) => parse(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn write(&self, remembered: &Remembered) -> io::Result<()> {
        let new = beside(&self.path, "new");
        fs::write(&new, print(remembered))?;
        fs::rename(&new, &self.path)
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

impl Remembered {
    /// The process, if it is of this boot.
    pub(crate) fn process_now(&self) -> Option<(i32, u64)> {
        self.process.filter(|_| self.boot_id == proc::boot_id())
    }
}

fn print(remembered: &Remembered) -> String {
    let (pid, start_time) = remembered.process.unwrap_or((0, 0));
    let held = remembered.held.as_ref().map(|held| format!("held {}\n", held.write())).unwrap_or_default();
    format!(
        "{HEADER}\npid {pid}\nstart_time {start_time}\nboot_id {}\nready {}\ndraining {}\ncount_below {}\n{held}",
        remembered.boot_id, remembered.ready, remembered.draining, remembered.count_below
    )
}

fn parse(text: &str) -> Result<Remembered, String> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("the first line is not {HEADER:?}"));
    }
    let mut field = |name: &str| {
        let line = lines.next().unwrap_or_default();
        match line.split_once(' ') {
            Some((found, value)) if found == name => Ok(value.to_owned()),
            _ => Err(format!("{line:?} in place of {name}")),
        }
    };
    fn value<T: std::str::FromStr>(text: String) -> Result<T, String> {
        text.parse().map_err(|_| format!("{text:?} is not a value"))
    }
    let pid: i32 = value(field("pid")?)?;
    let start_time = value(field("start_time")?)?;
    Ok(Remembered {
        process: (pid > 0).then_some((pid, start_time)),
        boot_id: field("boot_id")?,
        ready: value(field("ready")?)?,
        draining: value(field("draining")?)?,
        // Earlier versions did not write this line.
        count_below: match field("count_below") {
            Ok(count) => value(count)?,
            Err(_) => 0,
        },
        held: match field("held") {
            Ok(line) => Some(Held::read(&line).ok_or_else(|| format!("{line:?} is not what a server had"))?),
            Err(_) => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        for process in [None, Some((4711, 99))] {
            let remembered = Remembered {
                process,
                boot_id: "abc-def".into(),
                ready: true,
                draining: false,
                count_below: 1_795_172_185_042_000,
                held: None,
            };
            let held = Held::read(&format!("7 {} 10.0.0.1:6379", "0f".repeat(32)));
            let of_a_cluster = Remembered { held, ..remembered.clone() };
            assert!(of_a_cluster.held.is_some());
            assert_eq!(parse(&print(&of_a_cluster)), Ok(of_a_cluster));
            let earlier = print(&remembered).replace("count_below 1795172185042000\n", "");
            assert_eq!(parse(&earlier), Ok(Remembered { count_below: 0, ..remembered.clone() }));
            assert_eq!(parse(&print(&remembered)), Ok(remembered));
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        for text in [
            "",
            "strowger agent state 2\n",
            "strowger agent state 1\npid x\n",
            "strowger agent state 1\npid 5\n",
            "strowger agent state 1\npid 5\nstart_time 1\nboot_id a\nready true\ndraining false\ncount_below x\n",
            "strowger agent state 1\npid 5\nstart_time 1\nboot_id a\nready true\ndraining false\ncount_below 1\nheld 1 x\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_process_of_another_boot_is_none() {
        let boot_id = proc::boot_id();
        let mut remembered = Remembered {
            process: Some((1, 1)),
            boot_id,
            ready: true,
            draining: false,
            count_below: 0,
            held: None,
        };
        assert_eq!(remembered.process_now(), Some((1, 1)));
        remembered.boot_id = "another".to_owned();
        assert_eq!(remembered.process_now(), None);
    }
}
