//! The kinds of value that a key can have. Each kind reads itself from TOML and from the text of an option, describes the error
//! in a value, and names its own form for the reference page.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use base::Key;
use sip::{SIP_PORT, SIPS_PORT, Transport};
use toml::de::DeValue;

use crate::language::problem::nearest;

/// The error in a value, and the remedy.
pub type Wrong = (String, String);

/// The lowest and the highest number that is accepted.
pub(crate) type Bounds = Option<(u64, u64)>;

pub(crate) trait Value: Sized {
    fn from_text(text: &str, bounds: Bounds) -> Result<Self, Wrong>;

    /// Most kinds are written as a string; numbers and lists say otherwise.
    fn from_toml(value: &DeValue<'_>, bounds: Bounds) -> Result<Self, Wrong> {
        match value {
            DeValue::String(text) => Self::from_text(text, bounds),
            other => Err(wrong_type(other, &Self::form(bounds))),
        }
    }

    /// For people: `number, 3 … 5`.
    fn form(bounds: Bounds) -> String;

    /// As the file writes it.
    fn written(&self) -> String;

    /// The words of a choice, each with what it does.
    fn words() -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    /// The value of a key that may be left out without a default.
    fn absent() -> Option<Self> {
        None
    }
}

/// A text of TOML.
pub fn quoted(text: impl Display) -> String {
    format!("{:?}", text.to_string())
}

fn wrong_type(value: &DeValue<'_>, form: &str) -> Wrong {
    let given = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    (format!("the value is {given}"), asked(form))
}

/// The remedy that names a form. The form may begin with a noun.
fn asked(form: &str) -> String {
    let article = match form.split([' ', ',']).next() {
        Some("number" | "list" | "path") => "a ",
        Some("address" | "IP") => "an ",
        _ => "",
    };
    format!("write {article}{form}")
}

impl Value for u64 {
    fn from_text(text: &str, bounds: Bounds) -> Result<u64, Wrong> {
        let form = Self::form(bounds);
        let plain = text.replace('_', "");
        let number: i128 =
            plain.parse().map_err(|_| (format!("`{text}` is not a whole number"), asked(&form)))?;
        let (low, high) = bounds.unwrap_or((0, u64::MAX));
        match u64::try_from(number) {
            Ok(number) if (low..=high).contains(&number) => Ok(number),
            _ => Err((format!("{number} is out of range"), asked(&form))),
        }
    }

    fn from_toml(value: &DeValue<'_>, bounds: Bounds) -> Result<u64, Wrong> {
        match value {
            DeValue::Integer(number) => {
                let wide = i128::from_str_radix(number.as_str(), number.radix());
                Self::from_text(&wide.map_or_else(|_| number.to_string(), |wide| wide.to_string()), bounds)
            }
            other => Err(wrong_type(other, &Self::form(bounds))),
        }
    }

    fn form(bounds: Bounds) -> String {
        bounds.map_or("number".into(), |(low, high)| format!("number, {low} … {high}"))
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn from_text(text: &str, bounds: Bounds) -> Result<bool, Wrong> {
        text.parse().map_err(|_| {
            (format!("`{text}` is neither true nor false"), format!("write {}", Self::form(bounds)))
        })
    }

    fn from_toml(value: &DeValue<'_>, bounds: Bounds) -> Result<bool, Wrong> {
        match value {
            DeValue::Boolean(value) => Ok(*value),
            other => Err((wrong_type(other, "").0, format!("write {} without quotes", Self::form(bounds)))),
        }
    }

    fn form(_: Bounds) -> String {
        "true or false".into()
    }

    fn written(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn from_text(text: &str, _: Bounds) -> Result<String, Wrong> {
        Ok(text.into())
    }

    fn form(_: Bounds) -> String {
        "text".into()
    }

    fn written(&self) -> String {
        quoted(self)
    }
}

/// Text that is never shown.
impl Value for Key<String> {
    fn from_text(text: &str, _: Bounds) -> Result<Key<String>, Wrong> {
        Ok(text.to_owned().into())
    }

    fn form(bounds: Bounds) -> String {
        String::form(bounds)
    }

    fn written(&self) -> String {
        quoted("…")
    }
}

impl Value for PathBuf {
    fn from_text(text: &str, _: Bounds) -> Result<PathBuf, Wrong> {
        match text {
            "" => Err(("the path is empty".into(), "write the path of a file".into())),
            path => Ok(path.into()),
        }
    }

    fn form(_: Bounds) -> String {
        "path of a file".into()
    }

    fn written(&self) -> String {
        quoted(self.display())
    }
}

impl Value for SocketAddr {
    fn from_text(text: &str, _: Bounds) -> Result<SocketAddr, Wrong> {
        parse_address(text, None)
    }

    fn form(_: Bounds) -> String {
        "address with port: `10.0.0.1:5060`, `[2001:db8::1]:5060`".into()
    }

    fn written(&self) -> String {
        quoted(self)
    }
}

impl Value for IpAddr {
    fn from_text(text: &str, bounds: Bounds) -> Result<IpAddr, Wrong> {
        text.parse().map_err(|_| {
            (format!("`{text}` is not an IP address"), format!("write an {}", Self::form(bounds)))
        })
    }

    fn form(_: Bounds) -> String {
        "IP address".into()
    }

    fn written(&self) -> String {
        quoted(self)
    }
}

/// An address, with or without the transport in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `None`: not given; the context decides.
    pub transport: Option<Transport>,
    pub address: SocketAddr,
}

const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// A transport in front of an address or a name, and the rest.
pub(crate) fn transport_in_front(text: &str) -> (Option<Transport>, &str) {
    let known = |word: &str| TRANSPORTS.into_iter().find(|known| known.word().eq_ignore_ascii_case(word));
    match text.split_once(':').and_then(|(word, rest)| Some((known(word)?, rest))) {
        Some((transport, rest)) => (Some(transport), rest),
        None => (None, text),
    }
}

/// `udp:10.0.0.1:5060`, `tcp:[::1]:5060`, `tls:10.0.0.1` (port 5061), `10.0.0.1:5060`, `10.0.0.1` (port 5060).
pub fn parse_endpoint(text: &str) -> Result<Endpoint, Wrong> {
    let (transport, rest) = transport_in_front(text);
    match text.split_once(':').filter(|_| transport.is_none()) {
        Some(("sctp", _)) => {
            return Err(("transport `sctp` is not supported".into(), "use udp:, tcp: or tls:".into()));
        }
        Some(("sip" | "sips", rest)) => {
            return Err((
                format!("`{text}` is a URI"),
                format!("write transport, address and port: udp:{}", rest.trim_start_matches('/')),
            ));
        }
        _ => {}
    }
    let port = match transport {
        None | Some(Transport::Udp | Transport::Tcp) => Some(SIP_PORT),
        Some(Transport::Tls) => Some(SIPS_PORT),
        // These ports are usually HTTP's, and another program may listen there: an error is better than a guess.
        Some(Transport::Ws | Transport::Wss) => None,
    };
    Ok(Endpoint { transport, address: parse_address(rest, port)? })
}

/// An IP address with a port. If the port is left out, it is `port`, if that is given.
pub fn parse_address(text: &str, port: Option<u16>) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err((format!("`{text}` has port 0"), "write a port from 1 to 65535".into())),
            _ => Ok(address),
        };
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return match port {
            Some(port) => Ok(SocketAddr::new(ip, port)),
            // This is no SIP address, so the error must not suggest SIP's port.
            None => {
                let host = if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() };
                Err((format!("`{text}` has no port"), format!("write the port, too: {host}:PORT")))
            }
        };
    }
    let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
    let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    if named && host.chars().any(|c| c.is_ascii_alphabetic()) {
        let remedy = format!(
            "write the IP address of {host} (only servers and the clients of servers may have names)"
        );
        return Err((format!("`{text}` is a name, not an address"), remedy));
    }
    Err((format!("`{text}` is not an address"), "write it like 10.0.0.1:5060 or [2001:db8::1]:5060".into()))
}

