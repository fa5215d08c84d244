//! The file of tokens says who may do what over HTTP. A listener beyond loopback must have such a file.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::checks::https::{Https, https};
use crate::files::keys::{as_hex, random, readable_by_others};
use crate::language::problem::{Problems, SourcePosition};
use crate::sections::shared::ApiSection;

/// The HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    pub listen: SocketAddr,
    pub tokens: Tokens,
    pub open_metrics: bool,
    /// `None`: it speaks HTTP.
    pub https: Option<Https>,
}

/// The rights of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    Read,
    /// A token that may change things may also look.
    Change,
}

/// The tokens of a listener. They are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tokens(pub Vec<(Grant, String)>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// Far larger than any real file of tokens.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// 16 characters of hex are 64 bits: fewer can be guessed.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=512;

/// Line, error, remedy. The token itself is never in the text.
type BadLine = (usize, String, &'static str);

impl Tokens {
    fn parse(text: &str) -> Result<Tokens, BadLine> {
        let mut tokens = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let bad = |what: String| {
                (at + 1, what, "write `change TOKEN` or `read TOKEN`, as `strowger key --token` does")
            };
            let (grant, token) = match line.split_once(char::is_whitespace) {
                None if line.is_empty() => continue,
                Some(("change", token)) => (Grant::Change, token.trim()),
                Some(("read", token)) => (Grant::Read, token.trim()),
                _ => return Err(bad("is not a token line".into())),
            };
            // RFC 6750 §2.1: the letters of a bearer token.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            if !token.bytes().all(plain) {
                return Err(bad("a token may only have letters, digits and -._~+/=".into()));
            }
            if !TOKEN_LENGTH.contains(&token.len()) {
                return Err(bad(format!("a token has {} characters; it must have 16 to 512", token.len())));
            }
            tokens.push((grant, token.to_owned()));
        }
        Ok(Tokens(tokens))
    }
}

pub(crate) fn api(section: &ApiSection, problems: &mut Problems) -> Option<Api> {
    let mut tokens = Tokens::default();
    if let Some(path) = &section.tokens.value {
        tokens = read(path, &section.tokens.place, problems);
    }
    let https = https(section, problems);
    let Some(listen) = section.listen.value else {
        let of_listener = [
            ("tokens", section.tokens.is_written(), &section.tokens.place),
            ("certificate", section.certificate.is_written(), &section.certificate.place),
        ];
        for (name, _, place) in of_listener.into_iter().filter(|(_, is_written, _)| *is_written) {
            problems.warn(place, format!("`{name}` without `listen`"), "add `listen = \"127.0.0.1:8060\"`");
        }
        return None;
    };
    if !listen.ip().is_loopback() && section.tokens.value.is_none() {
        let what = format!(
            "the API at {listen} can be reached from other machines, and everyone there could read it"
        );
        let remedy =
            "add `tokens = \"FILE\"` (strowger key --token > FILE; chmod 600 FILE), or listen on 127.0.0.1";
        problems.error(&section.listen.place, what, remedy);
    }
    Some(Api { listen, tokens, open_metrics: section.open_metrics.value, https })
}

fn read(path: &Path, place: &SourcePosition, problems: &mut Problems) -> Tokens {
    let mut text = String::new();
    let opened = std::fs::File::open(path).and_then(|file| {
        let open = readable_by_others(&file.metadata()?);
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(open)
    });
    let shown = path.display();
    match opened {
        Err(error) => {
            let what = format!("the token file {shown} cannot be read: {error}");
            problems.error(place, what, "strowger key --token > the file; chmod 600 the file");
        }
        Ok(true) => {
            let what = format!("others can read the token file {shown}");
            problems.warn(place, what, format!("chmod 600 {shown}"));
        }
        Ok(false) => {}
    }
    match Tokens::parse(&text) {
        Ok(tokens) => {
            if tokens.0.is_empty() && !problems.has_errors() {
                let what = format!("the token file {shown} holds no token");
                problems.error(place, what, "strowger key --token >> the file");
            }
            tokens
        }
        Err((line, what, remedy)) => {
            problems.error(place, format!("{shown}:{line}: {what}"), remedy);
            Tokens::default()
        }
    }
}

/// `change TOKEN` or `read TOKEN` with a new token of 256 bits.
pub fn fresh_token_line(grant: Grant) -> std::io::Result<String> {
    let word = match grant {
        Grant::Read => "read",
        Grant::Change => "change",
    };
    Ok(format!("{word} {}", as_hex(&random::<32>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_lines_are_read_and_bad_ones_named_without_the_token() {
        let good =
            Tokens::parse("# two\nchange abcdefgh01234567\n\nread ABCDEFGHI-._~+/=  # metrics\n").unwrap();
        assert_eq!(
            good.0,
            [(Grant::Change, "abcdefgh01234567".into()), (Grant::Read, "ABCDEFGHI-._~+/=".into())]
        );
        assert_eq!(format!("{good:?}"), "Tokens(2)");
        for (text, line) in [
            ("secretsecretsecret", 1),
            ("\nchange short", 2),
            ("read secretsecret secret", 1),
            ("read sécretsecretsecret", 1),
        ] {
            let (at, what, _) = Tokens::parse(text).err().unwrap();
            assert_eq!(at, line);
            assert!(!what.contains("secret"), "{what}");
        }
    }

    #[test]
    fn a_fresh_line_is_a_token_line() {
        for grant in [Grant::Read, Grant::Change] {
            assert_eq!(Tokens::parse(&fresh_token_line(grant).unwrap()).unwrap().0[0].0, grant);
        }
    }
}
