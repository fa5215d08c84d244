//! For tests: names, records and a cache in short words.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Limits, Seen};
use crate::name::Name;
use crate::record::{Kind, Naptr, Question, Records, Srv};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn addresses(ips: &[&str]) -> Records {
    Records::Addresses(ips.iter().map(|ip| ip.parse().unwrap()).collect())
}

pub(crate) fn srv(records: &[(u16, u16, u16, &str)]) -> Records {
    let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
        priority: *priority,
        weight: *weight,
        port: *port,
        target: Name::new(target),
    };
    Records::Srv(records.iter().map(record).collect())
}

pub(crate) fn naptr(records: &[(u16, u16, &str, &str)]) -> Records {
    let record = |(order, preference, service, replacement): &(u16, u16, &str, &str)| Naptr {
        order: *order,
        preference: *preference,
        service: (*service).into(),
        replacement: name(replacement),
    };
    Records::Naptr(records.iter().map(record).collect())
}

pub(crate) fn limits() -> Limits {
    let seconds = Duration::from_secs;
    Limits { ttl_min: seconds(1), ttl_max: seconds(3600), failure: seconds(5), entries_max: 1000 }
}

/// Records by name; a name that is not among them has none.
#[derive(Default)]
pub(crate) struct Zone {
    known: HashMap<(Name, Kind), Seen>,
    /// What was looked at.
    pub(crate) asked: Vec<(String, Kind)>,
}

impl Zone {
    pub(crate) fn of(records: &[(&str, Records)]) -> Zone {
        let mut zone = Zone::default();
        for (text, records) in records {
            let kind = match records {
                Records::Naptr(_) => Kind::Naptr,
                Records::Srv(_) => Kind::Srv,
                Records::Addresses(ips) if ips[0].is_ipv4() => Kind::A,
                Records::Addresses(_) => Kind::Aaaa,
            };
            zone.known.insert((name(text), kind), Seen::Found(Arc::new(records.clone())));
        }
        zone
    }

    pub(crate) fn with(mut self, text: &str, kind: Kind, seen: Seen) -> Zone {
        self.known.insert((name(text), kind), seen);
        self
    }

    pub(crate) fn see(&mut self, question: &Question) -> Seen {
        self.asked.push((question.name.to_string(), question.kind));
        self.known.get(&(question.name.clone(), question.kind)).cloned().unwrap_or(Seen::Nothing)
    }
}
