//! The short form of a performance server: agents on one command line, through the same readers and checks as a file.

use crate::checks::perf::{Perf, perf};
use crate::forms::options::{Given, place, set};
use crate::language::problem::{Problems, Source};
use crate::language::section::Section;
use crate::sections::measured::MeasureSection;
use crate::sections::roles::Raw;

/// The options on the command line, as text: [`perf_form`] reads and checks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerfForm {
    pub agent: Vec<String>,
    /// Options out of [`crate::PERF_OPTIONS`].
    pub options: Given,
}

/// Checks the short form.
pub fn perf_form(given: &PerfForm) -> Result<Perf, Problems> {
    let mut problems = Problems::new(Source::default());
    let mut raw = Raw::defaults();
    for text in &given.agent {
        let place = place("agent", text);
        match MeasureSection::of(&[("by", "agent"), ("address", text)], &place) {
            Ok(section) => raw.measure.push(section),
            Err((what, remedy)) => problems.error(&place, what, remedy),
        }
    }
    set(&mut raw, &given.options, &mut problems);
    if problems.has_errors() {
        return Err(problems);
    }
    perf(&raw, problems)
}
