//! `limits`: times and sizes that can change while the load manager runs. Bounds of memory cannot: tables are made for them.

use super::reload::answer;
use crate::ctl::change::{apply, set};
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
    about: "Change limits; limits that are left out stay as they are",
    parameters: &[
        limit("new-call-seconds", 32, 600, "How long the server of a new call is remembered"),
        limit(
            "session-idle-seconds",
            60,
            86_400,
            "With affinity `session`: a session ends after this silence",
        ),
        limit("retry-after-seconds", 1, 3600, "Retry-After in our own 503 answers"),
        limit("datagram-bytes-max", 500, 65_000, "The largest request that goes by UDP"),
    ],
    route: Route { method: Method::Put, path: "/v1/limits" },
    read: |_, arguments| {
        let number = |parameter: &Parameter| Some((parameter.name, arguments.number(parameter.name)?));
        let given: Vec<(&str, u64)> = VERB.parameters.iter().filter_map(number).collect();
        if given.is_empty() {
            return Err(Refused::bad("no limit was given", "`strowger ctl limits --help` lists them"));
        }
        Ok(Box::new(move |context| {
            let mut next = context.as_it_runs()?;
            for (name, number) in &given {
                set(&mut next, &format!("limits.{}", name.replace('-', "_")), &number.to_string())?;
            }
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
