//! OpenSIPS's destinations: the table of its module dispatcher, or that of its module load_balancer.

use crate::import::destination::{Destination, Probe, number, weight};
use crate::import::options::Options;
use crate::import::remark::{Remarks, shown};
use crate::import::row::Row;
use crate::import::selection::{Selected, note_guess, note_unlike};
use crate::import::table;
use crate::language::value::Wrong;

/// The most that `calls_max` takes.
const CALLS_MAX: i64 = 10_000_000;
/// The highest weight.
const WEIGHT_MAX: u64 = 1000;

pub(super) fn read(
    text: &str,
    options: &Options,
    remarks: &mut Remarks,
) -> Result<(Vec<Destination>, Selected), Wrong> {
    let rows = table::rows(text)?;
    let is_balancer = |row: &&Row| row.has("dst_uri") && row.has("group_id");
    let is_dispatcher = |row: &&Row| row.has("destination") && row.has("setid");
    let (balanced, dispatched) = (rows.iter().filter(is_balancer), rows.iter().filter(is_dispatcher));
    match (dispatched.clone().next(), balanced.clone().next()) {
        (None, None) => {
            let what = "the file has neither the columns of dispatcher nor those of load_balancer";
            let remedy = "give a table with setid and destination, or with group_id, dst_uri and resources";
            Err((what.into(), remedy.into()))
        }
        (Some(_), Some(other)) => {
            let what = "the table load_balancer is in the same file: only dispatcher is read";
            remarks.add(other.line, what, "give load_balancer in a file of its own");
            Ok(of_dispatcher(dispatched, options, remarks))
        }
        (Some(_), None) => Ok(of_dispatcher(dispatched, options, remarks)),
        (None, Some(_)) => Ok(of_balancer(balanced, options, remarks)),
    }
}

fn of_dispatcher<'a>(
    rows: impl Iterator<Item = &'a Row> + Clone,
    options: &Options,
    remarks: &mut Remarks,
) -> (Vec<Destination>, Selected) {
    let set_of = |row: &Row| row.get("setid").and_then(|text| text.parse().ok()).unwrap_or(0);
    let set = options.set_of(rows.clone().map(set_of));
    let written = rows.clone().filter(|row| Some(set_of(row)) == set);
    let mut priorities = written.map(|row| row.get("priority").unwrap_or("0"));
    let first = priorities.next();
    let unlike = priorities.any(|priority| Some(priority) != first);
    let algorithm = options.algorithm.unwrap_or_else(|| {
        let (algorithm, because) = match unlike {
            true => (8, "destinations have unlike priorities"),
            false => (4, "destinations have one priority"),
        };
        note_guess(algorithm, because, "table", "opensips.cfg", remarks);
        algorithm
    });
    let selected = match algorithm {
        0..=3 | 5 | 7 => Selected { kind: "hash", by_priority: false },
        8 => Selected { kind: "round-robin", by_priority: true },
        _ => Selected { kind: "round-robin", by_priority: false },
    };
    let own = match algorithm {
        8 => Some((
            "gives all calls to the first destination; here those of one priority share them",
            "write another `priority` for each server that shall only stand by",
        )),
        0..=7 => None,
        _ => Some((
            "asks a script or a variable for the load",
            "`selection.kind` is written as round-robin; `least-loaded` goes by the servers' heartbeats",
        )),
    };
    note_unlike(algorithm, own, remarks);
    let mut unsaid = Remarks::default();
    let mut one = |row: &'a Row| dispatched(row, options.told(set_of(row), remarks, &mut unsaid));
    (rows.map(&mut one).collect(), selected)
}

fn dispatched(row: &Row, remarks: &mut Remarks) -> Destination {
    let mut destination = common(row, ("setid", "destination"), remarks);
    let line = row.line;
    match row.get("weight") {
        Some(text) if text.starts_with("fs://") => remarks.add(
            line,
            "weight from FreeSWITCH: the load manager does not ask FreeSWITCH",
            "run `strowger agent` beside the server, and choose `least-loaded` or `score`",
        ),
        Some(text) => match number(line, "weight", text, remarks) {
            Some(0) => destination.off = Some("its weight is 0, so that it gets no calls".into()),
            Some(value) => destination.weight = weight(line, value, remarks),
            None => {}
        },
        None => {}
    }
    if let Some(text) = row.get("priority") {
        destination.priority = number(line, "priority", text, remarks).unwrap_or(0);
    }
    match row.get("state") {
        None | Some("0") => {}
        Some("1") => destination.off = Some("it is inactive (state 1)".into()),
        Some("2") => remarks.add(
            line,
            "state 2 (probing): the load manager finds out itself whether a server answers",
            "nothing",
        ),
        Some(other) => {
            let what = format!("state `{}` is not known here", shown(other));
            remarks.add(
                line,
                what,
                "the server is written as one that gets calls: look whether that is right",
            );
        }
    }
    destination.socket = row.get("socket").map(str::to_owned);
    destination
}

