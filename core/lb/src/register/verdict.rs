//! Judges the answers of several servers to one REGISTER.
//!
//! In a fork of RFC 3261 §16.7 one target is enough, and a challenge counts for less than a 200. Here every server is to have
//! the binding, since a call may reach any of them. So the answers that the telephone can act on come first: a challenge,
//! which it answers, or an interval too brief, which it lengthens. Then come acceptances, if there are as many as are wanted.
//! Only refusals are left then: the best of them, in the order of §16.7 step 6.

use sip::headers::address;
use sip::{Message, Name, work};

use super::challenge::{Given, challenges, realm};
use super::settings::Accept;
use crate::farm::server::ServerId;

/// What one server said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'m> {
    pub(super) server: ServerId,
    pub(super) status: u16,
    pub(super) given: Given,
    pub(super) tried: bool,
    pub(super) message: Message<'m>,
}

impl Said<'_> {
    pub(super) fn accepts(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn challenges(&self) -> bool {
        matches!(self.status, 401 | 407)
    }

    /// The server got an answer to its own nonce, and its objection is not to the nonce.
    fn refuses_credentials(&self) -> bool {
        self.challenges()
            && self.given == Given::Own
            && !challenges(&self.message).any(|(_, auth)| auth.is_stale())
    }
}

/// Positions are in the list that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Enough accept.
    Accepted,
    /// These servers ask for credentials, each in a realm of its own.
    Challenged(Vec<usize>),
    /// No answer is good; this is the best.
    Refused(usize),
}

/// `asked_seconds`: the shortest expiry that the request asks for, if it asks for one. Panics if nobody said anything.
pub(super) fn judge(said: &[Said<'_>], accept: Accept, asked_seconds: Option<u32>) -> Verdict {
    let open = open_challenges(said);
    if !open.is_empty() {
        return Verdict::Challenged(open);
    }
    let too_brief = |one: &&Said<'_>| {
        let least = min_expires(&one.message).filter(|_| one.status == 423);
        least.is_some_and(|least| asked_seconds.is_none_or(|asked| asked < least))
    };
    if let Some(longest) = said.iter().filter(too_brief).max_by_key(|one| min_expires(&one.message)) {
        return Verdict::Refused(position(said, longest));
    }
    let accepting = said.iter().filter(|one| one.accepts()).count();
    let enough = match accept {
        Accept::Any => accepting > 0,
        Accept::Majority => accepting * 2 > said.len(),
        Accept::All => accepting == said.len(),
    };
    if enough {
        return Verdict::Accepted;
    }
    let refusing = said.iter().filter(|one| !one.accepts());
    Verdict::Refused(refusing.min_by_key(|one| rank(one.status)).map_or(0, |one| position(said, one)))
}

