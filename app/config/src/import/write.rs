//! An imported farm as the text of a configuration: listeners, selection, one section for each server. What a load manager
//! cannot have as it is stands there as a comment, with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::import::destination::{Destination, Probe, address};
use crate::import::listeners::{Bound, listeners};
use crate::import::options::Options;
use crate::import::remark::{Remarks, shown};
use crate::import::selection::Selected;
use crate::language::value::{Wrong, quoted};
use sip::Transport;

/// The most that `calls_max` takes.
const CALLS_MAX: u64 = 10_000_000;
/// The lowest of all priorities.
const PRIORITY_LAST: usize = 255;
/// Sets that an error message names.
const SETS_SHOWN: usize = 20;

/// A destination with its place among the servers.
struct Server<'a> {
    from: &'a Destination,
    /// `None`: it cannot be a server; it is not written.
    bound: Option<Bound>,
    /// Why it is a comment.
    off: Option<String>,
    priority: usize,
}

pub(super) fn write(
    all: &[Destination],
    selected: Selected,
    options: &Options,
    remarks: &mut Remarks,
) -> Result<String, Wrong> {
    let mut sets: BTreeMap<i64, Vec<&Destination>> = BTreeMap::new();
    for destination in all {
        sets.entry(destination.set).or_default().push(destination);
    }
    let named = || {
        let names: Vec<String> = sets.keys().take(SETS_SHOWN).map(i64::to_string).collect();
        format!("the file has the sets {}", names.join(", "))
    };
    let set = match (options.set, sets.keys().next()) {
        (_, None) => return Err(("the file has no destinations".into(), "look at the file".into())),
        (Some(set), Some(_)) if !sets.contains_key(&set) => {
            return Err((format!("there is no set {set}"), named()));
        }
        (Some(set), _) => set,
        (None, Some(first)) => *first,
    };
    if options.set.is_none() && sets.len() > 1 {
        let what = format!("{}: a load manager serves one farm, so all but set {set} are comments", named());
        remarks.add(0, what, "give `--set N` for each, and run a load manager for each");
    }
    let empty = Vec::new();
    let servers = servers(sets.get(&set).unwrap_or(&empty), selected, remarks);
    let written: Vec<(&Destination, Bound)> = servers
        .iter()
        .filter(|server| server.off.is_none())
        .filter_map(|server| Some((server.from, server.bound?)))
        .collect();
    if written.is_empty() {
        let what = format!("no destination of set {set} can be a server as it is");
        return Err((what, "the remarks say why; write [[server]] with an address for at least one".into()));
    }
    let mut text = String::from("# To check: strowger check FILE. All keys: strowger check --reference\n");
    for (transport, at) in listeners(&options.listen, &written, remarks) {
        let _ =
            write!(text, "\n[[listen]]\naddress = {}\n", quoted(format_args!("{}:{at}", transport.word())));
    }
    let _ = write!(text, "\n[selection]\nkind = {}\n", quoted(selected.kind));
    probe(&written, &mut text, remarks);
    let _ = write!(text, "\n# Set {set}\n");
    servers.iter().for_each(|server| section(server, false, &mut text));
    for (other, destinations) in sets.iter().filter(|(other, _)| options.set.is_none() && **other != set) {
        let _ = write!(text, "\n# Set {other}: for a load manager of its own\n");
        for server in self::servers(destinations, selected, remarks) {
            section(&server, true, &mut text);
        }
    }
    Ok(text)
}