fn of_balancer<'a>(
    rows: impl Iterator<Item = &'a Row>,
    options: &Options,
    remarks: &mut Remarks,
) -> (Vec<Destination>, Selected) {
    let set_of = |row: &Row| row.get("group_id").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut unsaid = Remarks::default();
    let mut one = |row: &'a Row| {
        let told = options.told(set_of(row), remarks, &mut unsaid);
        let mut destination = common(row, ("group_id", "dst_uri"), told);
        let resources = row.get("resources").unwrap_or_default();
        match capacity(row.line, resources, options.resource.as_deref(), told) {
            Some(0) => destination.off = Some("it has no capacity, so that it gets no calls".into()),
            other => destination.calls_max = other,
        }
        destination
    };
    let mut all: Vec<Destination> = rows.map(&mut one).collect();
    if all.iter().any(|destination| destination.calls_max.is_some()) {
        remarks.add(
            0,
            "load_balancer takes the destination with the most free channels; here the one with the fewest calls per weight",
            "nothing: the weights are written in proportion to the channels",
        );
    }
    weigh(&mut all);
    (all, Selected { kind: "cjsq", by_priority: false })
}

/// The channels of the resource that limits the calls: `pstn=32;voip=64`. 0: none; `None`: not known.
fn capacity(line: usize, resources: &str, chosen: Option<&str>, remarks: &mut Remarks) -> Option<u64> {
    let pairs = resources.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let all: Vec<(&str, &str)> = pairs
        .map(|pair| pair.split_once('=').map_or((pair, ""), |(name, value)| (name.trim(), value.trim())))
        .collect();
    let found = match (chosen, all.as_slice()) {
        (Some(chosen), all) => all.iter().find(|(name, _)| *name == chosen),
        (None, [one]) => Some(one),
        (None, []) => None,
        (None, _) => {
            let what =
                format!("resources `{}`: a call of the load manager needs one thing only", shown(resources));
            remarks.add(
                line,
                what,
                "give `--resource NAME` for the one that limits the calls, or write `calls_max`",
            );
            return None;
        }
    };
    // A destination without the resource that a call asks for does not get it.
    let Some((name, value)) = found else { return Some(0) };
    if value.starts_with("fs://") {
        remarks.add(
            line,
            format!("{}: capacity from FreeSWITCH, which the load manager does not ask", shown(name)),
            "run `strowger agent` beside the server, or write `calls_max`",
        );
        return None;
    }
    match number(line, "capacity", value, remarks) {
        Some(value @ 0..=CALLS_MAX) => u64::try_from(value).ok(),
        Some(value) => {
            remarks.add(line, format!("capacity {value} is not in 0 … {CALLS_MAX}"), "write `calls_max`");
            None
        }
        None => None,
    }
}

/// Weights in proportion to the channels, within each set: divided by what all have in common, or scaled if that is too much.
fn weigh(all: &mut [Destination]) {
    let mut largest = std::collections::HashMap::new();
    let mut common = std::collections::HashMap::new();
    for (set, channels) in all.iter().filter_map(|one| Some((one.set, one.calls_max?))) {
        let most: &mut u64 = largest.entry(set).or_insert(1);
        *most = (*most).max(channels);
        let divisor: &mut u64 = common.entry(set).or_insert(channels);
        *divisor = common_divisor(*divisor, channels);
    }
    for one in all.iter_mut() {
        let (Some(channels), Some(most), Some(divisor)) =
            (one.calls_max, largest.get(&one.set), common.get(&one.set))
        else {
            continue;
        };
        one.weight = match most / divisor {
            0..=WEIGHT_MAX => channels / divisor,
            _ => (channels * WEIGHT_MAX / most).max(1),
        };
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a.max(1) } else { common_divisor(b, a % b) }
}

/// What both tables have.
fn common(row: &Row, (set, uri): (&str, &str), remarks: &mut Remarks) -> Destination {
    let line = row.line;
    if let Some(attributes) = row.get("attrs") {
        let what = format!("attrs `{}`: for a script, and the load manager has none", shown(attributes));
        remarks.add(line, what, "have the server do what the script did");
    }
    let probe = match row.get("probe_mode") {
        Some("0") => Probe::Never,
        Some("2") => Probe::Always,
        None | Some("1") => Probe::InDoubt,
        Some(other) => {
            let what = format!("probe_mode `{}` is not known here", shown(other));
            remarks.add(line, what, "OPTIONS are sent in doubt: see `health.probe`");
            Probe::InDoubt
        }
    };
    Destination {
        line,
        set: row.get(set).and_then(|text| number(line, set, text, remarks)).unwrap_or(0),
        uri: row.get(uri).unwrap_or_default().to_owned(),
        off: None,
        weight: 1,
        priority: 0,
        calls_max: None,
        probe,
        socket: None,
        about: row.get("description").map(str::to_owned),
    }
}
