//! The log of choices: one line of JSON for each choice of a server, as `strowger why --json` prints it. A thread of its own
//! reads the rings where the workers note their choices ([`lb::why`]), so no worker ever waits for a disk. A choice that a
//! ring has overwritten before the thread could read it is counted as dropped.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::Faults;
use lb::shared::Shared;
use lb::why::Follower;
use net::Clock;
use serde::Serialize;

use crate::process::lock::lock;
use crate::report::why::{ChoiceReport, Explainer};

/// Time between two looks. In this time, 80,000 calls a second for each worker fill the rings of 16,384 choices.
const LOOK: Duration = Duration::from_millis(100);
/// How many choices of each worker are turned into lines at once.
const BATCH_MAX: usize = 1024;
/// Servers in a line: the winner, the server before, and the first others. For a farm of thousands, a line would have a
/// megabyte.
const CANDIDATES_MAX: usize = 64;

/// The counts of lines.
#[derive(Debug, Default)]
pub(crate) struct ChoiceCounters {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl ChoiceCounters {
    pub(crate) fn read(&self) -> [(&'static str, u64); 3] {
        [
            ("choices_written", self.written.load(Relaxed)),
            ("choices_dropped", self.dropped.load(Relaxed)),
            ("choices_failed", self.failed.load(Relaxed)),
        ]
    }
}

/// The place where choices are written. It may change while the load manager runs.
pub(crate) struct ChoiceLog {
    clock: Clock,
    shared: Arc<Shared>,
    counters: Arc<ChoiceCounters>,
    /// Set when the present writer must end.
    stop: Mutex<Arc<AtomicBool>>,
}

impl ChoiceLog {
    /// Writes nothing until it is told where.
    pub(crate) fn new(shared: Arc<Shared>, clock: Clock) -> ChoiceLog {
        ChoiceLog { clock, shared, counters: Arc::default(), stop: Mutex::default() }
    }

    pub(crate) fn counters(&self) -> &ChoiceCounters {
        &self.counters
    }

    /// Writes there from now on, beginning with the next choice. Fails and changes nothing if the file cannot be opened now.
    /// A later failure is counted.
    pub(crate) fn write_to(&self, to: &Faults) -> io::Result<()> {
        let named = |path: &Path, error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        if let Faults::File(path) = to {
            open(path).map_err(|error| named(path, error))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let before = {
            let mut present = lock(&self.stop);
            std::mem::replace(&mut *present, Arc::clone(&stop))
        };
        // The old writer ends by itself after its next look. A disk that hangs must not delay the change.
        before.store(true, Relaxed);
        if *to == Faults::Off {
            return Ok(());
        }
        let (shared, clock, counters) = (Arc::clone(&self.shared), self.clock, Arc::clone(&self.counters));
        let mut writer = Writer { shared, clock, counters, to: to.clone(), follower: Follower::default() };
        writer.begin();
        std::thread::Builder::new().name("choices".into()).spawn(move || {
            while !stop.load(Relaxed) {
                if !writer.turn() {
                    std::thread::sleep(LOOK);
                }
            }
        })?;
        Ok(())
    }
}

struct Writer {
    shared: Arc<Shared>,
    clock: Clock,
    counters: Arc<ChoiceCounters>,
    to: Faults,
    follower: Follower,
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    /// Distinguishes this line from other lines in the same place.
    log: &'static str,
    #[serde(flatten)]
    choice: &'a ChoiceReport,
    /// Servers that the line leaves out.
    candidates_left_out: usize,
}

impl Writer {
    /// Choices from before the start of this log are not written.
    fn begin(&mut self) {
        self.shared.why.skip(&mut self.follower);
    }

    /// Writes what is new. True: there is more.
    fn turn(&mut self) -> bool {
        let (choices, missed) = self.shared.why.follow(&mut self.follower, BATCH_MAX);
        self.counters.dropped.fetch_add(missed, Relaxed);
        if choices.is_empty() {
            return false;
        }
        let more = choices.len() >= BATCH_MAX;
        let explainer = Explainer { shared: &self.shared, clock: self.clock };
        let count = choices.len() as u64;
        let mut text = Vec::new();
        for choice in choices {
            write_line(explainer.choice(choice), &mut text);
        }
        let result = match &self.to {
            Faults::Off => Ok(()),
            Faults::Stderr => io::stderr().lock().write_all(&text),
            // The file is opened anew each time, so that a file that was moved away is begun again.
            Faults::File(path) => open(path).and_then(|mut file| file.write_all(&text)),
        };
        let counter = if result.is_ok() { &self.counters.written } else { &self.counters.failed };
        counter.fetch_add(count, Relaxed);
        more
    }
}

fn write_line(mut choice: ChoiceReport, text: &mut Vec<u8>) {
    let all = choice.candidates.len();
    if all > CANDIDATES_MAX {
        let from = choice.from;
        // The sort is stable: the others stay in the order of the table.
        choice
            .candidates
            .sort_by_key(|candidate| !(candidate.won || from.is_some() && candidate.address == from));
        choice.candidates.truncate(CANDIDATES_MAX);
    }
    let left_out = all - choice.candidates.len();
    let line = Line { log: "choice", choice: &choice, candidates_left_out: left_out };
    // Numbers, texts and addresses: writing them as JSON cannot fail.
    if serde_json::to_writer(&mut *text, &line).is_ok() {
        text.push(b'\n');
    }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::why::CandidateReport;

    #[test]
    fn a_line_is_one_object_and_a_large_farm_does_not_make_it_long() {
        let candidate = |index: u32| CandidateReport {
            index,
            address: Some(([127, 0, 0, 1], 7000 + index as u16).into()),
            won: index == 500,
            ..CandidateReport::default()
        };
        let choice = ChoiceReport {
            call_id: "a\"\n@b".into(),
            kind: "set-up moved: server failed".into(),
            from: Some(([127, 0, 0, 1], 7700).into()),
            server: Some(([127, 0, 0, 1], 7500).into()),
            candidates: (0..1000).map(candidate).collect(),
            ..ChoiceReport::default()
        };
        let mut text = Vec::new();
        write_line(choice, &mut text);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.len() < 32_000, "{} bytes", text.len());
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["log"], "choice");
        assert_eq!(line["call_id"], "a\"\n@b");
        assert_eq!(line["candidates_left_out"], 1000 - CANDIDATES_MAX);
        let shown: Vec<u64> =
            line["candidates"].as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap()).collect();
        assert_eq!(shown[..3], [500, 700, 0], "the winner and the one before first");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_refused_by_name() {
        let clock = Clock::start();
        let settings = config::parse(crate::ctl::testing::TWO).unwrap().settings;
        let control = crate::lb::control::Control::new(clock.now(), settings, 1).unwrap();
        let log = ChoiceLog::new(control.shared(), clock);
        let error = log.write_to(&Faults::File("/nonexistent/choices.json".into())).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/choices.json"), "{error}");
        assert!(log.write_to(&Faults::Off).is_ok());
    }
}
