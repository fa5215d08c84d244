//! Calls as their records tell of them: one row each. Nothing that proves who somebody is comes here: no message, no header field
//! but names and addresses, and no password of a URI.

use engine::record::{Leg, LegState, Record, Tombstone};
use serde::{Deserialize, Serialize};
use state::Key;

use crate::report::table::aligned;

/// Letters of a name or an address that are shown.
const TEXT_MAX: usize = 200;

/// The answer to `calls`. Fields are added at the end and never renamed, because scripts read this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CallsReport {
    /// The oldest first.
    pub(crate) calls: Vec<CallStatus>,
    /// Records that were read.
    pub(crate) looked_at: u64,
    /// There may be more calls than these.
    pub(crate) more: bool,
    /// Why some records could not be read.
    pub(crate) trouble: Option<String>,
}

/// One call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CallStatus {
    /// The name of its record.
    pub(crate) key: String,
    /// The caller's Call-ID.
    pub(crate) call_id: String,
    /// `ringing`, `up`, `ending`, `gone`.
    pub(crate) state: String,
    /// Since the INVITE came.
    pub(crate) age_ms: u64,
    /// When the INVITE came: milliseconds since 1970, by the clock of the state tier.
    pub(crate) born_ms: u64,
    /// The engine that has the call.
    pub(crate) owner: u32,
    /// `b2bua`, `proxy`.
    pub(crate) mode: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// 0 is the caller.
    pub(crate) legs: Vec<LegStatus>,
    /// The engine that got the INVITE. 0: an older build did not say.
    pub(crate) made_by: u32,
    /// When it rang and was answered, milliseconds after it was born. `None`: not so far, or nobody knows.
    pub(crate) rang_ms: Option<u64>,
    pub(crate) answered_ms: Option<u64>,
    /// How often another engine took it over while something was in progress, and when last.
    pub(crate) taken_over: u32,
    pub(crate) taken_over_ms: Option<u64>,
    /// What the call waits for.
    pub(crate) owed: Vec<String>,
    /// The final answer to the INVITE of a call that is gone.
    pub(crate) status: Option<u16>,
}

/// One side of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LegStatus {
    pub(crate) number: u16,
    /// `calling`, `early`, `confirmed`, `cancelling`, `ending`, `failed`, `closed`.
    pub(crate) state: String,
    /// The other party of this leg.
    pub(crate) remote: String,
    /// Where requests to it go: the URI of its Contact, or the target of the call.
    pub(crate) target: String,
    pub(crate) call_id: String,
    /// The other party's tag.
    pub(crate) tag: String,
    /// Where its messages came from, of a caller.
    pub(crate) flow: Option<String>,
}

impl CallStatus {
    /// `now`: microseconds since 1970.
    pub(crate) fn of(key: Key, record: &Record, now: u64) -> CallStatus {
        let Record { birth, story, .. } = record;
        let (caller, callee) = (record.legs.first(), record.legs.get(1));
        // A proxy keeps the INVITE's own fields with its branches.
        let side = |own: Option<&Leg>, of: fn(&Leg) -> &[u8], other: fn(&Leg) -> &[u8]| {
            let own = own.map(of).filter(|text| !text.is_empty());
            shown(own.or_else(|| callee.map(other)).unwrap_or_default())
        };
        CallStatus {
            key: key.to_string(),
            call_id: shown(caller.map_or(&b""[..], |leg| &leg.call_id)),
            state: record.phase().name().into(),
            age_ms: now.saturating_sub(*birth) / 1000,
            born_ms: birth / 1000,
            owner: record.header.owner,
            mode: match record.mode {
                engine::Mode::B2bua => "b2bua".into(),
                engine::Mode::Proxy => "proxy".into(),
            },
            from: side(caller, |leg| &leg.remote, |leg| &leg.local),
            to: side(caller, |leg| &leg.local, |leg| &leg.remote),
            legs: record.legs.iter().map(LegStatus::of).collect(),
            made_by: story.made_by,
            rang_ms: Some(story.rang_ms).filter(|ms| *ms > 0),
            answered_ms: Some(story.answered_ms).filter(|ms| *ms > 0),
            taken_over: story.taken_over,
            taken_over_ms: Some(story.taken_over_ms).filter(|ms| *ms > 0),
            owed: owed(record, now),
            status: None,
        }
    }

