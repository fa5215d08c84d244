//! `call`: the story of one call, from its record.

use engine::record::{Record, Tombstone};
use state::Key;

use super::answered;
use crate::ctl::part::Part;
use crate::ctl::records::{Records, find};
use crate::ctl::{
    Method, Outcome, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused, Route, Verb,
};
use crate::report::calls::CallStatus;
use crate::report::story;

/// Calls of one Call-ID that are shown: forks and attempts of one caller.
const CALLS_MAX: usize = 16;

pub(crate) const VERB: Verb = Verb {
    name: "call",
    about: "Tell the story of one call: who called whom, when it rang and was answered, its legs, what is owed",
    parameters: &[Parameter {
        name: "id",
        kind: ParameterKind::Text,
        place: ParameterPlace::Body,
        required: true,
        help: "The Call-ID of either side, or the key that `strowger calls` shows",
    }],
    route: Route { method: Method::Get, path: "/v1/call" },
    read: |_, _| Err(super::not_here()),
    part: Some(|part, arguments| {
        let id = arguments.text("id").unwrap_or_default();
        let mut records = part.records().map_err(|error| super::unread(&error))?;
        let now = os::since_1970().as_micros() as u64;
        if let Some(key) = Key::read(id.as_bytes())
            && let Some(bytes) = records.get(key).map_err(|error| super::unread(&error))?
        {
            return of_bytes(key, &bytes, now);
        }
        of_call_id(part, &mut *records, id, now)
    }),
    follow: None,
};

/// What lies under a key: a call, or the tombstone of one that is gone.
fn of_bytes(key: Key, bytes: &[u8], now: u64) -> Outcome {
    if let Ok(tombstone) = Tombstone::read(bytes) {
        let call = CallStatus::gone(key, &tombstone, now);
        return answered(story::text(&call), &[call]);
    }
    let record = Record::read(bytes).map_err(|error| {
        let remedy = "ask an engine of a newer build";
        Refused::new(RefusalKind::Impossible, format!("the record cannot be read: {error:?}"), remedy)
    })?;
    let call = CallStatus::of(key, &record, now);
    answered(story::text(&call), &[call])
}

/// The caller's Call-ID says the partition; that of a callee does not.
fn of_call_id(part: &dyn Part, records: &mut dyn Records, id: &str, now: u64) -> Outcome {
    let wanted = |record: &Record| record.legs.iter().any(|leg| *leg.call_id == *id.as_bytes());
    let mut found = match part.partition_of(id) {
        Some(partition) => find(records, [partition], CALLS_MAX, wanted),
        None => Default::default(),
    };
    if found.calls.is_empty() {
        found = find(records, 0..=u8::MAX, CALLS_MAX, wanted);
    }
    if found.calls.is_empty() {
        let (what, remedy) = match found.more {
            false => (
                format!("no call has the Call-ID or the key {id}"),
                "`strowger calls` lists the calls; what ended is known by its key for 32 s".to_owned(),
            ),
            true => (
                format!("no call with {id} was found, and {} records were read, not all", found.looked_at),
                found.trouble.unwrap_or_else(|| "give the key that `strowger calls` shows".into()),
            ),
        };
        return Err(Refused::new(RefusalKind::NotFound, what, remedy));
    }
    let calls: Vec<CallStatus> =
        found.calls.iter().map(|(key, record)| CallStatus::of(*key, record, now)).collect();
    let text: Vec<String> = calls.iter().map(story::text).collect();
    answered(text.join("\n"), &calls)
}
