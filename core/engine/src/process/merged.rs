//! INVITEs that come on two ways (RFC 3261 §8.2.2.2): a caller whose INVITE was forked before us must not reach its callee twice.

use std::collections::HashMap;

use sip::headers::{address, cseq};
use sip::{Message, Name, Start};
use state::Key;

use super::call::Known;
use super::calls::Calls;
use super::spread::Spread;
use super::stand_in::is_in_progress;
use crate::secret::FarmSecret;

/// Names of calls that are gone leave when there are so many more names than calls.
const SLACK: usize = 1024;

/// The calls of one worker by what their INVITE has, whichever way it came.
#[derive(Debug)]
pub(super) struct Merged(HashMap<u128, Key, Spread>);

impl Merged {
    pub(super) fn new(spread: Spread) -> Merged {
        Merged(HashMap::with_hasher(spread))
    }

    /// Whether this INVITE, which would begin the call `key`, is that of another call in progress.
    pub(super) fn is_known(
        &mut self,
        secret: &FarmSecret,
        request: &Message<'_>,
        key: Key,
        calls: &Calls,
    ) -> bool {
        let Some(name) = name(secret, request) else { return false };
        match self.0.get(&name) {
            Some(other) if *other != key && is_up(*other, calls) => true,
            _ => {
                if self.0.len() > 2 * calls.len() + SLACK {
                    self.0.retain(|_, key| calls.get(*key).is_some());
                }
                self.0.insert(name, key);
                false
            }
        }
    }
}

fn is_up(key: Key, calls: &Calls) -> bool {
    calls.get(key).is_some_and(|call| match &call.known {
        Known::Up(record) => is_in_progress(record),
        Known::Unread | Known::Nothing => call.busy.is_some(),
        Known::Gone(_) | Known::Foreign(_) => false,
    })
}

/// From tag, Call-ID, CSeq and Request-URI.
fn name(secret: &FarmSecret, request: &Message<'_>) -> Option<u128> {
    let Start::Request { uri, .. } = request.start() else { return None };
    let from = address::tag(request.first_value(Name::From)?).ok()?.unwrap_or_default();
    let number = cseq::parse(request.first_value(Name::CSeq)?)?.number;
    Some(secret.same_request(&from.to_ascii_lowercase(), request.first_value(Name::CallId)?, number, uri))
}
