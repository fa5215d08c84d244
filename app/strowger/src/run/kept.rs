//! A child that is started again whenever it ends, unless it was told to end.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use super::child::{signal, spawn, wait_or_kill};

/// Pause before a child that died soon after its start is started again; it doubles with each further death.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A child that ran this long ran well, and is started again at once.
const RAN_WELL: Duration = Duration::from_secs(10);

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    log: PathBuf,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    /// When it is started again.
    again: Option<Instant>,
}

impl Kept {
    pub(crate) fn start(
        name: &str,
        program: &Path,
        arguments: Vec<OsString>,
        log: PathBuf,
    ) -> io::Result<Kept> {
        let mut kept = Kept {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments,
            log,
            child: None,
            started: Instant::now(),
            pause: Duration::ZERO,
            again: None,
        };
        kept.run()?;
        Ok(kept)
    }

    /// Starts it; it must have ended.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        self.started = Instant::now();
        self.child = Some(spawn(command, &self.log)?);
        self.again = None;
        Ok(())
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Tells how it ended, once; and starts it again when its pause is over.
    pub(crate) fn look(&mut self, now: Instant) -> Option<ExitStatus> {
        if let Some(status) = self.ended() {
            self.pause = next_pause(self.pause, now.saturating_duration_since(self.started));
            self.again = Some(now + self.pause);
            return Some(status);
        }
        // A start that fails is tried again.
        if self.again.is_some_and(|at| at <= now) && self.run().is_err() {
            self.pause = next_pause(self.pause, Duration::ZERO);
            self.again = Some(now + self.pause);
        }
        None
    }

    /// Tells how it ended, once, and leaves it ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    pub(crate) fn signal(&self, number: i32) {
        if let Some(pid) = self.pid() {
            signal(pid as i32, number);
        }
    }

    /// Waits until it has ended, and kills it then. It must have been told.
    pub(crate) fn wait(&mut self, until: Instant) {
        if let Some(child) = &mut self.child {
            wait_or_kill(child, until);
        }
        (self.child, self.again) = (None, None);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.wait(Instant::now());
    }
}

fn next_pause(before: Duration, ran: Duration) -> Duration {
    match ran >= RAN_WELL {
        true => Duration::ZERO,
        false => (before * 2).clamp(PAUSE_MIN, PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_it_runs_well() {
        let soon = Duration::from_secs(1);
        let mut pauses = vec![next_pause(Duration::ZERO, soon)];
        for _ in 0..6 {
            pauses.push(next_pause(pauses[pauses.len() - 1], soon));
        }
        let millis: Vec<u128> = pauses.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(next_pause(PAUSE_MAX, RAN_WELL), Duration::ZERO);
    }

    #[test]
    fn what_died_is_started_again_and_what_was_told_to_end_is_not() {
        let log = std::env::temp_dir().join(format!("strowger-kept-{}", std::process::id()));
        let mut kept = Kept::start("true", Path::new("true"), Vec::new(), log.clone()).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        let mut ended = None;
        while ended.is_none() && Instant::now() < end {
            ended = kept.look(Instant::now());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(ended.unwrap().success());
        assert_eq!(kept.pid(), None);
        kept.look(Instant::now() + PAUSE_MIN);
        assert!(kept.pid().is_some());
        kept.wait(end);
        kept.look(end + PAUSE_MAX);
        assert_eq!(kept.pid(), None);
        std::fs::remove_file(log).unwrap();
    }
}
