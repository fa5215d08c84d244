//! `limits`: times and sizes that can change while the load manager runs. Bounds of memory cannot: tables are made for them.

use super::reload::answer;
use crate::ctl::change::{apply, set};
use crate::ctl::{Method, Parameter, ParameterKind, ParameterPlace, Refused, Route, Verb};

const fn limit(name: &'static str, key: &'static str, help: &'static str) -> Parameter {
    Parameter { name, kind: ParameterKind::NumberOf(key), place: ParameterPlace::Body, required: false, help }
}

pub(crate) const VERB: Verb = Verb {
    name: "limits",
    about: "Change limits; limits that are left out stay as they are",
    parameters: &[
        limit(
            "new-call-seconds",
            "limits.new_call_seconds",
            "How long the server of a new call is remembered",
        ),
        limit(
            "session-idle-seconds",
            "limits.session_idle_seconds",
            "With affinity `session`: a session ends after this silence",
        ),
        limit("retry-after-seconds", "limits.retry_after_seconds", "Retry-After in our own 503 answers"),
        limit("datagram-bytes-max", "limits.datagram_bytes_max", "The largest request that goes by UDP"),
    ],
    route: Route { method: Method::Put, path: "/v1/limits" },
    read: |_, arguments| {
        let number = |parameter: &Parameter| match parameter.kind {
            ParameterKind::NumberOf(key) => Some((key, arguments.number(parameter.name)?)),
            _ => None,
        };
        let given: Vec<(&str, u64)> = VERB.parameters.iter().filter_map(number).collect();
        if given.is_empty() {
            return Err(Refused::bad("no limit was given", "`strowger ctl limits --help` lists them"));
        }
        Ok(Box::new(move |context| {
            let mut next = context.as_it_runs()?;
            for (key, number) in &given {
                set(&mut next, key, &number.to_string())?;
            }
            Ok(answer(&apply(context, next, false)?))
        }))
    },
    part: None,
    follow: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_a_number_of_the_configuration() {
        for parameter in VERB.parameters {
            assert!(parameter.kind.range().is_some(), "{}", parameter.name);
        }
    }
}
