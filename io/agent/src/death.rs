//! How a server ended, in words for the log.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Death {
    /// The server ended by itself, with this exit code.
    Exited(i32),
    Killed {
        signal: i32,
        core: bool,
    },
    /// An earlier agent started the server, so another process got the exit status.
    Unknown,
    /// The server could not be started.
    NotSpawned(String),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Death::Exited(code) => write!(f, "exited with code {code}"),
            Death::Killed { signal, core } => {
                write!(f, "was killed by {}", signal_name(*signal))?;
                if *core { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            Death::Unknown => {
                f.write_str("ended (exit status unknown: an earlier agent had started the server)")
            }
            Death::NotSpawned(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// The name of a signal as in signal(7), or its number if it has no name.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}
