//! The short form: a whole load manager on one command line. It goes through the same readers and checks as a file.

use std::path::{Path, PathBuf};

use crate::checks::lb::{Checked, check};
use crate::checks::tls::{Tls, needs_of_tls, tls};
use crate::language::problem::{Problems, Source, SourcePosition};
use crate::language::section::Field;
use crate::language::value::{Bounds, Value};
use crate::sections::definition::{Listen, Raw, Server};

/// What was given on the command line, as text: [`short_form`] reads and checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortForm {
    pub listen: Vec<String>,
    pub server: Vec<String>,
    pub affinity: Option<String>,
    pub selection: Option<String>,
    pub hash: Option<String>,
    pub hold_setup: Option<String>,
    pub register: Option<String>,
    pub health: Option<String>,
    pub heartbeat: Option<String>,
    pub threads: Option<String>,
    pub workers: Option<String>,
    pub control: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_ca: Option<PathBuf>,
    /// As in [`crate::load_to_start`].
    pub to_start: bool,
}

/// Checks the short form.
pub fn short_form(given: &ShortForm) -> Result<Checked, Problems> {
    let mut problems = Problems::new(Source::default());
    problems.starting = given.to_start;
    let mut raw = Raw::defaults();
    add_listeners(&mut raw, &given.listen, &mut problems);
    for text in &given.server {
        if let Some(address) = read("--server", text, None, &mut problems) {
            let weight = Field { value: 1, place: SourcePosition::Unwritten };
            raw.server.push(Server {
                address,
                weight,
                http: Field { value: None, place: SourcePosition::Unwritten },
            });
        }
    }
    set(&mut raw.affinity.kind, "--affinity", &given.affinity, &mut problems);
    set(&mut raw.affinity.hash, "--hash", &given.hash, &mut problems);
    set(&mut raw.selection.kind, "--selection", &given.selection, &mut problems);
    set(&mut raw.hold_setup.kind, "--hold-setup", &given.hold_setup, &mut problems);
    set(&mut raw.register.to, "--register", &given.register, &mut problems);
    set(&mut raw.health.probe, "--health", &given.health, &mut problems);
    set(&mut raw.heartbeat.listen, "--heartbeat", &given.heartbeat, &mut problems);
    set(&mut raw.threads.model, "--threads", &given.threads, &mut problems);
    if let Some(text) = &given.workers
        && let Some(workers) = read("--workers", text, Some((0, 64)), &mut problems)
    {
        raw.threads.workers = workers;
    }
    raw.control.path.value.clone_from(&given.control);
    if let Some(path) = &given.key_file {
        let place = SourcePosition::Option(format!("--key-file {}", path.display()));
        raw.keys.file = Field { value: Some(path.clone()), place };
    }
    let tls = &mut raw.tls;
    set_file(&mut tls.certificate, "--certificate", given.certificate.as_deref());
    set_file(&mut tls.key, "--key", given.key.as_deref());
    set_file(&mut tls.server_ca, "--server-ca", given.server_ca.as_deref());
    // A value that could not be read is missing below. Errors about the missing value would only confuse.
    if problems.has_errors() {
        return Err(problems);
    }
    check(&raw, problems)
}

/// The certificate that a server configured by options alone shows on its `tls:` listeners, read and checked as for a load
/// manager; and the warnings. `None`: no certificate is named, and no listener needs one.
pub fn server_tls(
    listen: &[String],
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<(Option<Tls>, Problems), Problems> {
    let mut problems = Problems::new(Source::default());
    let mut raw = Raw::defaults();
    add_listeners(&mut raw, listen, &mut problems);
    set_file(&mut raw.tls.certificate, "--certificate", certificate);
    set_file(&mut raw.tls.key, "--key", key);
    let shown = tls(&raw, &mut problems);
    needs_of_tls(&raw, shown.as_ref(), &mut problems);
    if problems.has_errors() { Err(problems) } else { Ok((shown, problems)) }
}

fn add_listeners(raw: &mut Raw, texts: &[String], problems: &mut Problems) {
    for text in texts {
        if let Some(address) = read("--listen", text, None, problems) {
            raw.listen.push(Listen {
                address,
                advertise: unwritten(),
                names: unwritten(),
                certificate: unwritten(),
                key: unwritten(),
                client_certificate: unwritten(),
                client_ca: unwritten(),
            });
        }
    }
}

fn set_file(field: &mut Field<Option<PathBuf>>, option: &str, path: Option<&Path>) {
    if let Some(path) = path {
        let place = SourcePosition::Option(format!("{option} {}", path.display()));
        *field = Field { value: Some(path.to_owned()), place };
    }
}

fn unwritten<T: Default>() -> Field<T> {
    Field { value: T::default(), place: SourcePosition::Unwritten }
}

pub(crate) fn set<T: Value>(
    field: &mut Field<T>,
    option: &str,
    text: &Option<String>,
    problems: &mut Problems,
) {
    set_within(field, option, text, None, problems);
}

/// The same for a number with a range.
pub(crate) fn set_within<T: Value>(
    field: &mut Field<T>,
    option: &str,
    text: &Option<String>,
    bounds: Bounds,
    problems: &mut Problems,
) {
    if let Some(text) = text
        && let Some(read) = read(option, text, bounds, problems)
    {
        *field = read;
    }
}

pub(crate) fn read<T: Value>(
    option: &str,
    text: &str,
    bounds: Bounds,
    problems: &mut Problems,
) -> Option<Field<T>> {
    let place = SourcePosition::Option(format!("{option} {text}"));
    match T::from_text(text, bounds) {
        Ok(value) => Some(Field { value, place }),
        Err((what, remedy)) => {
            problems.error(&place, what, remedy);
            None
        }
    }
}
