//! Settings that are written but have no effect, because another setting makes them idle. Each gives a warning that names
//! the other setting. Settings that `strowger ctl` can bring into use while the load manager runs, such as those of a
//! selection, give none.

use lb::register::settings::RegisterTo;
use lb::settings::{Affinity, HashKind, HoldSetup, Probe, Selection};
use sip::Transport;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::Field;
use crate::sections::roles::Raw;
use crate::sections::words::ThreadModel;

/// Settings with their places. `idle`: why they have no effect; `remedy`: how to give them an effect.
struct Idle<'a> {
    problems: &'a mut Problems,
}

impl Idle<'_> {
    fn say(&mut self, idle: bool, settings: &[(&str, &SourcePosition)], why: &str, remedy: &str) {
        for (name, place) in settings.iter().filter(|_| idle) {
            if **place != SourcePosition::Unwritten {
                self.problems.warn(place, format!("`{name}` has no effect: {why}"), remedy);
            }
        }
    }
}

/// The name of a key together with its place.
macro_rules! named {
    ($section:expr => $($key:ident),+) => { [$((stringify!($key), &$section.$key.place)),+] };
}

pub(crate) fn without_effect(raw: &Raw, problems: &mut Problems) {
    let mut idle = Idle { problems };
    let hash = raw.affinity.kind.value == Affinity::Hash;
    let streams =
        raw.listen.iter().any(|listen| transport(&listen.address).is_some_and(Transport::is_reliable));
    let datagrams =
        raw.listen.iter().any(|listen| !transport(&listen.address).is_some_and(Transport::is_reliable));
    idle.say(
        hash && raw.affinity.hash.value != HashKind::Consistent,
        &raw.server.iter().map(|server| ("weight", &server.weight.place)).collect::<Vec<_>>(),
        "this kind of hash gives all servers the same share",
        "use affinity.hash = \"consistent\", or leave `weight` out",
    );
    idle.say(
        hash || raw.selection.kind.value == Some(Selection::Hash),
        &named!(raw.health => slow_start_ms),
        "selection by the hash of the Call-ID ignores it",
        "use another selection, or remove the setting",
    );
    idle.say(
        raw.keys.tag.value.is_empty() && raw.keys.file.value.is_none(),
        &[("memory.file", &raw.memory.file.place)],
        "each run has random keys, and cannot read what the run before wrote",
        "set keys.file (strowger key > farm.keys)",
    );
    idle.say(
        raw.affinity.kind.value != Affinity::Session,
        &named!(raw.limits => session_idle_seconds),
        "there is no list of sessions",
        "use affinity.kind = \"session\", or remove the setting",
    );
    idle.say(
        !streams,
        &named!(raw.connections => tcp_alias),
        "no listener accepts connections",
        "add a listener `tcp:` or `tls:`, or remove the setting",
    );
    idle.say(
        !datagrams,
        &named!(raw.limits => segments_max, datagram_bytes_max),
        "no listener receives datagrams",
        "add a listener `udp:`, or remove the setting",
    );
    idle.say(
        raw.threads.model.value != ThreadModel::PerCore,
        &named!(raw.threads => workers),
        "this thread model always has one worker",
        "use threads.model = \"per-core\", or leave `workers` out",
    );
    idle.say(
        raw.heartbeat.listen.value.is_none(),
        &named!(raw.heartbeat => period_ms, decay_periods),
        "no heartbeats are received",
        "add heartbeat.listen, or remove the setting",
    );
    idle.say(
        raw.measure.is_empty(),
        &named!(raw.perf => poll_ms, answer_within_ms, listen),
        "no place is polled",
        "add [[measure]], or remove the setting",
    );
    idle.say(
        raw.health.probe.value == Probe::Off,
        &named!(raw.health => interval_ms, silence_ms, fail_after, stay_out_ms),
        "health.probe is \"off\"",
        "use health.probe = \"traffic\" or \"options\", or remove the setting",
    );
    registrations(raw, &mut idle);
    held(raw, &mut idle);
    idle.say(
        raw.drain.seconds.value == Some(0),
        &named!(raw.drain => new_calls),
        "drain.seconds is 0, so the load manager ends at once",
        "write drain.seconds, or leave `new_calls` out",
    );
    idle.say(
        raw.api.listen.value.is_none(),
        &named!(raw.api => open_metrics),
        "there is no HTTP API",
        "add api.listen, or remove the setting",
    );
    idle.say(
        raw.http.listen.value.is_none(),
        &named!(raw.http => cookie, header, parameter, connections_max, head_bytes_max, body_bytes_max, head_seconds,
            idle_seconds, upgraded_idle_seconds, connect_ms),
        "http.listen is not set",
        "add http.listen, or remove the setting",
    );
    let (choices, why_calls) = (&raw.log.choices, &raw.log.why_calls);
    if choices.value != "off" && why_calls.value == 0 {
        let remedy = "set log.why_calls, or remove log.choices";
        idle.problems.error(
            &choices.place,
            "`choices` has no effect: no choices are kept, because log.why_calls is 0",
            remedy,
        );
    }
}

fn transport(address: &Field<crate::Endpoint>) -> Option<Transport> {
    address.value.transport
}

fn registrations(raw: &Raw, idle: &mut Idle<'_>) {
    let register = &raw.register;
    idle.say(
        register.to.value != RegisterTo::All,
        &named!(register => accept),
        "each REGISTER goes to one server",
        "use register.to = \"all\", or leave `accept` out",
    );
    idle.say(
        register.to.value == RegisterTo::Hash,
        &named!(register => wait_ms, in_progress_max, bytes_max),
        "a REGISTER is forwarded like any other request",
        "use register.to = \"all\" or \"registrar:…\", or remove the setting",
    );
}

/// With `off`, requests other than INVITE that came over a stream are kept all the same, so the bounds still have an effect.
fn held(raw: &Raw, idle: &mut Idle<'_>) {
    let hold = &raw.hold_setup;
    let none = hold.held_max.value == 0 || hold.held_bytes_max.value == 0;
    idle.say(
        none && hold.kind.value != HoldSetup::Off,
        &named!(hold => kind),
        "held_max or held_bytes_max is 0, so no INVITE is kept",
        "raise both, or write kind = \"off\"",
    );
    idle.say(
        none || hold.kind.value == HoldSetup::Off,
        &named!(hold => retry_refused),
        "kind is \"off\", so no INVITE is kept",
        "use hold_setup.kind = \"stream\" or \"all\", or remove the setting",
    );
}
