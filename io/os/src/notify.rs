//! What a process tells the service manager that started it, as sd_notify(3) describes: one datagram to the socket that
//! $NOTIFY_SOCKET names. Without that variable, nothing is told and nothing fails. Whoever starts a child of its own takes the
//! variables from it ([`VARIABLES`]), so that only the process that the manager started speaks.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use crate::clock::monotonic_us;

/// The variables that the service manager sets for one process.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// It listens, and takes what comes. After a reload: the reload is done.
pub fn ready(status: &str) {
    tell(&format!("READY=1\nSTATUS={}", one_line(status)));
}

/// It reads its configuration again; [`ready`] follows.
pub fn reloading() {
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_us()));
}

/// It ends, and may take this time for it.
pub fn stopping(at_most: Duration, status: &str) {
    let us = at_most.as_micros();
    tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={us}\nSTATUS={}", one_line(status)));
}

/// Another process has taken over from this one: from now on it is the one that the manager watches and ends.
pub fn handed_to(pid: u32) {
    tell(&format!("MAINPID={pid}"));
}

/// What it does now, in words.
pub fn status(status: &str) {
    tell(&format!("STATUS={}", one_line(status)));
}

/// A field ends with its line.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn tell(message: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET") {
        send(&name, message);
    }
}

/// There is nobody to complain to: a manager that does not hear is a manager that was not there.
fn send(name: &OsStr, message: &str) {
    let Some(address) = address(name) else { return };
    let Ok(socket) = UnixDatagram::unbound() else { return };
    // A manager that does not read must not hold up what serves calls.
    let _ = socket.set_nonblocking(true);
    let _ = socket.send_to_addr(message.as_bytes(), &address);
}

/// A path, or a name in the abstract namespace that is written with `@`.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
        _ => None,
    }
}

/// Says that this process still does its work. The thread that must not hang has it, and calls it in each turn. If it falls
/// silent, the manager kills the process and starts it again (`WatchdogSec=`).
#[derive(Debug)]
pub struct Watchdog {
    every: Duration,
    last: Option<Instant>,
}

impl Watchdog {
    /// `None`: nobody waits for this process to say so.
    pub fn of_manager() -> Option<Watchdog> {
        let variable = |name| std::env::var_os(name);
        Watchdog::new(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id())
    }

    fn new(period_us: Option<OsString>, pid: Option<OsString>, own: u32) -> Option<Watchdog> {
        let number = |text: OsString| text.to_str()?.parse::<u64>().ok();
        let for_this_process = match pid {
            Some(pid) => number(pid) == Some(u64::from(own)),
            None => true,
        };
        let period = Duration::from_micros(number(period_us?)?);
        // Twice in a period: one delay is no death.
        (for_this_process && !period.is_zero()).then(|| Watchdog { every: period / 2, last: None })
    }

    /// The longest time between two calls of [`Watchdog::beat`].
    pub fn every(&self) -> Duration {
        self.every
    }

    /// The work goes on.
    pub fn beat(&mut self) {
        if self.is_due(Instant::now()) {
            tell("WATCHDOG=1");
        }
    }

    /// Half of the time between two messages has passed: calls that come as seldom as they may still come in time.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.duration_since(last) >= self.every / 2);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_at_a_path_and_at_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("strowger-notify-{}", std::process::id()));
        let of_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("strowger-notify-{}", std::process::id());
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        let of_name = UnixDatagram::bind_addr(&at).unwrap();
        for (socket, named) in
            [(&of_path, path.clone().into_os_string()), (&of_name, format!("@{name}").into())]
        {
            send(&named, "READY=1\nSTATUS=serves");
            let mut bytes = [0; 64];
            let length = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], b"READY=1\nSTATUS=serves");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_name_of_a_socket_is_left_alone() {
        for name in ["", "relative", "vsock:2:1234", "/nonexistent/notify"] {
            send(OsStr::new(name), "READY=1");
        }
        assert!(address(OsStr::new("vsock:2:1234")).is_none());
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("a\nREADY=1\r\nb"), "a READY=1  b");
    }

    #[test]
    fn the_clock_is_the_one_that_rises() {
        let first = monotonic_us();
        assert!(first > 0 && monotonic_us() >= first);
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_was_started() {
        let new = |period: &str, pid: Option<&str>| {
            Watchdog::new(Some(period.into()), pid.map(OsString::from), 7).map(|dog| dog.every())
        };
        assert_eq!(new("10000000", Some("7")), Some(Duration::from_secs(5)));
        assert_eq!(new("10000000", None), Some(Duration::from_secs(5)));
        for (period, pid) in [("10000000", Some("8")), ("0", Some("7")), ("soon", None), ("1000", Some("x"))]
        {
            assert_eq!(new(period, pid), None, "{period} {pid:?}");
        }
        assert!(Watchdog::new(None, Some("7".into()), 7).is_none());
    }

    #[test]
    fn it_beats_when_half_of_its_time_has_passed() {
        let mut dog = Watchdog::new(Some("4000000".into()), None, 7).unwrap();
        let start = Instant::now();
        let due = [0, 100, 999, 1000, 1500, 2100].map(|ms| dog.is_due(start + Duration::from_millis(ms)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