impl Value for Endpoint {
    fn from_text(text: &str, _: Bounds) -> Result<Endpoint, Wrong> {
        parse_endpoint(text)
    }

    fn form(_: Bounds) -> String {
        "`udp:`, `tcp:`, `tls:`, `ws:` or `wss:`, address, port: `udp:10.0.0.1:5060`".into()
    }

    fn written(&self) -> String {
        match self.transport {
            Some(transport) => quoted(format_args!("{}:{}", transport.word(), self.address)),
            None => quoted(self.address),
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn from_text(text: &str, bounds: Bounds) -> Result<Option<T>, Wrong> {
        T::from_text(text, bounds).map(Some)
    }

    fn from_toml(value: &DeValue<'_>, bounds: Bounds) -> Result<Option<T>, Wrong> {
        T::from_toml(value, bounds).map(Some)
    }

    fn form(bounds: Bounds) -> String {
        T::form(bounds)
    }

    fn written(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), Value::written)
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::words()
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

impl<T: Value> Value for Vec<T> {
    /// An option is repeated; it has no list.
    fn from_text(text: &str, bounds: Bounds) -> Result<Vec<T>, Wrong> {
        Ok(vec![T::from_text(text, bounds)?])
    }

    fn from_toml(value: &DeValue<'_>, bounds: Bounds) -> Result<Vec<T>, Wrong> {
        match value {
            DeValue::Array(values) => {
                values.iter().map(|value| T::from_toml(value.get_ref(), bounds)).collect()
            }
            other => Err(wrong_type(other, &Self::form(bounds))),
        }
    }

    fn form(bounds: Bounds) -> String {
        format!("list of {}", T::form(bounds))
    }

    fn written(&self) -> String {
        let values: Vec<String> = self.iter().map(Value::written).collect();
        format!("[{}]", values.join(", "))
    }

    fn absent() -> Option<Vec<T>> {
        Some(Vec::new())
    }
}

/// A choice from a short list of words.
pub trait Choice: Copy + PartialEq + Sized + 'static {
    /// Word, value, and the word's effect.
    const WORDS: &'static [(&'static str, Self, &'static str)];
}

/// The word for this value in the configuration; for status and logs.
pub fn word<T: Choice>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, known, _)| *known == value).map_or("", |(word, _, _)| word)
}

impl<T: Choice> Value for T {
    fn from_text(text: &str, _: Bounds) -> Result<T, Wrong> {
        if let Some((_, value, _)) = T::WORDS.iter().find(|(word, _, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _, _)| *word).collect();
        let remedy = match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? The values are {}", words.join(", ")),
            None => format!("write one of {}", words.join(", ")),
        };
        Err((format!("`{text}` is not a known value"), remedy))
    }

    fn form(_: Bounds) -> String {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _, _)| format!("`{word}`")).collect();
        format!("one of {}", words.join(", "))
    }

    fn written(&self) -> String {
        quoted(word(*self))
    }

    fn words() -> Vec<(&'static str, &'static str)> {
        T::WORDS.iter().map(|(word, _, help)| (*word, *help)).collect()
    }
}
