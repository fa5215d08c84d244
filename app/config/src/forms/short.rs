//! The short form: a whole load manager on one command line. It goes through the same readers and checks as a file.

use std::path::Path;

use crate::checks::lb::{Checked, check};
use crate::checks::tls::{Tls, listeners_need_of_tls, tls};
use crate::forms::options::{Given, LB_OPTIONS, place, set};
use crate::language::problem::{Problems, Source};
use crate::language::section::Section;
use crate::sections::roles::Raw;

/// The options on the command line, as text: [`short_form`] reads and checks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShortForm {
    pub listen: Vec<String>,
    pub server: Vec<String>,
    /// Options out of [`LB_OPTIONS`].
    pub options: Given,
    /// As in [`crate::load_to_start`].
    pub to_start: bool,
}

impl ShortForm {
    /// The same with another option, given by its name.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> ShortForm {
        let option =
            LB_OPTIONS.iter().find(|option| option.name == name).expect("an option of the short form");
        self.options.push((*option, value.into()));
        self
    }
}

/// Checks the short form.
pub fn short_form(given: &ShortForm) -> Result<Checked, Problems> {
    let mut problems = Problems::new(Source::default());
    problems.starting = given.to_start;
    let mut raw = Raw::defaults();
    raw.listen = addressed("listen", &given.listen, &mut problems);
    raw.server = addressed("server", &given.server, &mut problems);
    set(&mut raw, &given.options, &mut problems);
    // A value that could not be read is missing below. Errors about the missing value would only confuse.
    if problems.has_errors() {
        return Err(problems);
    }
    check(raw, problems)
}

/// The certificate that a server configured by options alone shows on its `tls:` listeners, read and checked as for a load
/// manager; and the warnings. `None`: no certificate is named, and no listener needs one.
pub fn server_tls(
    listen: &[String],
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<(Option<Tls>, Problems), Problems> {
    let mut problems = Problems::new(Source::default());
    let mut raw = Raw { listen: addressed("listen", listen, &mut problems), ..Raw::defaults() };
    let files = [("certificate", certificate), ("key", key)];
    let given: Given = LB_OPTIONS
        .iter()
        .filter_map(|option| {
            let (_, path) = files.iter().find(|(name, _)| *name == option.name)?;
            Some((*option, path.as_ref()?.display().to_string()))
        })
        .collect();
    set(&mut raw, &given, &mut problems);
    let shown = tls(&raw.listen, &raw.tls, &[], &mut problems);
    listeners_need_of_tls(&raw.listen, &raw.tls, &mut problems);
    if problems.has_errors() { Err(problems) } else { Ok((shown, problems)) }
}

/// Sections whose address an option gives; their other keys stay at the defaults.
pub(crate) fn addressed<S: Section>(option: &str, texts: &[String], problems: &mut Problems) -> Vec<S> {
    let mut sections = Vec::new();
    for text in texts {
        let place = place(option, text);
        match S::of(&[("address", text)], &place) {
            Ok(section) => sections.push(section),
            Err((what, remedy)) => problems.error(&place, what, remedy),
        }
    }
    sections
}
