//! The excuses that a run's faults give: checkers ask here before they report a violation, so that each excuse is written once.

use std::collections::BTreeSet;

use base::{Duration, Time};

use crate::callers::{Caller, Outcome};
use crate::farm::Farm;
use crate::fate::Fate;
use crate::fault::What;
use crate::kinds::Kind;
use crate::node::Id;

/// A caller acknowledges a final answer within this time after it came.
const ON_THE_WAY: Duration = Duration::from_millis(500);
/// A CANCEL is repeated this long: timer F (RFC 3261 §17.1.2.2).
const CANCEL_TIME: Duration = Duration::from_secs(32);
/// A refusal whose ACK was lost is repeated this long: timer H (RFC 3261 §17.2.1).
const REFUSED_TIME: Duration = Duration::from_secs(32);

impl Farm {
    /// A server was lost or cut off, or so many datagrams in a row were lost that it seemed to be.
    pub fn lost_one(&self) -> bool {
        self.loses_a_server() || self.managers.iter().any(|manager| manager.taken_over > 0)
    }

    /// Call-IDs of calls that chance alone made fail. A load manager that was gone does not know its calls afterwards, and
    /// records no take-over of them, so there a server may have seemed to be lost, too.
    pub fn unlucky(&self) -> BTreeSet<&str> {
        self.losses.unlucky(self.lost_one() || self.disturbances().next().is_some())
    }

    /// The scenario contains the loss of a server.
    pub fn loses_a_server(&self) -> bool {
        self.scenario.faults.iter().any(|fault| match fault.what {
            What::Server { fate, .. } => matches!(fate, Fate::Dead | Fate::Hung),
            What::Cut { from, to, .. } => matches!(from, Id::Server(_)) || matches!(to, Id::Server(_)),
            _ => false,
        })
    }

    /// The call was being set up while its load manager was gone or lost its address: held set-ups are gone, and nobody knows
    /// which server a CANCEL is for. Answered calls must go on.
    pub fn was_disturbed(&self, caller: &Caller) -> bool {
        if self.scenario.kind == Kind::Everything {
            return true;
        }
        let offset = self.scenario.clocks.offset(Id::Caller(caller.number));
        let began = caller.plan.starts - offset;
        let settled = caller.settled.map(|at| at - offset);
        let unacknowledged = match caller.outcome {
            Outcome::Refused(_) => REFUSED_TIME,
            // Its CANCEL crossed the answer, and is repeated until its own answer comes.
            _ if caller.has_cancelled() => CANCEL_TIME,
            _ => ON_THE_WAY,
        };
        self.disturbances()
            .any(|(from, to)| began <= to && settled.is_none_or(|settled| settled + unacknowledged >= from))
    }

    /// Periods in which load managers were gone or had lost their address.
    pub fn disturbances(&self) -> impl Iterator<Item = (Time, Time)> {
        let faults = &self.scenario.faults;
        faults.iter().enumerate().filter_map(|(at, fault)| match fault.what {
            What::ManagerDies(_) | What::AddressMoves { .. } => {
                let ends = |what: &What| matches!(what, What::ManagerStarts(_) | What::AddressMoves { .. });
                let end = faults[at + 1..].iter().find(|later| ends(&later.what));
                Some((fault.at, end.map_or(fault.at, |later| later.at)))
            }
            _ => None,
        })
    }
}