/// The servers of one set, in the order of the file.
fn servers<'a>(set: &[&'a Destination], selected: Selected, remarks: &mut Remarks) -> Vec<Server<'a>> {
    let first_first: BTreeSet<i64> =
        set.iter().map(|destination| -destination.priority.max(-i64::MAX)).collect();
    let ranks: BTreeMap<i64, usize> = first_first.into_iter().zip(0..).collect();
    if !selected.by_priority && ranks.len() > 1 {
        let what = "priorities differ, but the algorithm uses them only for the order of further attempts: not written";
        remarks.add(0, what, "write `priority` for servers that shall only stand by");
    }
    let mut seen = BTreeSet::new();
    let one = |from: &'a Destination| {
        let line = from.line;
        let mut off = from.off.clone();
        let bound = match address(line, &from.uri, remarks) {
            Ok(endpoint) => Some((endpoint.transport.unwrap_or(Transport::Udp), endpoint.address)),
            Err((what, instead)) => {
                remarks.add(line, what, instead);
                None
            }
        };
        if let Some(off) = &off {
            let instead = "it is written as a comment: take the marks away when it shall get calls";
            remarks.add(line, off.clone(), instead);
        }
        if let Some((Transport::Tls, at)) = bound {
            let what =
                format!("{at} is reached over TLS, and the file does not say whose certificates are trusted");
            remarks.add(
                line,
                what,
                "it is written as a comment: set `tls.server_ca`, then take the marks away",
            );
            off.get_or_insert_with(|| "set tls.server_ca first".into());
        }
        let mut is_new = |(_, at): (Transport, std::net::SocketAddr)| seen.insert(at);
        let bound = match bound.map(|bound| (bound, off.is_some() || is_new(bound))) {
            Some((bound, true)) => Some(bound),
            Some((bound, false)) => {
                let what = format!("{} is there already, in the same set", bound.1);
                remarks.add(line, what, "give the first one a larger `weight`");
                None
            }
            None => None,
        };
        if from.calls_max.is_some_and(|max| max > CALLS_MAX) {
            remarks.add(line, format!("a limit above {CALLS_MAX} calls"), "no `calls_max` is written");
        }
        let rank = ranks.get(&-from.priority.max(-i64::MAX)).copied().unwrap_or(0);
        if selected.by_priority && rank > PRIORITY_LAST {
            let what = format!("the set has more than {} priorities", PRIORITY_LAST + 1);
            remarks.add(line, what, format!("written with priority {PRIORITY_LAST}"));
        }
        let priority = if selected.by_priority { rank.min(PRIORITY_LAST) } else { 0 };
        Server { from, bound, off, priority }
    };
    set.iter().copied().map(one).collect()
}

/// OPTIONS are sent to all servers alike.
fn probe(written: &[(&Destination, Bound)], text: &mut String, remarks: &mut Remarks) {
    let has = |probe: Probe| written.iter().any(|(from, _)| from.probe == probe);
    if has(Probe::Always) {
        text.push_str("\n[health]\nprobe = \"options\"\n");
    }
    let other = match (has(Probe::Always), has(Probe::InDoubt), has(Probe::Never)) {
        (true, _, true) | (true, true, false) => {
            "some servers are sent OPTIONS at an interval and some are not: here all are"
        }
        (false, _, true) => {
            "some servers are never sent OPTIONS: here a server is sent some while it is in doubt"
        }
        (false, _, false) | (true, false, false) => return,
    };
    remarks.add(0, other, "`health.probe` is for all servers; `off` sends none");
}

/// One server. A comment if it gets no calls, or if the whole set is one.
fn section(server: &Server<'_>, comment: bool, text: &mut String) {
    let from = server.from;
    let Some((transport, at)) = server.bound else {
        let _ = write!(text, "\n# Line {}: {} is left out\n", from.line, shown(&from.uri));
        return;
    };
    let mark = if comment || server.off.is_some() { "# " } else { "" };
    let about = from.about.as_deref().map_or_else(String::new, |about| format!(": {}", shown(about)));
    let _ = write!(text, "\n# Line {}{about}\n", from.line);
    if let Some(off) = &server.off {
        let _ = writeln!(text, "# Not used: {off}");
    }
    let _ = writeln!(text, "{mark}[[server]]");
    let _ = writeln!(text, "{mark}address = {}", quoted(format_args!("{}:{at}", transport.word())));
    if from.weight != 1 {
        let _ = writeln!(text, "{mark}weight = {}", from.weight);
    }
    if server.priority != 0 {
        let _ = writeln!(text, "{mark}priority = {}", server.priority);
    }
    if let Some(max) = from.calls_max.filter(|max| *max <= CALLS_MAX) {
        let _ = writeln!(text, "{mark}calls_max = {max}");
    }
}