/// One server for each realm: a telephone answers one of two challenges in one realm, and many take the second for a refusal
/// of their credentials. The other server's turn comes with the next attempt. If a server refused credentials that were made
/// for it, the credentials of its realm need not be tried elsewhere.
fn open_challenges(said: &[Said<'_>]) -> Vec<usize> {
    let mut realms: Vec<&[u8]> = Vec::new();
    for one in said.iter().filter(|one| one.refuses_credentials()) {
        realms.extend(challenges(&one.message).map(|(_, auth)| realm(&auth)));
    }
    let mut open = Vec::new();
    for (at, one) in said.iter().enumerate().filter(|(_, one)| one.challenges()) {
        let own: Vec<&[u8]> = challenges(&one.message).map(|(_, auth)| realm(&auth)).collect();
        let is_known = |realm: &&[u8]| {
            work::steps(realms.len());
            realms.contains(realm)
        };
        if !own.is_empty() && !own.iter().any(is_known) {
            realms.extend(own);
            open.push(at);
        }
    }
    open
}

/// RFC 3261 §16.7 step 6: 6xx, then the lowest class; within 4xx, first those that say how to try again; a 503 last of its
/// class.
fn rank(status: u16) -> (u16, u16, u16) {
    match status {
        600.. => (0, 0, status),
        401 | 407 | 415 | 420 | 423 | 484 => (4, 0, status),
        503 => (5, 2, status),
        _ => (status / 100, 1, status),
    }
}

fn position(said: &[Said<'_>], one: &Said<'_>) -> usize {
    said.iter().position(|other| other.server == one.server).unwrap_or(0)
}

pub(super) fn min_expires(message: &Message<'_>) -> Option<u32> {
    let named =
        message.headers().iter().find(|header| message.name(header).eq_ignore_ascii_case(b"Min-Expires"));
    named.and_then(|header| number(message.value(header)))
}

/// The shortest time that a REGISTER asks for; a 0, which removes a binding, does not count.
pub(super) fn asked_seconds(request: &Message<'_>) -> Option<u32> {
    let all = request.first_value(Name::Expires).and_then(number);
    let of = |value: Result<address::Address<'_>, _>| {
        value.ok().and_then(|contact| contact.parameter(b"expires").and_then(number).or(all))
    };
    let fields = request.all(Name::Contact).map(|header| request.value(header));
    fields.flat_map(address::values).filter_map(of).filter(|seconds| *seconds > 0).min()
}

/// Delta seconds; a larger number counts as the largest.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    sip::text::decimal(text.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::Parser;

    /// Each answer as `status`, `status realm`, `status realm own`, with `stale` and `min N` behind.
    fn check(accept: Accept, asked: Option<u32>, answers: &[&str], expected: Verdict) {
        let texts: Vec<String> = answers
            .iter()
            .map(|answer| {
                let words: Vec<&str> = answer.split(' ').collect();
                let field = match words[..] {
                    [_, "min", least] => format!("Min-Expires: {least}\r\n"),
                    [_, realm, ..] => {
                        let stale = if answer.ends_with("stale") { ", stale=true" } else { "" };
                        format!("WWW-Authenticate: Digest realm=\"{realm}\", nonce=\"{answer}\"{stale}\r\n")
                    }
                    _ => String::new(),
                };
                format!("SIP/2.0 {} X\r\n{field}Content-Length: 0\r\n\r\n", words[0])
            })
            .collect();
        let mut parsers: Vec<Parser> = answers.iter().map(|_| Parser::new()).collect();
        let said: Vec<Said<'_>> = parsers
            .iter_mut()
            .zip(&texts)
            .zip(answers)
            .enumerate()
            .map(|(at, ((parser, text), answer))| Said {
                server: ServerId(at as u32),
                status: answer[..3].parse().unwrap(),
                given: if answer.contains("own") { Given::Own } else { Given::None },
                tried: false,
                message: parser.parse(text.as_bytes()).unwrap(),
            })
            .collect();
        assert_eq!(judge(&said, accept, asked), expected, "{answers:?} {accept:?}");
    }

    #[test]
    fn a_challenge_comes_before_what_accepts_and_one_for_each_realm() {
        use Verdict::*;
        check(Accept::Any, None, &["200", "401 a", "200"], Challenged(vec![1]));
        check(Accept::Any, None, &["401 a", "401 a", "407 b", "503"], Challenged(vec![0, 2]));
        check(Accept::Any, None, &["401 a own stale", "200"], Challenged(vec![0]));
        check(Accept::Any, None, &["401 a own", "401 b"], Challenged(vec![1]));
    }

    #[test]
    fn credentials_that_a_server_refused_are_not_tried_in_its_realm() {
        use Verdict::*;
        check(Accept::Any, None, &["401 a own", "401 a", "401 a"], Refused(0));
        check(Accept::Any, None, &["401 a own", "200"], Accepted);
        check(Accept::All, None, &["200", "401 a own"], Refused(1));
    }

    #[test]
    fn as_many_accept_as_are_wanted() {
        use Verdict::*;
        check(Accept::Any, None, &["403", "500", "200"], Accepted);
        check(Accept::Majority, None, &["403", "500", "200"], Refused(0));
        check(Accept::Majority, None, &["200", "500"], Refused(1));
        check(Accept::Majority, None, &["200", "500", "202"], Accepted);
        check(Accept::All, None, &["200", "200"], Accepted);
        check(Accept::All, None, &["200", "404", "200"], Refused(1));
    }

    #[test]
    fn the_best_of_refusals_is_that_of_the_rfc() {
        use Verdict::*;
        check(Accept::Any, None, &["503", "500", "404", "302"], Refused(3));
        check(Accept::Any, None, &["404", "603", "302"], Refused(1));
        check(Accept::Any, None, &["403", "420", "404"], Refused(1));
        check(Accept::Any, None, &["503", "504"], Refused(1));
        check(Accept::Any, None, &["503", "503"], Refused(0));
    }

    #[test]
    fn an_interval_too_brief_is_mended_by_the_longest() {
        use Verdict::*;
        check(Accept::Any, Some(60), &["200", "423 min 100", "423 min 300"], Refused(2));
        check(Accept::Any, Some(300), &["200", "423 min 100"], Accepted);
        check(Accept::Any, None, &["423 min 100", "500"], Refused(0));
    }
}
