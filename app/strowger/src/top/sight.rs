//! One look at all parts that were named: the load manager, and what stands behind it.

use std::io;
use std::path::PathBuf;

use crate::ctl::socket;
use crate::report::farm::name_of;
use crate::report::role::Report;
use crate::report::status::StatusReport;

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) lb: Option<StatusReport>,
    /// Engines and processes of the state tier, by their names. `None`: it does not answer.
    pub(super) parts: Vec<(String, Option<Report>)>,
}

impl Sight {
    /// An error if nobody answers.
    pub(super) fn take(sockets: &[PathBuf]) -> io::Result<Sight> {
        let (mut sight, mut error, mut answered) = (Sight::default(), None, false);
        for path in sockets {
            let report = socket::ask_report(path);
            answered |= report.is_ok();
            let name = name_of(&path.to_string_lossy(), report.as_ref().ok());
            match report {
                Ok(Report::Lb(report)) => sight.lb = Some(*report),
                Ok(report) => sight.parts.push((name, Some(report))),
                Err(why) => {
                    sight.parts.push((name, None));
                    error.get_or_insert(why);
                }
            }
        }
        match error {
            Some(error) if !answered => Err(error),
            _ => Ok(sight),
        }
    }
}
