//! The collection loop in a thread of its own. A look into /proc waits for any process that holds the lock of what is read, and such a
//! process may itself wait for a processor or a disk for seconds. A heartbeat that waited, too, would end a server that lives.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use base::Time;
use heartbeat::Load;

/// Figures that are older say nothing of now.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// One question at a time to the thread that collects. Dropping it ends the thread.
pub(crate) struct Gatherer {
    questions: SyncSender<Option<i32>>,
    answers: Receiver<Load>,
    /// Readable when there is an answer.
    bell: UnixStream,
    asked: Option<Time>,
    is_late: bool,
}

impl Gatherer {
    /// `collect` gets the first process of the server, if there is one, and may take its time. The thread has the signal mask of the
    /// caller.
    pub(crate) fn start(
        mut collect: impl FnMut(Option<i32>) -> Load + Send + 'static,
    ) -> io::Result<Gatherer> {
        let (questions, asked) = mpsc::sync_channel::<Option<i32>>(1);
        let (found, answers) = mpsc::sync_channel(1);
        let (bell, mut ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        thread::Builder::new().name("collect".to_owned()).spawn(move || {
            while let Ok(server) = asked.recv() {
                if found.send(collect(server)).is_err() || ring.write_all(&[1]).is_err() {
                    return;
                }
            }
        })?;
        Ok(Gatherer { questions, answers, bell, asked: None, is_late: false })
    }

    /// To be watched for input.
    pub(crate) fn fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Asks for figures, unless the last question has no answer yet.
    pub(crate) fn ask(&mut self, server: Option<i32>, now: Time) {
        if self.asked.is_none() && self.questions.try_send(server).is_ok() {
            self.asked = Some(now);
        }
    }

    /// The answer, if it came.
    pub(crate) fn answer(&mut self) -> Option<Load> {
        // The byte of an answer may come a moment after the answer. Then it wakes the agent once more, for nothing.
        let _ = self.bell.read(&mut [0; 8]);
        let load = self.answers.try_recv().ok()?;
        self.asked = None;
        self.is_late = false;
        Some(load)
    }

    /// Whether the question has waited so long that the last figures are stale: once for each such question.
    pub(crate) fn became_late(&mut self, now: Time) -> bool {
        let late = !self.is_late && self.asked.is_some_and(|asked| now.since(asked) >= STALE_AFTER);
        self.is_late |= late;
        late
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn load(calls: u32) -> Load {
        Load { calls: Some(calls), ..Load::default() }
    }

    fn wait(gatherer: &Gatherer) {
        let mut fds = [os::poll::watched(gatherer.fd(), libc::POLLIN)];
        os::poll::wait(&mut fds, Duration::from_secs(10));
    }

    #[test]
    fn each_question_gets_its_answer_and_wakes_the_one_who_asked() {
        let mut gatherer = Gatherer::start(|server| load(server.map_or(0, |server| server as u32))).unwrap();
        for (server, calls) in [(None, 0), (Some(7), 7), (Some(8), 8)] {
            gatherer.ask(server, Time::ZERO);
            let answer = loop {
                wait(&gatherer);
                if let Some(answer) = gatherer.answer() {
                    break answer;
                }
            };
            assert_eq!(answer, load(calls));
        }
        assert_eq!(gatherer.answer(), None);
    }

    #[test]
    fn nobody_waits_for_a_collection_that_hangs_and_its_figures_become_stale_once() {
        let (release, held) = mpsc::channel::<()>();
        let mut gatherer = Gatherer::start(move |_| {
            let _ = held.recv();
            load(1)
        })
        .unwrap();
        let began = Instant::now();
        for second in 0..3 {
            gatherer.ask(None, Time::ZERO + Duration::from_secs(second));
            assert_eq!(gatherer.answer(), None);
            assert!(!gatherer.became_late(Time::ZERO + Duration::from_secs(second)));
        }
        assert!(gatherer.became_late(Time::ZERO + STALE_AFTER));
        assert!(!gatherer.became_late(Time::ZERO + STALE_AFTER));
        assert!(began.elapsed() < Duration::from_secs(5));
        release.send(()).unwrap();
        wait(&gatherer);
        assert_eq!(gatherer.answer(), Some(load(1)));
        // The questions that were refused meanwhile wait nowhere.
        assert_eq!(gatherer.answer(), None);
    }
}
