//! Which credentials go to which server, and which challenges are passed on.
//!
//! Each server that asks for a password uses a nonce of its own, which the other servers do not know. So the answers to a
//! telephone's last attempt are kept for half a minute ([`Round`]). Of its next attempt, each server gets the credentials
//! that answer that server's nonce; once it also gets the other credentials of its realm, since servers that share a secret
//! know each other's nonces. Servers that are satisfied are not asked again.

use std::ops::Range;

use base::{Duration, Time};
use sip::headers::auth::{self, Auth};
use sip::{Message, Parser, work};

use crate::farm::server::ServerId;

/// How long an attempt waits for the next: 64·T1, as long as a telephone may need to get a request through.
pub(super) const ROUND_TIME: Duration = Duration::from_secs(32);

/// Fields of credentials that are looked at; a telephone sends one for each realm.
const CREDENTIALS_MAX: usize = 16;

/// Challenges of one server that are looked at: two realms with the three algorithms of RFC 8760 are six. Each is compared
/// with all credentials and all realms.
const CHALLENGES_MAX: usize = 16;

/// What is known of a server after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) server: ServerId,
    pub(super) status: u16,
    pub(super) response: Box<[u8]>,
    /// The server has seen credentials that answered another server's nonce, and was not satisfied.
    pub(super) tried: bool,
}

/// The answers to an attempt that ended with a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) until: Time,
    pub(super) known: Vec<Known>,
}

impl Round {
    pub(super) fn bytes(&self) -> usize {
        let one = |known: &Known| known.response.len() + size_of::<Known>();
        self.known.iter().map(one).sum::<usize>() + size_of::<Round>()
    }
}

/// Credentials in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Credentials {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    /// The whole field.
    field: Range<u32>,
}

/// All credentials of a request.
pub(super) fn credentials(message: &Message<'_>) -> Vec<Credentials> {
    let fields = message.headers().iter().filter(|header| {
        let name = message.name(header);
        name.eq_ignore_ascii_case(b"Authorization") || name.eq_ignore_ascii_case(b"Proxy-Authorization")
    });
    let read = |header: &sip::Header| {
        let auth = auth::parse(message.value(header))?;
        let part = |name: &[u8]| auth.parameter(name).unwrap_or_default().to_vec();
        Some(Credentials { realm: part(b"realm"), nonce: part(b"nonce"), field: header.start..header.end })
    };
    fields.filter_map(read).take(CREDENTIALS_MAX).collect()
}

/// The challenges in a response: name and value of the field.
pub(super) fn challenges<'m>(message: &Message<'m>) -> impl Iterator<Item = (&'m [u8], Auth<'m>)> + use<'m> {
    let message = *message;
    let all = message.headers().iter().filter_map(move |header| {
        let name = message.name(header);
        is_challenge(name).then(|| auth::parse(message.value(header)).map(|auth| (name, auth)))?
    });
    all.take(CHALLENGES_MAX)
}

pub(super) fn is_challenge(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"WWW-Authenticate") || name.eq_ignore_ascii_case(b"Proxy-Authenticate")
}

pub(super) fn realm<'a>(auth: &Auth<'a>) -> &'a [u8] {
    auth.parameter(b"realm").unwrap_or_default()
}

/// The telephone has credentials for this realm, for any nonce.
pub(super) fn knows_realm(given: &[Credentials], realm: &[u8]) -> bool {
    given.iter().any(|one| {
        work::bytes(realm.len());
        one.realm == realm
    })
}

/// Which of the credentials a server gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// There are none.
    None,
    /// Credentials that answer the server's own nonce.
    Own,
    /// Credentials that answer some other nonce, as far as is known.
    Foreign,
}

/// What is to be done about one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The server is asked, without these fields.
    Ask { given: Given, without: Box<[Range<u32>]> },
    /// The server is not asked: its last answer stands.
    Stands,
}

/// Which of these credentials a server gets, given what is known of the server.
pub(super) fn share(given: &[Credentials], known: Option<&Known>, parser: &mut Parser) -> Share {
    let all = if given.is_empty() { Given::None } else { Given::Foreign };
    let Some(known) = known else { return Share::Ask { given: all, without: Box::default() } };
    if (200..300).contains(&known.status) {
        return Share::Stands;
    }
    let ask = |given: &[Credentials], kind: Given, meant: &dyn Fn(&Credentials) -> bool| {
        let without = given.iter().filter(|one| !meant(one)).map(|one| one.field.clone()).collect();
        Share::Ask { given: kind, without }
    };
    let Ok(response) = parser.parse(&known.response) else { return ask(given, all, &|_| true) };
    let asked: Vec<(&[u8], &[u8])> = challenges(&response)
        .map(|(_, auth)| (realm(&auth), auth.parameter(b"nonce").unwrap_or_default()))
        .collect();
    if asked.is_empty() {
        return ask(given, all, &|_| true);
    }
    let own = |one: &Credentials| asked.iter().any(|(_, nonce)| *nonce == one.nonce);
    if given.iter().any(own) {
        return ask(given, Given::Own, &own);
    }
    let realm = |one: &Credentials| asked.iter().any(|(realm, _)| *realm == one.realm);
    if !known.tried && given.iter().any(realm) {
        return ask(given, Given::Foreign, &realm);
    }
    Share::Stands
}
