//! `limits`: times and sizes that can change while running. Bounds of memory cannot: tables are made for them.

use std::time::Duration;

use super::reload::answer;
use crate::ctl::change::apply;
use crate::ctl::{Method, Parameter, ParameterKind, ParameterPlace, Refused, Route, Verb};

const fn limit(name: &'static str, low: u64, high: u64, help: &'static str) -> Parameter {
    Parameter {
        name,
        kind: ParameterKind::Number(low, high),
        place: ParameterPlace::Body,
        required: false,
        help,
    }
}

pub(crate) const VERB: Verb = Verb {
    name: "limits",
    about: "Change limits; what is left out stays as it is",
    parameters: &[
        limit("new-call-seconds", 32, 600, "How long a new call's server is remembered"),
        limit(
            "session-idle-seconds",
            60,
            86_400,
            "With affinity `session`: a session ends after this silence",
        ),
        limit("retry-after-seconds", 1, 3600, "Retry-After in a 503 of our own"),
        limit("datagram-bytes-max", 500, 65_000, "A larger request leaves by TCP"),
    ],
    route: Route { method: Method::Put, path: "/v1/limits" },
    read: |_, arguments| {
        let number = |name: &str| arguments.number(name);
        let (new_call, idle) = (number("new-call-seconds"), number("session-idle-seconds"));
        let (retry_after, datagram) = (number("retry-after-seconds"), number("datagram-bytes-max"));
        if [new_call, idle, retry_after, datagram].iter().all(Option::is_none) {
            return Err(Refused::bad("no limit was given", "`strowger ctl limits --help` lists them"));
        }
        Ok(Box::new(move |context| {
            let mut next = context.as_it_runs()?;
            let settings = &mut next.settings;
            settings.new_call_time = new_call.map_or(settings.new_call_time, Duration::from_secs);
            settings.session_idle = idle.map_or(settings.session_idle, Duration::from_secs);
            settings.retry_after = retry_after.map_or(settings.retry_after, |seconds| seconds as u32);
            settings.datagram_bytes_max =
                datagram.map_or(settings.datagram_bytes_max, |bytes| bytes as usize);
            Ok(answer(&apply(context, next, false)?))
        }))
    },
    follow: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_configuration() {
        let page = config::reference();
        for parameter in VERB.parameters {
            let ParameterKind::Number(low, high) = parameter.kind else { panic!("{}", parameter.name) };
            let row = format!("| `{}` | number, {low} … {high} |", parameter.name.replace('-', "_"));
            assert!(page.contains(&row), "no `{row}`");
        }
    }
}
