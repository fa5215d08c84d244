//! The parameters of a verb and the values that were given for them. They are checked once, for the command line, the socket
//! and HTTP.

use std::net::SocketAddr;

use serde_json::{Map, Value};
use sip::Transport;

use super::{Refused, Verb};

/// One parameter of a verb.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) kind: ParameterKind,
    pub(crate) place: ParameterPlace,
    pub(crate) required: bool,
    pub(crate) help: &'static str,
}

/// The kind of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterKind {
    /// Address of a server, `ADDRESS:PORT`, with or without `udp:` or `tcp:` in front.
    Server,
    Text,
    /// A whole number in this range.
    Number(u64, u64),
    /// The same, in the range of this key of the configuration.
    NumberOf(&'static str),
    /// A flag: given or not.
    Flag,
}

impl ParameterKind {
    /// The range of a number. `None`: the value is not a number.
    pub(crate) fn range(self) -> Option<(u64, u64)> {
        match self {
            ParameterKind::Number(low, high) => Some((low, high)),
            ParameterKind::NumberOf(key) => config::range(key),
            ParameterKind::Server | ParameterKind::Text | ParameterKind::Flag => None,
        }
    }
}

/// The place of the parameter in an HTTP request. On the command line, a path parameter and a required parameter stand
/// without a name; every other parameter follows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterPlace {
    Path,
    /// In the JSON object of the body, or in the query of a GET.
    Body,
    /// Not in HTTP: only the command line has it.
    CommandLine,
}

/// The values for a verb's parameters, each of its kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Checks the given values against the verb's parameters.
    pub(crate) fn read(verb: &Verb, given: Map<String, Value>) -> Result<Arguments, Refused> {
        let known = |name: &str| verb.parameters.iter().find(|parameter| parameter.name == name);
        for (name, value) in &given {
            let Some(parameter) = known(name) else {
                let names: Vec<&str> = verb.parameters.iter().map(|parameter| parameter.name).collect();
                let remedy = match names.is_empty() {
                    true => "leave it out: the verb has no parameters".to_owned(),
                    false => format!("the parameters are {}", names.join(", ")),
                };
                return Err(Refused::bad(format!("`{}` has no parameter `{name}`", verb.name), remedy));
            };
            parameter.check(value)?;
        }
        match verb.parameters.iter().find(|wanted| wanted.required && !given.contains_key(wanted.name)) {
            Some(missing) => Err(Refused::bad(
                format!("`{}` needs `{}`", verb.name, missing.name),
                format!("give it: {}", missing.help),
            )),
            None => Ok(Arguments(given)),
        }
    }

    /// A value of kind [`ParameterKind::Server`] that is required.
    pub(crate) fn server(&self, name: &str) -> Result<(Option<Transport>, SocketAddr), Refused> {
        endpoint(self.text(name).unwrap_or_default())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(Value::as_u64)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Parameter {
    fn check(&self, value: &Value) -> Result<(), Refused> {
        let name = self.name;
        let wrong = |what: &str| Err(Refused::bad(format!("`{name}`: {what}"), self.help));
        match (self.kind, value) {
            (ParameterKind::Server, Value::String(text)) => endpoint(text).map(drop),
            (ParameterKind::Text, Value::String(_)) | (ParameterKind::Flag, Value::Bool(_)) => Ok(()),
            (ParameterKind::Number(..) | ParameterKind::NumberOf(_), Value::Number(number)) => {
                let (low, high) = self.kind.range().unwrap_or((0, u64::MAX));
                match number.as_u64() {
                    Some(number) if (low..=high).contains(&number) => Ok(()),
                    _ => wrong(&format!("{number} is not a whole number from {low} to {high}")),
                }
            }
            (ParameterKind::Server, _) => wrong("the value is not an address"),
            (ParameterKind::Text, _) => wrong("the value is not a text"),
            (ParameterKind::Flag, _) => wrong("the value is not true or false"),
            (ParameterKind::Number(..) | ParameterKind::NumberOf(_), _) => wrong("the value is not a number"),
        }
    }

    /// From the text of the command line or of a query.
    pub(crate) fn value_of(&self, text: &str) -> Result<Value, Refused> {
        let value = match self.kind {
            ParameterKind::Server | ParameterKind::Text => Value::from(text),
            ParameterKind::Number(..) | ParameterKind::NumberOf(_) => {
                text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
            }
            ParameterKind::Flag => text.parse::<bool>().map_or_else(|_| Value::from(text), Value::from),
        };
        self.check(&value).map(|()| value)
    }
}

fn endpoint(text: &str) -> Result<(Option<Transport>, SocketAddr), Refused> {
    config::parse_endpoint(text)
        .map(|endpoint| (endpoint.transport, endpoint.address))
        .map_err(|(what, remedy)| Refused::bad(what, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::{RefusalKind, verb};

    #[test]
    fn arguments_are_checked_against_the_parameters() {
        let read = |given: Value| Arguments::read(verb("drain").unwrap(), given.as_object().unwrap().clone());
        let good = read(serde_json::json!({"server": "127.0.0.1:7000"})).unwrap();
        assert_eq!(good.server("server").unwrap().1, "127.0.0.1:7000".parse().unwrap());
        for bad in [
            serde_json::json!({}),
            serde_json::json!({"server": "nowhere"}),
            serde_json::json!({"server": 7}),
            serde_json::json!({"server": "127.0.0.1:7000", "sever": true}),
        ] {
            let refused = read(bad.clone()).err().unwrap_or_else(|| panic!("{bad} was taken"));
            assert_eq!(refused.why, RefusalKind::Bad);
            assert!(!refused.remedy.is_empty());
        }
    }
}
