//! The short form of a performance server: agents on one command line, through the same readers and checks as a file.

use std::net::SocketAddr;
use std::path::PathBuf;

use heartbeat::measure::By;

use crate::checks::perf::{Perf, perf};
use crate::forms::short::{read, set, set_within};
use crate::language::problem::{Problems, Source, SourcePosition};
use crate::language::section::Field;
use crate::sections::definition::{MeasureSection, Raw};

/// What was given on the command line, as text: [`perf_form`] reads and checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerfForm {
    pub agent: Vec<String>,
    pub listen: Option<String>,
    pub poll_ms: Option<String>,
    pub answer_within_ms: Option<String>,
    pub key_file: Option<PathBuf>,
}

/// Checks the short form.
pub fn perf_form(given: &PerfForm) -> Result<Perf, Problems> {
    let mut problems = Problems::new(Source::default());
    let mut raw = Raw::defaults();
    for text in &given.agent {
        if let Some(address) = read::<SocketAddr>("--agent", text, None, &mut problems) {
            let by = Field { value: By::Agent, place: SourcePosition::Unwritten };
            let server = Field { value: None, place: SourcePosition::Unwritten };
            raw.measure.push(MeasureSection { by, address, server });
        }
    }
    set(&mut raw.perf.listen, "--listen", &given.listen, &mut problems);
    set_within(&mut raw.perf.poll_ms, "--poll-ms", &given.poll_ms, Some((50, 60_000)), &mut problems);
    let within = &mut raw.perf.answer_within_ms;
    set_within(within, "--answer-within-ms", &given.answer_within_ms, Some((10, 60_000)), &mut problems);
    if let Some(path) = &given.key_file {
        let place = SourcePosition::Option(format!("--key-file {}", path.display()));
        raw.keys.file = Field { value: Some(path.clone()), place };
    }
    if problems.has_errors() {
        return Err(problems);
    }
    perf(&raw, problems)
}
