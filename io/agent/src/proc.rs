//! The server as processes: started in a session of its own, found again by a later agent, watched by a pidfd.
//!
//! No drop of a value here ends a server: the server must outlive an agent that is killed or replaced.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use procfs::process::Stat;

use crate::death::Death;

/// The first process of a server.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks from the boot to the start of the process. Together with the pid, they name one process until the next
    /// boot.
    pub(crate) start_time: u64,
    pidfd: OwnedFd,
    is_child: bool,
}

impl Process {
    /// Starts `command` in a session of its own, so that no signal to the agent's group or terminal reaches it. Standard
    /// input is /dev/null. Output goes to `log`, or where the agent's output goes, but never through the agent.
    pub(crate) fn spawn(command: &[OsString], log: Option<&Path>) -> io::Result<Process> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
        let mut builder = Command::new(program);
        builder.args(arguments).stdin(Stdio::null());
        // The agent speaks to the service manager, not the server.
        for name in os::notify::VARIABLES {
            builder.env_remove(name);
        }
        if let Some(path) = log {
            let file = open_log(path)?;
            builder.stderr(file.try_clone()?).stdout(file);
        }
        // SAFETY: between fork and exec only async-signal-safe calls are made, and no memory is shared.
        unsafe {
            builder.pre_exec(|| {
                if libc::setsid() == -1 {
                    return Err(io::Error::last_os_error());
                }
                // The agent blocks the signals that it reads from a descriptor. The server must not inherit the blocked
                // signals.
                let mut none: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&mut none);
                if libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut()) == -1 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let pid = builder.spawn()?.id() as i32;
        // The child is reaped only by `reap`, so the pid names this child even if the child has already ended.
        let pidfd = open_pidfd(pid)?;
        let start_time = stat(pid).map_or(0, |stat| stat.starttime);
        Ok(Process { pid, start_time, pidfd, is_child: true })
    }

    /// The server of an earlier agent, if that very process still runs.
    pub(crate) fn adopt(pid: i32, start_time: u64) -> Option<Process> {
        // The descriptor comes first, then the comparison: between the two, the pid cannot come to name another process.
        let pidfd = open_pidfd(pid).ok()?;
        let stat = stat(pid)?;
        let same = stat.starttime == start_time && !matches!(stat.state, 'Z' | 'X');
        same.then_some(Process { pid, start_time, pidfd, is_child: false })
    }

    /// Readable once the process has ended.
    pub(crate) fn pidfd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }

    /// Sends a signal to the first process alone.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a valid descriptor, and no siginfo is passed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// How the process ended. Call it when the pidfd is readable.
    pub(crate) fn reap(self) -> Death {
        if !self.is_child {
            return Death::Unknown;
        }
        // SAFETY: `info` is a plain structure that waitid fills.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let result = libc::waitid(libc::P_PID, self.pid as libc::id_t, &mut info, libc::WEXITED);
            (result, info)
        };
        if result == -1 {
            return Death::Unknown;
        }
        // SAFETY: waitid filled in a SIGCHLD record.
        let status = unsafe { info.si_status() };
        match info.si_code {
            libc::CLD_EXITED => Death::Exited(status),
            code => Death::Killed { signal: status, core: code == libc::CLD_DUMPED },
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("log {}: {error}", path.display())))
}

fn open_pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes a pid and flags, and gives a new descriptor (close-on-exec) or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

fn stat(pid: i32) -> Option<Stat> {
    procfs::process::Process::new(pid).ok()?.stat().ok()
}

/// The processes of the session that have not ended.
pub(crate) fn in_session(session: i32) -> Vec<i32> {
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    all.flatten()
        .filter_map(|process| process.stat().ok())
        .filter(|stat| stat.session == session && !matches!(stat.state, 'Z' | 'X'))
        .map(|stat| stat.pid)
        .collect()
}

/// Sends a signal to every process of the server's session. `session` is the pid of a server that this or an earlier agent
/// started. The kernel gives that number to no other process while a member of the session lives.
pub(crate) fn signal_session(session: i32, signal: i32) -> usize {
    let members = in_session(session);
    for pid in &members {
        if let Ok(pidfd) = open_pidfd(*pid)
            && stat(*pid).is_some_and(|stat| stat.session == session)
        {
            // SAFETY: as in `Process::signal`.
            unsafe {
                libc::syscall(
                    libc::SYS_pidfd_send_signal,
                    pidfd.as_raw_fd(),
                    signal,
                    std::ptr::null::<libc::siginfo_t>(),
                    0,
                );
            }
        }
    }
    members.len()
}

/// Whether any process with this pid runs.
pub(crate) fn exists(pid: i32) -> bool {
    stat(pid).is_some()
}

/// Names this boot of the machine. Pids and start times mean nothing in another boot.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Reaps processes that the kernel gave to us because we are the first process of a container. `server` is left to its
/// owner.
pub(crate) fn reap_orphans(server: Option<i32>) {
    // SAFETY: getpid cannot fail.
    if unsafe { libc::getpid() } != 1 {
        return;
    }
    // A bounded number at a time; the rest at the next call.
    for _ in 0..64 {
        // SAFETY: `info` is a plain structure that waitid fills; WNOWAIT leaves the process as it is.
        let pid = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            if libc::waitid(libc::P_ALL, 0, &mut info, options) == -1 { 0 } else { info.si_pid() }
        };
        if pid == 0 || Some(pid) == server {
            return;
        }
        // SAFETY: as above; this process was seen to have ended.
        unsafe {
            libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
        }
    }
}
