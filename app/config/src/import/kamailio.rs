//! Kamailio's destinations: the file `dispatcher.list`, or the table `dispatcher` of its database. Which algorithm chooses among
//! them stands in Kamailio's script; if it is not given, it is guessed from the attributes that the destinations have.

use crate::import::destination::{Destination, Probe, number, weight};
use crate::import::options::Options;
use crate::import::remark::{Remarks, shown};
use crate::import::selection::{Selected, note_guess, note_unlike};
use crate::import::table;
use crate::language::value::Wrong;

/// What the flags of a destination mean; Kamailio adds them up.
const INACTIVE: i64 = 1;
const TRYING: i64 = 2;
const DISABLED: i64 = 4;
const PROBING: i64 = 8;
const NO_LOOK_UP: i64 = 16;
const NO_PING: i64 = 32;
const ALL_FLAGS: i64 = 63;

/// A line of the file, or a row of the table.
struct Line {
    line: usize,
    set: i64,
    uri: String,
    flags: i64,
    priority: i64,
    attributes: Vec<(String, String)>,
    about: Option<String>,
}

impl Line {
    fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|(known, _)| known == name)
    }
}

pub(super) fn read(
    text: &str,
    options: &Options,
    remarks: &mut Remarks,
) -> Result<(Vec<Destination>, Selected), Wrong> {
    let lines = if is_list(text) { list(text, remarks) } else { of_table(text, remarks)? };
    let set = options.set_of(lines.iter().map(|line| line.set));
    let written: Vec<&Line> = lines.iter().filter(|line| Some(line.set) == set).collect();
    let algorithm = match options.algorithm {
        Some(algorithm) => algorithm,
        None => guess(&written, remarks),
    };
    let selected = selected(algorithm, remarks);
    let mut unsaid = Remarks::default();
    let mut one = |line: Line| {
        let told = options.told(line.set, remarks, &mut unsaid);
        destination(line, algorithm, told)
    };
    let destinations = lines.into_iter().map(&mut one).collect();
    Ok((destinations, selected))
}

/// The first line that says anything begins with the number of a set.
fn is_list(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let number = first.and_then(|line| line.split_whitespace().next()).map(str::parse::<i64>);
    first.is_none() || number.is_some_and(|number| number.is_ok())
}

fn list(text: &str, remarks: &mut Remarks) -> Vec<Line> {
    let mut lines = Vec::new();
    for (content, line) in text.lines().zip(1..) {
        let mut fields = content.split_whitespace().take_while(|field| !field.starts_with('#'));
        let Some(set) = fields.next() else { continue };
        let (Ok(set), Some(uri)) = (set.parse(), fields.next()) else {
            let what = format!("`{}` is no destination", shown(content));
            remarks.add(line, what, "a line has a set, a SIP URI, flags, priority and attributes");
            continue;
        };
        let mut flag = |name: &str, field: Option<&str>| {
            field.and_then(|field| number(line, name, field, remarks)).unwrap_or(0)
        };
        let (flags, priority) = (flag("flags", fields.next()), flag("priority", fields.next()));
        let attributes = attributes(fields.next().unwrap_or_default());
        if let Some(more) = fields.next() {
            remarks.add(line, format!("`{}` is one field too many", shown(more)), "look at the line");
        }
        lines.push(Line { line, set, uri: uri.to_owned(), flags, priority, attributes, about: None });
    }
    lines
}

fn of_table(text: &str, remarks: &mut Remarks) -> Result<Vec<Line>, Wrong> {
    let mut lines = Vec::new();
    let rows = table::rows(text)?;
    if !rows.iter().any(|row| row.has("setid") && row.has("destination")) {
        let remedy = "give dispatcher.list, or the table `dispatcher` with its columns setid and destination";
        return Err(("the file has no destinations of Kamailio's dispatcher".into(), remedy.into()));
    }
    for row in rows.iter().filter(|row| row.has("setid") && row.has("destination")) {
        let line = row.line;
        let mut of =
            |name: &str| row.get(name).and_then(|text| number(line, name, text, remarks)).unwrap_or(0);
        let (set, flags, priority) = (of("setid"), of("flags"), of("priority"));
        lines.push(Line {
            line,
            set,
            uri: row.get("destination").unwrap_or_default().to_owned(),
            flags,
            priority,
            attributes: attributes(row.get("attrs").unwrap_or_default()),
            about: row.get("description").map(str::to_owned),
        });
    }
    Ok(lines)
}

/// `name=value;name=value`; in quotes or not.
fn attributes(text: &str) -> Vec<(String, String)> {
    let pairs = text.trim_matches('"').split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.trim().to_ascii_lowercase(), value.trim().to_owned())
    };
    pairs.map(pair).collect()
}

