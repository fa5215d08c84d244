//! The writer of fault records: a bounded queue and one thread.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::fault::Fault;

/// Records that may wait for the writer: a second of a bad day. Further records are counted and dropped.
const WAITING_MAX: usize = 4096;
/// Records written in one write.
const BATCH_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Off,
    Stderr,
    /// Lines are appended to this file. It is opened anew for each batch, so that a file that was moved away is begun again.
    File(PathBuf),
}

/// Takes fault records from any thread, and never makes a thread wait. Dropping the last one writes the waiting records.
#[derive(Clone)]
pub struct FaultLog {
    shared: Arc<Shared>,
    sender: SyncSender<Fault>,
    // After the sender: the writer ends when the last sender is gone, and is then waited for.
    _writer: Arc<Writer>,
}

#[derive(Default)]
struct Shared {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

struct Writer(Option<JoinHandle<()>>);

impl FaultLog {
    /// Fails if the file cannot be opened now; a later failure is counted.
    pub fn start(output: Output) -> std::io::Result<FaultLog> {
        if let Output::File(path) = &output {
            open(path)
                .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        }
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let counters = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("faults".into())
            .spawn(move || write_all(&output, &receiver, &counters))?;
        Ok(FaultLog { shared, sender, _writer: Arc::new(Writer(Some(thread))) })
    }

    pub fn record(&self, fault: Fault) {
        match self.sender.try_send(fault) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Records that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Records that could not be written: the disk is full, or the file is gone.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

fn open(path: &Path) -> std::io::Result<std::fs::File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write_all(output: &Output, receiver: &Receiver<Fault>, counters: &Shared) {
    let mut text = String::new();
    while let Ok(first) = receiver.recv() {
        text.clear();
        let mut count = 0;
        for fault in std::iter::once(first).chain(receiver.try_iter()).take(BATCH_MAX) {
            fault.write_line(&mut text);
            count += 1;
        }
        let result = match output {
            Output::Off => Ok(()),
            Output::Stderr => std::io::stderr().lock().write_all(text.as_bytes()),
            Output::File(path) => open(path).and_then(|mut file| file.write_all(text.as_bytes())),
        };
        let counter = if result.is_ok() { &counters.written } else { &counters.failed };
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn fault(number: u32) -> Fault {
        Fault {
            time: UNIX_EPOCH,
            call_id: number.to_string().into_bytes().into(),
            method: (*b"BYE").into(),
            client: "127.0.0.1:5062".parse().unwrap(),
            from: None,
            to: "127.0.0.1:7001".parse().unwrap(),
            why: "server failed",
        }
    }

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("strowger-fcaps-{}-{name}", std::process::id()))
    }

    #[test]
    fn what_is_recorded_is_in_the_file_when_the_log_is_gone() {
        let path = temporary("file");
        let log = FaultLog::start(Output::File(path.clone())).unwrap();
        for number in 0..1000 {
            log.record(fault(number));
        }
        assert_eq!(log.dropped(), 0);
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 1000);
        assert!(text.lines().nth(999).unwrap().contains("\"call_id\":\"999\""));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_told_at_start() {
        let error = FaultLog::start(Output::File("/nonexistent/faults".into())).err().unwrap();
        assert!(error.to_string().contains("/nonexistent/faults"), "{error}");
    }

    #[test]
    fn overflow_is_counted_and_does_not_wait() {
        // A pipe that nobody reads: the writer stands still after its first 64 KiB.
        let path = temporary("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // Held open for reading and writing, so that opening it does not wait either.
        let held = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let log = FaultLog::start(Output::File(path.clone())).unwrap();
        for number in 0..3 * WAITING_MAX as u32 {
            log.record(fault(number));
        }
        assert!(log.dropped() > 0);
        // Reads what the writer still has, so that it can end.
        let drain = std::thread::spawn(move || {
            let mut held = held;
            let mut buffer = [0; 65536];
            while std::io::Read::read(&mut held, &mut buffer).unwrap() > 0 {
                if String::from_utf8_lossy(&buffer).contains("\"call_id\":\"end\"") {
                    return;
                }
            }
        });
        let last = Fault { call_id: (*b"end").into(), ..fault(0) };
        // The queue drains now: the mark finds room within a bounded number of tries.
        for _ in 0..1000 {
            let before = log.dropped();
            log.record(last.clone());
            if log.dropped() == before {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        drop(log);
        drain.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
