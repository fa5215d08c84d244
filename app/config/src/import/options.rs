//! What an operator says about a file that is imported, because the file itself does not.

use crate::import::remark::Remarks;
use crate::language::value::Endpoint;

/// See the head of this module.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The set (Kamailio, OpenSIPS: setid, group_id). `None`: the lowest; the others are written as comments.
    pub set: Option<i64>,
    /// The number of the algorithm in the script. `None`: guessed.
    pub algorithm: Option<u64>,
    /// OpenSIPS's load_balancer: the resource whose capacity limits the calls. `None`: the only one.
    pub resource: Option<String>,
    /// The listeners. None: the local addresses that the file names.
    pub listen: Vec<Endpoint>,
}

impl Options {
    /// The set that is written, of these.
    pub(super) fn set_of(&self, sets: impl Iterator<Item = i64>) -> Option<i64> {
        self.set.or(sets.min())
    }

    /// Where remarks on a destination of this set go. Nobody wants to know of a set that was not asked for.
    pub(super) fn told<'a>(
        &self,
        set: i64,
        remarks: &'a mut Remarks,
        unsaid: &'a mut Remarks,
    ) -> &'a mut Remarks {
        match self.set {
            Some(asked) if asked != set => unsaid,
            Some(_) | None => remarks,
        }
    }
}
