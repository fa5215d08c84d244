//! Children of this process: how they are started, found and told to end.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Lines of a log that are shown after a failure.
const LOG_LINES: usize = 12;
/// Time between two looks at a child that is ending.
const LOOK: Duration = Duration::from_millis(10);

/// Starts a child whose output is appended to `log` and that gets SIGTERM when this process dies.
pub(crate) fn spawn(mut command: Command, log: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // This process speaks to the service manager, not its children.
    for name in os::notify::VARIABLES {
        command.env_remove(name);
    }
    // SAFETY: prctl and the calls for signals are safe between fork and exec; they allocate nothing and touch no memory but
    // the set on this stack.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            // This process waits for signals that it blocks; its children must not begin with them blocked.
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
            Ok(())
        });
    }
    command.spawn()
}

pub(crate) fn signal(process: i32, signal: i32) -> bool {
    // SAFETY: kill only sends a signal; the process is a child of ours, or of an agent of ours.
    unsafe { libc::kill(process, signal) == 0 }
}

/// Waits until a child that was told to end has ended; kills it after `until`.
pub(crate) fn wait_or_kill(child: &mut Child, until: Instant) {
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        if Instant::now() >= until {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(LOOK);
    }
}

/// The child of this process, found in /proc.
pub(crate) fn child_of(parent: u32) -> Option<i32> {
    let mut found = None;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The program's name stands in brackets and may contain anything; state and parent follow it.
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        if behind.split_whitespace().nth(1).and_then(|text| text.parse().ok()) == Some(parent) {
            found = Some(process);
        }
    }
    found
}

/// The last lines of a log, for an error.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ")
}
