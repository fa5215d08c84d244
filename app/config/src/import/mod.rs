//! Configurations of other programs, read and written anew: what their destinations say becomes a configuration of the load
//! manager, and what cannot be carried over becomes a remark. Nothing is looked up and nothing is guessed in silence.

mod csv;
mod dbtext;
mod destination;
mod kamailio;
mod listeners;
mod opensips;
mod options;
mod remark;
mod row;
mod selection;
mod sql;
mod table;
mod write;

pub use options::Options;
pub use remark::Remark;

use crate::forms::file::parse;
use crate::language::value::Wrong;

/// The program that a file is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Kamailio,
    OpenSips,
}

/// A farm of another program.
#[derive(Clone, Debug)]
pub struct Imported {
    /// A configuration that passes all checks; `None`, and why, if there is none.
    pub text: Result<String, Wrong>,
    /// What was not carried over, in the order of the lines.
    pub remarks: Vec<Remark>,
}

/// Reads a file of another program.
pub fn import(program: Program, text: &str, options: &Options) -> Imported {
    let mut remarks = remark::Remarks::default();
    let read = match program {
        Program::Kamailio => kamailio::read(text, options, &mut remarks),
        Program::OpenSips => opensips::read(text, options, &mut remarks),
    };
    let written = read.and_then(|(all, selected)| write::write(&all, selected, options, &mut remarks));
    Imported { text: written.and_then(checked), remarks: remarks.in_order() }
}

/// The text, if it passes the checks: listeners that the operator names may be wrong.
fn checked(text: String) -> Result<String, Wrong> {
    match parse(&text) {
        Ok(_) => Ok(text),
        Err(problems) => {
            Err((format!("the configuration would not be good:\n{problems}"), "look at `--listen`".into()))
        }
    }
}