    /// A call that is gone.
    pub(crate) fn gone(key: Key, tombstone: &Tombstone, now: u64) -> CallStatus {
        CallStatus {
            key: key.to_string(),
            state: "gone".into(),
            age_ms: now.saturating_sub(tombstone.birth) / 1000,
            born_ms: tombstone.birth / 1000,
            status: Some(tombstone.status).filter(|status| *status > 0),
            ..CallStatus::default()
        }
    }
}

impl LegStatus {
    fn of(leg: &Leg) -> LegStatus {
        let state = match leg.state {
            LegState::Calling => "calling",
            LegState::Early => "early",
            LegState::Confirmed => "confirmed",
            LegState::Cancelling => "cancelling",
            LegState::Ending => "ending",
            LegState::Failed => "failed",
            LegState::Closed => "closed",
        };
        LegStatus {
            number: leg.number,
            state: state.into(),
            remote: shown(&leg.remote),
            target: shown(&leg.target),
            call_id: shown(&leg.call_id),
            tag: shown(&leg.remote_tag),
            flow: leg.flow.map(|flow| format!("{}:{}", flow.transport.word(), flow.remote)),
        }
    }
}

/// What the call waits for.
fn owed(record: &Record, now: u64) -> Vec<String> {
    let mut owed = Vec::new();
    for leg in &record.legs {
        let (number, is_caller) = (leg.number, leg.number == 0);
        match leg.state {
            LegState::Calling | LegState::Early if !is_caller => {
                owed.push(format!("leg {number} has not answered its INVITE"));
            }
            LegState::Cancelling if !is_caller => {
                owed.push(format!("leg {number} has not given the final answer after its CANCEL"));
            }
            LegState::Ending if is_caller => owed.push("the caller has not answered our BYE".into()),
            LegState::Ending => owed.push(format!("leg {number} has not answered our BYE")),
            LegState::Failed => owed.push("the caller has not acknowledged the failure".into()),
            _ => {}
        }
    }
    for timer in &record.timers {
        let ms = timer.due as i64 - (now / 1000) as i64;
        owed.push(format!("timer {} of the application runs out in {:.1} s", timer.id, ms as f64 / 1000.0));
    }
    for usage in &record.usages {
        owed.push(format!("leg {} is subscribed to {}", usage.leg, shown(&usage.event)));
    }
    owed
}

/// Text of a message for people: no control letters, no password of a URI, not too long.
fn shown(bytes: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(bytes).chars().filter(|letter| !letter.is_control()).take(TEXT_MAX).collect();
    without_password(&text)
}

/// `sip:user:password@host` without the password, and without header fields of the URI.
fn without_password(text: &str) -> String {
    let begin = text.rfind('<').map_or(0, |at| at + 1);
    let end = text[begin..].find('>').map_or(text.len(), |end| begin + end);
    let (uri, rest) = (&text[begin..end], &text[end..]);
    let Some((scheme, behind)) = uri.split_once(':') else { return text.to_owned() };
    if !["sip", "sips"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return text.to_owned();
    }
    let (user, host) = match behind.rfind('@') {
        Some(at) => (behind[..at].split(':').next().unwrap_or_default(), &behind[at..]),
        None => ("", behind),
    };
    let host = host.split('?').next().unwrap_or_default();
    format!("{}{scheme}:{user}{host}{rest}", &text[..begin])
}

