//! Which dialog of a call a request is of (RFC 3261 §12.2.2): Call-ID and both tags must be those of a leg.

use sip::headers::address;
use sip::{Message, Name};

use super::Look;
use crate::names::{Leg as LegNumber, Tag};
use crate::record::{Leg, LegState, Record};
use crate::text::Written;

/// The leg that a request came on, and the one that it passes to. `None`: the request is of no dialog of this call.
pub(super) fn of<'r>(
    look: &Look<'_>,
    record: &'r Record,
    request: &Message<'_>,
) -> Option<(&'r Leg, &'r Leg)> {
    let call_id = request.first_value(Name::CallId)?;
    let tag_of = |name| address::tag(request.first_value(name)?).ok()?;
    let (to, from) = (tag_of(Name::To)?, tag_of(Name::From).unwrap_or_default());
    let tag = Tag::read(&look.settings.secret, to, call_id)?;
    let is_asked = |leg: &&Leg| {
        leg.origin() == tag.leg && *leg.call_id == *call_id && leg.remote_tag.eq_ignore_ascii_case(from)
    };
    let asked = record.legs.iter().find(is_asked).filter(|_| tag.is_of(record.birth))?;
    Some((asked, other_side(record, asked.number)?))
}

/// A request of our own to one side of a call that is up. Its number is above all that may have passed from the other side without
/// a trace in the record. The other side may be gone already: of a callee no number is kept.
pub(super) fn own(look: &Look<'_>, record: &Record, leg: &Leg, method: &'static str) -> Option<Written> {
    let other = record.legs.iter().find(|other| (other.number == 0) != (leg.number == 0));
    let sequence = leg.offset.after_own().out(other.map_or(0, |other| other.remote_sequence))?;
    look.text(record).own(leg, method, sequence)
}

/// The other side of a leg.
fn other_side(record: &Record, number: LegNumber) -> Option<&Leg> {
    match number {
        0 => {
            let callees = record.legs.iter().skip(1);
            callees.clone().find(|leg| leg.state == LegState::Confirmed).or(callees.last())
        }
        _ => record.legs.first(),
    }
}
