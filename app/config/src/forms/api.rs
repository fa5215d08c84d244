//! The HTTP API of a server that is configured by options alone, read and checked as for a load manager.

use crate::checks::api::{Api, api};
use crate::forms::options::{Given, KeyOption, set};
use crate::language::problem::{Problems, Source};
use crate::sections::roles::Raw;

const OPTIONS: [KeyOption; 5] = [
    KeyOption { name: "api", value_name: "ADDRESS:PORT", key: "api.listen" },
    KeyOption { name: "api-tokens", value_name: "FILE", key: "api.tokens" },
    KeyOption { name: "api-open-metrics", value_name: "BOOL", key: "api.open_metrics" },
    KeyOption { name: "api-certificate", value_name: "FILE", key: "api.certificate" },
    KeyOption { name: "api-key", value_name: "FILE", key: "api.key" },
];

/// Values of these options in their order, as text. The API, and warnings. `None`: there is no HTTP API.
pub fn api_form(values: [Option<&str>; OPTIONS.len()]) -> Result<(Option<Api>, Problems), Problems> {
    let mut problems = Problems::new(Source::default());
    let mut raw = Raw::defaults();
    let given = |(option, value): (&KeyOption, Option<&str>)| Some((*option, value?.to_owned()));
    let given: Given = OPTIONS.iter().zip(values).filter_map(given).collect();
    set(&mut raw, &given, &mut problems);
    let api = api(&raw.api, &mut problems);
    if problems.has_errors() { Err(problems) } else { Ok((api, problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_beyond_loopback_needs_tokens() {
        let (api, _) = api_form([Some("127.0.0.1:8061"), None, None, None, None]).unwrap();
        assert!(api.is_some_and(|api| api.open_metrics && api.tokens.0.is_empty()));
        assert!(api_form([None; 5]).unwrap().0.is_none());
        let refused = api_form([Some("192.0.2.1:8061"), None, None, None, None]).unwrap_err().to_string();
        assert!(
            refused.contains("--api 192.0.2.1:8061") && refused.contains("strowger key --token"),
            "{refused}"
        );
        let refused =
            api_form([Some("127.0.0.1:8061"), Some("/no/such/file"), None, None, None]).unwrap_err();
        assert!(refused.to_string().contains("cannot be read"), "{refused}");
        let half = [Some("127.0.0.1:8061"), None, None, Some("/no/such/file"), None];
        let refused = api_form(half).unwrap_err().to_string();
        assert!(
            refused.contains("`certificate` without `key`") && refused.contains("add api.key"),
            "{refused}"
        );
    }
}
