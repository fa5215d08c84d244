//! The process that is started to take the place of this one: the same program, which may be another build by now, with the
//! same options.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use tracing::error;

use crate::lb::over::Over;
use crate::process::lock::lock;

/// How a start goes.
#[derive(Clone, Debug, Default)]
enum Start {
    #[default]
    None,
    Running,
    /// Why it was in vain.
    Failed(String),
}

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Successor {
    program: PathBuf,
    arguments: Vec<OsString>,
    start: Arc<Mutex<Start>>,
    over: Over,
}

/// The option by which it knows that it takes a place.
const OPTION: &str = "--take-over";

impl Successor {
    /// To be called at the start: after an upgrade, the system no longer names the file of this program. `control`: the socket
    /// that it asks. `over`: whether it has the place.
    pub(crate) fn of_this(control: &Path, over: Over) -> io::Result<Successor> {
        let arguments = arguments(std::env::args_os().skip(1), control);
        Ok(Successor { program: std::env::current_exe()?, arguments, start: Arc::default(), over })
    }

    /// Starts it. Its number; when it takes the place, it is in the log. One at a time.
    pub(crate) fn start(&self) -> io::Result<u32> {
        if let Some(why) = unwatched(std::process::id(), std::os::unix::process::parent_id()) {
            return Err(io::Error::other(why));
        }
        let mut start = lock(&self.start);
        if matches!(*start, Start::Running) {
            return Err(io::Error::other("it is being started already"));
        }
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null());
        // The service manager waits for signs of the process that serves, whatever its number.
        command.env_remove("WATCHDOG_PID");
        let mut child = command.spawn()?;
        let pid = child.id();
        *start = Start::Running;
        drop(start);
        let (outcome, over) = (Arc::clone(&self.start), self.over.clone());
        std::thread::Builder::new().name("successor".into()).spawn(move || {
            let ended = match child.wait() {
                Ok(status) => format!("process {pid} was to go on in this place, and has ended: {status}"),
                Err(error) => format!("process {pid} was to go on in this place, and is lost: {error}"),
            };
            if over.is_so() {
                // It had the place.
                return;
            }
            error!("hand-over: {ended}; this load manager goes on");
            *lock(&outcome) = Start::Failed(ended);
        })?;
        Ok(pid)
    }

    /// Why the last start was in vain; `None`: it was not, or it goes on.
    pub(crate) fn failed(&self) -> Option<String> {
        match &*lock(&self.start) {
            Start::None | Start::Running => None,
            Start::Failed(why) => Some(why.clone()),
        }
    }
}

/// Why a process with another number would not be the one that is watched.
fn unwatched(own: u32, parent: u32) -> Option<&'static str> {
    if own == 1 {
        return Some("this is the first process of its container, which ends with it");
    }
    let program = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let is_ours = program(parent).is_some() && program(parent) == program(own);
    is_ours.then_some(
        "`strowger run` or `strowger agent` supervises this process, and would start another one beside it",
    )
}

fn arguments(own: impl Iterator<Item = OsString>, control: &Path) -> Vec<OsString> {
    let takes = |word: &OsString| word.as_bytes().starts_with(OPTION.as_bytes());
    let mut all: Vec<OsString> = own.filter(|word| !takes(word)).collect();
    let mut option = OsString::from(format!("{OPTION}="));
    option.push(control);
    all.push(option);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_the_same_and_the_place_is_asked_for_once() {
        let control = Path::new("/run/x/control");
        let first = arguments(["lb", "--config", "lb.toml"].into_iter().map(OsString::from), control);
        assert_eq!(first, ["lb", "--config", "lb.toml", "--take-over=/run/x/control"]);
        assert_eq!(arguments(first.into_iter(), control).len(), 4);
        let bare = ["lb", "--take-over", "-c", "lb.toml"].into_iter().map(OsString::from);
        assert_eq!(arguments(bare, control), ["lb", "-c", "lb.toml", "--take-over=/run/x/control"]);
    }

    #[test]
    fn whoever_supervises_this_process_is_known() {
        let own = std::process::id();
        assert!(unwatched(1, 0).unwrap().contains("container"));
        assert!(unwatched(own, own).unwrap().contains("strowger run"));
        assert_eq!(unwatched(own, 1), None);
    }

    #[test]
    fn a_start_in_vain_is_told() {
        let successor = Successor {
            program: "/bin/false".into(),
            arguments: Vec::new(),
            start: Arc::default(),
            over: Over::default(),
        };
        assert_eq!(successor.failed(), None);
        let pid = successor.start().unwrap();
        while successor.failed().is_none() {
            std::thread::yield_now();
        }
        assert!(successor.failed().unwrap().starts_with(&format!("process {pid} was to go on")));
        let missing = Successor { program: "/nonexistent".into(), ..successor };
        assert!(missing.start().is_err());
    }
}
