//! The unix socket of a running load manager, engine or state tier. A client sends one line and gets one JSON document; then the connection is
//! closed. The line names a verb of [`crate::ctl`] and its arguments. The socket serves one connection at a time, each for
//! at most a second, so a client can only delay other clients.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ctl::asked::Asked;
use crate::ctl::{Answer, Outcome, RefusalKind, Refused};
use crate::lb::hand_over::{Given, Giving};
use crate::report::role::Report;
use crate::report::status::StatusReport;
use crate::report::why::WhyReport;

/// Longer than any request.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Far larger than the report of the largest farm; a client reads no more.
const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// What a process asks that wants to take the place of the one that answers; see [`crate::lb::hand_over`].
pub(crate) const TAKE_OVER: &str = "take-over";

/// Serves until it is dropped; then the socket file is removed.
pub(crate) struct ControlSocket {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlSocket {
    /// Fails if another process serves this path. Replaces the socket file that a dead process left behind.
    pub(crate) fn serve(path: &Path, asked: Arc<dyn Asked>) -> io::Result<ControlSocket> {
        ControlSocket::serve_at(os::unix::listen(path)?, path, asked)
    }

    /// The same at a socket that is there already.
    pub(crate) fn serve_at(
        listener: UnixListener,
        path: &Path,
        asked: Arc<dyn Asked>,
    ) -> io::Result<ControlSocket> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("control-socket".into()).spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A client that hangs up or never asks harms nobody else.
                if let Ok(Some(given)) = answer(stream, &*asked) {
                    drop(listener);
                    given.end();
                }
            }
        })?;
        Ok(ControlSocket { path: path.to_owned(), stop, thread: Some(thread) })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // A connection wakes the thread from its accept.
        let woken = UnixStream::connect(&self.path).is_ok();
        let _ = std::fs::remove_file(&self.path);
        if let (true, Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Why a process cannot open its control socket, and the remedy.
pub(crate) fn explained(path: &Path, error: &io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop the other process, or choose another path for this one: control.path (--control)"
        }
        io::ErrorKind::AlreadyExists => "choose another path, control.path (--control), or remove that file",
        io::ErrorKind::NotFound => "make the folder, or choose another path: control.path (--control)",
        _ => "choose a path that this user may write to, at most 107 bytes long: control.path (--control)",
    };
    io::Error::new(error.kind(), format!("control socket {}: {error}\n  remedy: {remedy}", path.display()))
}

/// One line to the load manager.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    verb: String,
    #[serde(default)]
    arguments: Map<String, Value>,
}

/// One line back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Done(Answer),
    Refused(Refused),
}

/// `Some`: another process has taken the place of this one.
fn answer(stream: UnixStream, asked: &dyn Asked) -> io::Result<Option<Given>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = String::new();
    BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut request)?;
    let wants_all = |request: Request| request.verb == TAKE_OVER;
    if let Some(giving) = asked.giving()
        && serde_json::from_str(&request).is_ok_and(wants_all)
    {
        return give(stream, giving);
    }
    (&stream).write_all(&reply(&request, |verb, arguments| asked.ask(verb, arguments))?)?;
    Ok(None)
}

/// Offers the place of this process to another one.
fn give(stream: UnixStream, giving: &Giving) -> io::Result<Option<Given>> {
    let offer = giving.offer();
    let outcome = match offer {
        Some(document) => Reply::Done(Answer { text: String::new(), document }),
        None => {
            let remedy = "wait until it has started, or until it has ended, and start the other one then";
            Reply::Refused(Refused::new(RefusalKind::Busy, "the load manager is starting or ending", remedy))
        }
    };
    let mut document = serde_json::to_vec(&outcome)?;
    document.push(b'\n');
    (&stream).write_all(&document)?;
    Ok(match outcome {
        Reply::Done(_) => giving.give(stream),
        Reply::Refused(_) => None,
    })
}

/// The line back to a line; `ask` has the verb carried out.
pub(super) fn reply(
    request: &str,
    ask: impl FnOnce(&str, Map<String, Value>) -> Outcome,
) -> serde_json::Result<Vec<u8>> {
    let outcome = match serde_json::from_str::<Request>(request) {
        Ok(request) => ask(&request.verb, request.arguments),
        Err(error) => {
            let remedy = "write {\"verb\": \"status\", \"arguments\": {}} on one line";
            Err(Refused::bad(format!("the request is not such a JSON object: {error}"), remedy))
        }
    };
    let mut document = serde_json::to_vec(&match outcome {
        Ok(answer) => Reply::Done(answer),
        Err(refused) => Reply::Refused(refused),
    })?;
    document.push(b'\n');
    Ok(document)
}

