//! Route (RFC 3261 §20.34, §16.4): the value that names us, and what to delete when it is used up.

use std::ops::Range;

use super::address::{self, Address, BadAddress};
use crate::message::{Message, Name};

/// The topmost Route value. `None` when there is no Route at all.
pub fn top<'a>(message: &Message<'a>) -> Option<Result<Address<'a>, BadAddress>> {
    message.first_value(Name::Route).map(address::first)
}

/// All Route values from the topmost down, across fields.
pub fn all<'a>(message: &Message<'a>) -> impl Iterator<Item = Result<Address<'a>, BadAddress>> + use<'a> {
    let message = *message;
    message.all(Name::Route).flat_map(move |header| address::values(message.value(header)))
}

/// What to delete so that the Route value `value`, topmost in its field, is gone: the value with its comma, or the
/// whole field when it is the only one there. To pop the two entries of a double Record-Route, see [`pop_two`].
pub fn pop(message: &Message<'_>, value: &Address<'_>) -> Option<Range<u32>> {
    let place = message.range_of(value.bytes);
    let header =
        message.all(Name::Route).find(|header| header.start < place.start && place.end <= header.end)?;
    Some(super::pop_range(message, header, value.bytes))
}

/// What to delete so that the two topmost Route values are gone, in the order of their places: one range when both are in one
/// field, two when each is first in its own.
pub fn pop_two(message: &Message<'_>) -> Option<(Range<u32>, Option<Range<u32>>)> {
    let mut values = all(message);
    let (first, second) = (values.next()?.ok()?, values.next()?.ok()?);
    let (upper, lower) = (pop(message, &first)?, pop(message, &second)?);
    let header = message.first(Name::Route)?;
    if message.range_of(second.bytes).end <= header.end {
        // Both in the first field: when nothing is left of it, all of it goes.
        let start = if lower.end == header.end { header.start } else { header.value_start };
        return Some((start..lower.end, None));
    }
    Some((upper, Some(lower)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits::Edits;
    use crate::message::Parser;

    fn request(routes: &str) -> String {
        format!("BYE sip:a@b SIP/2.0\r\n{routes}Call-ID: 1\r\n\r\n")
    }

    fn check(given: &str, popped: &str, popped_twice: Option<&str>) {
        let (bytes, mut parser, mut edits, mut out) =
            (request(given), Parser::new(), Edits::new(), Vec::new());
        let message = parser.parse(bytes.as_bytes()).unwrap();
        let value = top(&message).unwrap().unwrap();
        edits.delete(pop(&message, &value).unwrap());
        edits.write_into(message.bytes(), message.end(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), request(popped));

        let twice = pop_two(&message).map(|(first, second)| {
            edits.clear();
            out.clear();
            edits.delete(first);
            if let Some(second) = second {
                edits.delete(second);
            }
            edits.write_into(message.bytes(), message.end(), &mut out);
            String::from_utf8_lossy(&out).into_owned()
        });
        assert_eq!(twice, popped_twice.map(request));
    }

    #[test]
    fn popped() {
        check("Route: <sip:a;lr>\r\n", "", None);
        check("Route: <sip:a;lr>, <sip:b;lr>\r\n", "Route: <sip:b;lr>\r\n", Some(""));
        check("Route: <sip:a;lr>\r\nRoute: <sip:b;lr>\r\n", "Route: <sip:b;lr>\r\n", Some(""));
        check("Route: <sip:a>,<sip:b>,<sip:c>\r\n", "Route: <sip:b>,<sip:c>\r\n", Some("Route: <sip:c>\r\n"));
        check(
            "Route: <sip:a>\r\nX: y\r\nRoute: <sip:b>,\r\n\t<sip:c>\r\n",
            "X: y\r\nRoute: <sip:b>,\r\n\t<sip:c>\r\n",
            Some("X: y\r\nRoute: <sip:c>\r\n"),
        );
        check(
            "Route: \"a,b\" <sip:a>;x=\",\" ,  <sip:b>\r\nRoute: <sip:c>\r\n",
            "Route: <sip:b>\r\nRoute: <sip:c>\r\n",
            Some("Route: <sip:c>\r\n"),
        );
    }
}