impl CallsReport {
    pub(crate) fn text(&self) -> String {
        let rows: Vec<Vec<String>> = self.calls.iter().map(row).collect();
        let head = ["key", "state", "age", "engine", "from", "to", "callees", "Call-ID"];
        let mut text = if rows.is_empty() { String::new() } else { aligned(&head, &rows) };
        let count = |state: &str| self.calls.iter().filter(|call| call.state == state).count();
        let first = if self.more { "first " } else { "" };
        let all = format!(
            "{first}{} calls: {} ringing, {} up, {} ending",
            self.calls.len(),
            count("ringing"),
            count("up"),
            count("ending")
        );
        text.push_str(&all);
        text.push('\n');
        if let Some(trouble) = &self.trouble {
            text.push_str(&format!("SOME RECORDS COULD NOT BE READ: {trouble}\n"));
        } else if self.more {
            text.push_str("there are more; --limit N shows more of them, --state and --engine choose\n");
        }
        text
    }
}

fn row(call: &CallStatus) -> Vec<String> {
    let callees: Vec<String> = call.legs.iter().skip(1).map(|leg| leg.state.clone()).collect();
    vec![
        call.key.clone(),
        call.state.clone(),
        format!("{:.1} s", call.age_ms as f64 / 1000.0),
        call.owner.to_string(),
        call.from.clone(),
        call.to.clone(),
        callees.join(" "),
        call.call_id.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use state::Header;

    use super::*;

    pub(crate) fn up() -> Record {
        let leg = |number, remote: &str, state| Leg {
            number,
            state,
            remote: remote.as_bytes().into(),
            call_id: format!("call-{number}").into_bytes().into(),
            ..Leg::default()
        };
        let mut record = Record {
            header: Header { owner: 7, ..Header::default() },
            birth: 1_000_000,
            legs: vec![
                leg(0, "Alice <sip:alice:secret@a.example>", LegState::Confirmed),
                leg(1, "<sip:bob@b.example>", LegState::Confirmed),
                leg(2, "<sip:bob@b.example>", LegState::Cancelling),
            ],
            ..Record::default()
        };
        record.legs[0].local = b"<sip:bob@b.example>".as_slice().into();
        record
    }

    #[test]
    fn a_call_is_one_row_with_what_is_owed() {
        let call = CallStatus::of(Key([1; 12]), &up(), 3_500_000);
        assert_eq!((&call.from[..], &call.to[..]), ("Alice <sip:alice@a.example>", "<sip:bob@b.example>"));
        assert_eq!((call.age_ms, call.owner, &call.state[..]), (2_500, 7, "up"));
        assert_eq!(call.owed, ["leg 2 has not given the final answer after its CANCEL"]);
        let text = CallsReport { calls: vec![call], looked_at: 1, ..CallsReport::default() }.text();
        assert!(text.contains("up     2.5 s       7  Alice <sip:alice@a.example>"), "{text}");
        assert!(text.ends_with("1 calls: 0 ringing, 1 up, 0 ending\n"), "{text}");
    }

    #[test]
    fn a_proxy_names_both_sides_too() {
        let leg = Leg { number: 1, local: b"<sip:a@x>".as_slice().into(), ..Leg::default() };
        let leg = Leg { remote: b"<sip:b@x>".as_slice().into(), ..leg };
        let record =
            Record { legs: vec![Leg::default(), leg], mode: engine::Mode::Proxy, ..Record::default() };
        let call = CallStatus::of(Key([1; 12]), &record, 0);
        assert_eq!((&call.from[..], &call.to[..], &call.state[..]), ("<sip:a@x>", "<sip:b@x>", "ringing"));
    }

    #[test]
    fn no_password_and_no_control_letter_is_shown() {
        for (text, expected) in [
            ("<sip:a:b:c@host>;x=1", "<sip:a@host>;x=1"),
            ("sips:a:pw@host:5061;transport=tls?Authorization=x", "sips:a@host:5061;transport=tls"),
            ("sip:host:5060", "sip:host:5060"),
            ("tel:+49\u{7}123", "tel:+49123"),
            ("\"sip:\" <sip:a:pw@h>", "\"sip:\" <sip:a@h>"),
        ] {
            assert_eq!(shown(text.as_bytes()), expected);
        }
        assert_eq!(shown(&[b'a'; 999]).len(), TEXT_MAX);
    }
}
