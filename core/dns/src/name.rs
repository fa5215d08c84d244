//! A host name or the name of a service, as it is asked: in lower case, without the dot at its end.

use std::fmt;
use std::sync::Arc;

/// RFC 1035 §2.3.4.
const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 253;

/// See the head of this module. A copy costs no memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// `None`: the text is no name that can be asked. Letters, digits, `-` and `_` are taken.
    pub fn new(text: &str) -> Option<Name> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            (1..=LABEL_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let is_name = text.len() <= NAME_MAX && text.split('.').all(is_label);
        is_name.then(|| Name(text.to_ascii_lowercase().into()))
    }

    /// The name of a service at this name, such as `_sip._udp` (RFC 2782).
    pub fn service(&self, labels: &str) -> Option<Name> {
        Name::new(&format!("{labels}.{}", self.0))
    }

    /// It begins with an underscore, so it is the name of SRV records.
    pub fn is_service(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The second label of the name of a service, without its underscore: `udp` of `_sip._udp.example.net`.
    pub fn protocol(&self) -> Option<&str> {
        self.0.split('.').nth(1)?.strip_prefix('_')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_be_asked() {
        let long = "a".repeat(63);
        for (text, expected) in [
            ("Farm.Example.NET.", Some("farm.example.net")),
            ("_sip._udp.farm.example.net", Some("_sip._udp.farm.example.net")),
            ("engines", Some("engines")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("a b", None),
            ("fä.example", None),
            (&long, Some(&long)),
            (&format!("{long}a"), None),
            (&[&*long; 4].join("."), None),
        ] {
            assert_eq!(Name::new(text).as_ref().map(Name::as_str), expected, "{text}");
        }
    }

    #[test]
    fn services_have_names_of_their_own() {
        let name = Name::new("example.net").unwrap();
        let service = name.service("_sips._tcp").unwrap();
        assert_eq!((service.as_str(), service.protocol()), ("_sips._tcp.example.net", Some("tcp")));
        assert!(service.is_service() && !name.is_service());
        assert_eq!(name.protocol(), None);
    }
}