fn guess(lines: &[&Line], remarks: &mut Remarks) -> u64 {
    let has = |name: &str| lines.iter().any(|line| line.has(name));
    let first = lines.first().map(|line| line.priority);
    let (algorithm, because) = if has("rweight") {
        (11, "destinations have rweight")
    } else if has("weight") {
        (9, "destinations have weight")
    } else if has("duid") || has("maxload") {
        (10, "destinations have duid or maxload")
    } else if lines.iter().any(|line| Some(line.priority) != first) {
        (8, "destinations have unlike priorities")
    } else {
        (4, "destinations have neither weights nor priorities")
    };
    note_guess(algorithm, because, "file", "kamailio.cfg", remarks);
    algorithm
}

fn selected(algorithm: u64, remarks: &mut Remarks) -> Selected {
    let (kind, by_priority) = match algorithm {
        0..=3 | 5 | 7 => ("hash", false),
        8 | 13 => ("round-robin", true),
        10 => ("cjsq", false),
        _ => ("round-robin", false),
    };
    let own = match algorithm {
        8 => Some((
            "gives all calls to the first of a priority; here those of one priority share them",
            "write another `priority` for each server that shall only stand by",
        )),
        12 => Some((
            "calls all destinations at once; the load manager gives a call to one server",
            "have a server fork the call",
        )),
        13 => Some((
            "lowers the priority of slow destinations; here priorities stay",
            "selection.kind = \"score\" prefers servers that answer soon (docs/score.md)",
        )),
        0..=7 | 9..=11 => None,
        _ => Some((
            "is not known here",
            "`selection.kind` is written as round-robin: look whether that is right",
        )),
    };
    note_unlike(algorithm, own, remarks);
    Selected { kind, by_priority }
}

fn destination(from: Line, algorithm: u64, remarks: &mut Remarks) -> Destination {
    let line = from.line;
    let mut destination = Destination {
        line,
        set: from.set,
        uri: from.uri,
        off: None,
        weight: 1,
        priority: from.priority,
        calls_max: None,
        probe: Probe::InDoubt,
        socket: None,
        about: from.about,
    };
    flags(from.flags, &mut destination, remarks);
    let weighed = match algorithm {
        9 => Some("weight"),
        11 => Some("rweight"),
        _ => None,
    };
    let mut found = None;
    for (name, value) in &from.attributes {
        let mut other = |what: &str, instead: &str| {
            remarks.add(line, format!("{}={}: {what}", shown(name), shown(value)), instead);
        };
        match name.as_str() {
            _ if weighed == Some(name.as_str()) => found = number(line, name, value, remarks),
            "weight" | "rweight" => other("the algorithm does not use it", "nothing"),
            "maxload" if algorithm == 10 => {
                let max = number(line, name, value, remarks).unwrap_or(0);
                destination.calls_max = u64::try_from(max).ok().filter(|max| *max > 0);
            }
            "maxload" => other(
                "the algorithm does not use it",
                "write `calls_max` if the server shall have such a limit now",
            ),
            "socket" => destination.socket = Some(value.clone()),
            "duid" => other("a server is known by its address", "nothing"),
            "sockname" => other(
                "the name of a socket of kamailio.cfg",
                "write a [[listen]] with the address of that socket",
            ),
            "ping_from" => {
                other("OPTIONS of the load manager have a From of its own", "have the server answer it")
            }
            "obproxy" => {
                other("OPTIONS go to the server itself", "nothing, if the server is reached directly")
            }
            "latency" | "cc" => {
                other("not used", "selection.kind = \"score\" prefers servers that answer soon")
            }
            _ => other(
                "an attribute for a script, and the load manager has none",
                "have the server do what the script did",
            ),
        }
    }
    if let Some(name) = weighed {
        match found {
            Some(value) if value > 0 => destination.weight = weight(line, value, remarks),
            _ => {
                destination.off.get_or_insert_with(|| format!("it has no {name}, so that it gets no calls"));
            }
        }
    }
    destination
}

fn flags(flags: i64, destination: &mut Destination, remarks: &mut Remarks) {
    let line = destination.line;
    let is_set = |flag: i64| flags & flag != 0;
    if is_set(DISABLED) {
        destination.off = Some("it is disabled (flag 4)".into());
    } else if is_set(INACTIVE) {
        destination.off = Some("it is inactive (flag 1)".into());
    }
    if is_set(TRYING) {
        remarks.add(
            line,
            "flag 2 (trying): the load manager finds out itself whether a server answers",
            "nothing",
        );
    }
    if is_set(PROBING) {
        destination.probe = Probe::Always;
    }
    if is_set(NO_LOOK_UP) {
        remarks.add(
            line,
            "flag 16 (no look-up of A and AAAA): the load manager follows the names of servers, and looks them up again and again",
            "nothing",
        );
    }
    if is_set(NO_PING) {
        destination.probe = Probe::Never;
    }
    if flags & !ALL_FLAGS != 0 {
        let what = format!("flags {flags}: some of them are not known here");
        remarks.add(line, what, "look at what your version of Kamailio says of them");
    }
}