/// Asks a running load manager. The outer error: no load manager answered.
pub(crate) fn ask_verb(path: &Path, verb: &str, arguments: Map<String, Value>) -> io::Result<Outcome> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(10 * PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = serde_json::to_vec(&Request { verb: verb.into(), arguments })?;
    request.push(b'\n');
    stream.write_all(&request)?;
    let mut document = Vec::new();
    stream.take(REPORT_BYTES_MAX).read_to_end(&mut document)?;
    Ok(match serde_json::from_slice(&document)? {
        Reply::Done(answer) => Ok(answer),
        Reply::Refused(refused) => Err(refused),
    })
}

/// The same, and the connection stays: for a process that wants to take the place of the one that answers.
pub(crate) fn ask_and_stay(path: &Path, verb: &str) -> io::Result<(UnixStream, Outcome)> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(10 * PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = serde_json::to_vec(&Request { verb: verb.into(), arguments: Map::new() })?;
    request.push(b'\n');
    (&stream).write_all(&request)?;
    let (mut line, mut byte) = (Vec::new(), [0]);
    // Byte by byte: what follows the line is for somebody else.
    while byte != *b"\n" && (line.len() as u64) < REQUEST_BYTES_MAX {
        (&stream).read_exact(&mut byte)?;
        line.extend(byte);
    }
    let outcome = match serde_json::from_slice(&line)? {
        Reply::Done(answer) => Ok(answer),
        Reply::Refused(refused) => Err(refused),
    };
    Ok((stream, outcome))
}

/// The status report of any part of a farm.
pub(crate) fn ask_report(path: &Path) -> io::Result<Report> {
    let answer = ask_verb(path, "status", Map::new())?.map_err(|refused| io::Error::other(refused.what))?;
    Ok(serde_json::from_value(answer.document)?)
}

/// The status report of a running load manager.
pub(crate) fn ask(path: &Path) -> io::Result<StatusReport> {
    match ask_report(path)? {
        Report::Lb(report) => Ok(*report),
        Report::Engine(_) | Report::State(_) => {
            Err(io::Error::other("this is the control socket of another part of the farm"))
        }
    }
}

/// Why a call went to its server.
pub(crate) fn ask_why(path: &Path, call_id: &str) -> io::Result<WhyReport> {
    ask_document(path, "why", "call-id", call_id.into())
}

/// The newest choices.
pub(crate) fn ask_choices(path: &Path, count: usize) -> io::Result<WhyReport> {
    ask_document(path, "choices", "last", count.into())
}

fn ask_document<T: serde::de::DeserializeOwned>(
    path: &Path,
    verb: &str,
    name: &str,
    value: Value,
) -> io::Result<T> {
    let answer = ask_verb(path, verb, Map::from_iter([(name.to_owned(), value)]))?
        .map_err(|refused| io::Error::other(refused.what))?;
    Ok(serde_json::from_value(answer.document)?)
}

/// The remedy if no load manager answered.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "is it running here? If it has another control socket, give its path by --control"
        }
        io::ErrorKind::PermissionDenied => "run this as the user of the process that has the socket",
        _ => "check that this is a control socket of a strowger of the same version",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::ctl::testing::Owner;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("strowger-control-{}-{name}.sock", std::process::id()))
    }

    #[test]
    fn a_report_arrives_whole_and_the_socket_goes_with_its_owner() {
        let path = temporary("whole");
        let owner = Owner::of_two();
        let socket = ControlSocket::serve(&path, Arc::new(owner.desk.clone())).unwrap();
        assert_eq!(ask(&path).unwrap().servers.len(), 2);
        assert_eq!(ask(&path).unwrap().listeners, ["udp:127.0.0.1:5060"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_second_owner_is_refused_and_a_dead_one_replaced() {
        let path = temporary("second");
        let owner = Owner::of_two();
        let socket = ControlSocket::serve(&path, Arc::new(owner.desk.clone())).unwrap();
        let refused = ControlSocket::serve(&path, Arc::new(owner.desk.clone())).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind");
        let socket = ControlSocket::serve(&path, Arc::new(owner.desk.clone())).unwrap();
        assert_eq!(ask(&path).unwrap().servers.len(), 2);
        drop(socket);
    }

    #[test]
    fn a_file_in_the_way_is_not_removed() {
        let path = temporary("file");
        std::fs::write(&path, "precious").unwrap();
        assert!(ControlSocket::serve(&path, Arc::new(Owner::of_two().desk.clone())).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_unknown_or_endless_request_gets_an_error_and_hurts_nobody() {
        let path = temporary("unknown");
        let owner = Owner::of_two();
        let socket = ControlSocket::serve(&path, Arc::new(owner.desk.clone())).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        // The server stops reading at its limit. The refused rest does not matter.
        let _ = stream.write_all(&[b'x'; 200_000]);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(ask(&path).unwrap().servers.len(), 2);
        drop(socket);
    }
}
