//! The unix socket of a running load manager: one request line in, one JSON document out, then the connection is closed.
//! One connection is served at a time, each within a second, so that no client can hold anything up but other clients.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::status_report::StatusReport;
use crate::why_report::WhyReport;

/// The request that asks for a [`StatusReport`].
const STATUS: &str = "status";
/// `why CALL-ID` asks for the [`WhyReport`] of a call, `choices N` for the newest.
const WHY: &str = "why";
const CHOICES: &str = "choices";
/// Longer than any request: Call-IDs of more than a kilobyte are not found.
const REQUEST_BYTES_MAX: u64 = 1024;
/// Far above a report of the largest farm; what a client reads at most.
const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// What answers the requests.
pub(crate) trait Source {
    fn status(&self) -> StatusReport;
    fn why(&self, call_id: &str) -> WhyReport;
    fn choices(&self, count: usize) -> WhyReport;
}

/// Serves until it is dropped; then the socket is removed.
pub(crate) struct ControlSocket {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlSocket {
    /// Fails when another process serves this path. A socket that a dead one left behind is replaced.
    pub(crate) fn serve(path: &Path, source: impl Source + Send + 'static) -> io::Result<ControlSocket> {
        remove_if_stale(path)?;
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("control-socket".into()).spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A client that hangs up or never asks is its own affair.
                let _ = answer(stream, &source);
            }
        })?;
        Ok(ControlSocket { path: path.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread from its accept.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = std::fs::remove_file(&self.path);
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file of that name which is no socket",
        )),
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another load manager serves it")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            Err(error) => Err(error),
        },
    }
}

fn answer(stream: UnixStream, source: &impl Source) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut request)?;
    let (word, rest) = request.trim().split_once(' ').unwrap_or((request.trim(), ""));
    let mut document = match (word, rest.parse()) {
        (STATUS, _) => serde_json::to_vec(&source.status())?,
        (WHY, _) => serde_json::to_vec(&source.why(rest))?,
        (CHOICES, Ok(count)) => serde_json::to_vec(&source.choices(count))?,
        _ => {
            let known = "unknown request; known are: status, why CALL-ID, choices N";
            serde_json::to_vec(&serde_json::json!({ "error": known }))?
        }
    };
    document.push(b'\n');
    (&stream).write_all(&document)
}

/// Asks a running load manager how it is.
pub(crate) fn ask(path: &Path) -> io::Result<StatusReport> {
    request(path, STATUS)
}

/// Asks it why this call went where it went.
pub(crate) fn ask_why(path: &Path, call_id: &str) -> io::Result<WhyReport> {
    request(path, &format!("{WHY} {call_id}"))
}

/// Asks it for its newest choices.
pub(crate) fn ask_choices(path: &Path, count: usize) -> io::Result<WhyReport> {
    request(path, &format!("{CHOICES} {count}"))
}

fn request<T: serde::de::DeserializeOwned>(path: &Path, request: &str) -> io::Result<T> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(5 * PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut document = Vec::new();
    stream.take(REPORT_BYTES_MAX).read_to_end(&mut document)?;
    serde_json::from_slice(&document).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why_report::ChoiceReport;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("strowger-control-{}-{name}.sock", std::process::id()))
    }

    fn report() -> StatusReport {
        StatusReport { version: "1".into(), epoch: 7, ..StatusReport::default() }
    }

    struct Some7;

    impl Source for Some7 {
        fn status(&self) -> StatusReport {
            report()
        }

        fn why(&self, call_id: &str) -> WhyReport {
            let choice = ChoiceReport { call_id: call_id.into(), ..ChoiceReport::default() };
            WhyReport { choices: vec![choice], kept: true }
        }

        fn choices(&self, count: usize) -> WhyReport {
            WhyReport { choices: vec![ChoiceReport::default(); count], kept: true }
        }
    }

    #[test]
    fn a_question_about_a_call_arrives_whole() {
        let path = temporary("why");
        let socket = ControlSocket::serve(&path, Some7).unwrap();
        assert_eq!(ask_why(&path, "a call@host").unwrap().choices[0].call_id, "a call@host");
        assert_eq!(ask_choices(&path, 3).unwrap().choices.len(), 3);
        drop(socket);
    }

    #[test]
    fn a_report_arrives_whole_and_the_socket_goes_with_its_owner() {
        let path = temporary("whole");
        let socket = ControlSocket::serve(&path, Some7).unwrap();
        assert_eq!(ask(&path).unwrap(), report());
        assert_eq!(ask(&path).unwrap(), report());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_owner_is_refused_and_a_dead_one_replaced() {
        let path = temporary("second");
        let socket = ControlSocket::serve(&path, Some7).unwrap();
        let refused = ControlSocket::serve(&path, Some7).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let socket = ControlSocket::serve(&path, Some7).unwrap();
        assert_eq!(ask(&path).unwrap().epoch, 7);
        drop(socket);
    }

    #[test]
    fn a_file_in_the_way_is_not_removed() {
        let path = temporary("file");
        std::fs::write(&path, "precious").unwrap();
        assert!(ControlSocket::serve(&path, Some7).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_unknown_or_endless_request_gets_an_error_and_hurts_nobody() {
        let path = temporary("unknown");
        let socket = ControlSocket::serve(&path, Some7).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        // The server stops reading at its limit; what it then refuses is no matter.
        let _ = stream.write_all(&[b'x'; 4096]);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(ask(&path).unwrap().epoch, 7);
        drop(socket);
    }
}
