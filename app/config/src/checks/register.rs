//! Registrations: the setting that says where they go, and the check that registrars can be reached.

use std::time::Duration;

use lb::register::settings::{RegisterSettings, RegisterTo, Registrar};
use lb::settings::Listener;
use sip::Transport;

use crate::language::problem::Problems;
use crate::language::value::{Bounds, Value, Wrong, parse_endpoint, quoted};
use crate::sections::farm::RegisterSection;
use crate::sections::roles::Raw;

/// Nobody needs more registrars for failover.
const REGISTRARS_MAX: usize = 8;

const FORM: &str = "`hash`, `all` or `registrar:` with addresses: `registrar:10.0.0.5:5060,10.0.0.6:5060`";

impl Value for RegisterTo {
    fn from_text(text: &str, _: Bounds) -> Result<RegisterTo, Wrong> {
        match text {
            "hash" => return Ok(RegisterTo::Hash),
            "all" => return Ok(RegisterTo::All),
            _ => {}
        }
        let Some(list) = text.strip_prefix("registrar:") else {
            return Err((format!("`{text}` is not a value of `to`"), format!("write {FORM}")));
        };
        let mut registrars: Vec<Registrar> = Vec::new();
        for text in list.split(',') {
            let endpoint = parse_endpoint(text.trim())?;
            let transport = endpoint.transport.unwrap_or(Transport::Udp);
            if registrars.iter().any(|known| known.address == endpoint.address) {
                return Err((format!("`{text}` is written twice"), "write each registrar once".into()));
            }
            registrars.push(Registrar { address: endpoint.address, transport });
        }
        if registrars.len() > REGISTRARS_MAX {
            return Err((format!("there are more than {REGISTRARS_MAX} registrars"), "write fewer".into()));
        }
        Ok(RegisterTo::Registrar(registrars))
    }

    fn form(_: Bounds) -> String {
        FORM.into()
    }

    fn written(&self) -> String {
        let one = |at: &Registrar| format!("{}:{}", at.transport.word(), at.address);
        quoted(match self {
            RegisterTo::Hash => "hash".into(),
            RegisterTo::All => "all".into(),
            RegisterTo::Registrar(registrars) => {
                format!("registrar:{}", registrars.iter().map(one).collect::<Vec<_>>().join(","))
            }
        })
    }
}

pub(crate) fn reach_registrars(raw: &Raw, listeners: &[Listener], problems: &mut Problems) {
    let section = &raw.register;
    if let RegisterTo::Registrar(registrars) = &section.to.value {
        for registrar in registrars {
            let (address, token) = (registrar.address, registrar.transport.uri_token());
            if listeners.iter().any(|own| own.advertise == address && own.transport == registrar.transport) {
                let what = format!("registrar {address} is the load manager's own listener");
                let remedy = "registrations would go round in circles: write the registrar's address";
                problems.error(&section.to.place, what, remedy);
            }
            let reaches = |own: &Listener| {
                own.transport == registrar.transport && own.advertise.is_ipv4() == address.is_ipv4()
            };
            if !listeners.is_empty() && !listeners.iter().any(reaches) {
                let version = if address.is_ipv4() { "IPv4" } else { "IPv6" };
                let what = format!(
                    "registrar {address} needs a listener for {token} over {version}, and there is none"
                );
                problems.error(
                    &section.to.place,
                    what,
                    format!("add a listener {token}:… with an {version} address"),
                );
            }
        }
    }
}

pub(crate) fn register(section: &RegisterSection) -> RegisterSettings {
    RegisterSettings {
        to: section.to.value.clone(),
        accept: section.accept.value,
        wait: Duration::from_millis(section.wait_ms.value),
        path: section.path.value,
        in_progress_max: section.in_progress_max.value as usize,
        bytes_max: section.bytes_max.value as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb::register::settings::InsertPath;

    use crate::{ShortForm, short_form};

    fn form() -> ShortForm {
        ShortForm {
            listen: vec!["udp:127.0.0.1:5060".into()],
            server: vec!["127.0.0.1:7000".into()],
            ..ShortForm::default()
        }
    }

    fn given(register: &str) -> Result<RegisterTo, String> {
        short_form(&form().with("register", register))
            .map(|checked| checked.settings.register.to)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn where_registrations_go_is_read() {
        assert_eq!(given("hash"), Ok(RegisterTo::Hash));
        assert_eq!(given("all"), Ok(RegisterTo::All));
        let at = |text: &str| Registrar { address: text.parse().unwrap(), transport: Transport::Udp };
        let two = RegisterTo::Registrar(vec![at("10.0.0.5:5060"), at("10.0.0.6:5070")]);
        assert_eq!(given("registrar:10.0.0.5,udp:10.0.0.6:5070"), Ok(two));
    }

    #[test]
    fn the_short_form_says_when_there_is_a_path() {
        let path = |word: &str| short_form(&form().with("path", word)).unwrap().settings.register.path;
        assert_eq!(short_form(&form()).unwrap().settings.register.path, InsertPath::Supported);
        assert_eq!([path("always"), path("never")], [InsertPath::Always, InsertPath::Never]);
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_remedy() {
        for (text, expected) in [
            ("hsah", "write `hash`"),
            ("registrar:", "is not an address"),
            ("registrar:10.0.0.5,10.0.0.5:5060", "written twice"),
            ("registrar:127.0.0.1:5060", "own listener"),
            ("registrar:tcp:10.0.0.5", "add a listener tcp"),
            ("registrar:example.com", "is a name"),
        ] {
            let problem = given(text).unwrap_err();
            assert!(problem.contains(expected) && problem.contains("--register"), "{text}: {problem}");
        }
    }
}
