//! Builds the answer for the telephone from what the branches heard, and what is kept for the telephone's next attempt.

use base::Time;
use sip::Parser;

use super::challenge::{Given, Known, ROUND_TIME, Round};
use super::fanout::{Branch, Fanout, Order, State};
use super::merge;
use super::settings::Accept;
use super::verdict::{Said, Verdict, asked_seconds, judge};

/// What was built of the answers.
pub(super) struct Built {
    pub(super) accepted: bool,
    /// Servers that answered and did not accept.
    pub(super) refused: usize,
    /// What is kept, under the key of the next attempt, if this one ended with a challenge.
    pub(super) round: Option<(u64, Round)>,
}

/// Writes the answer to `answer` (which is overwritten). At least one branch has heard something.
pub(super) fn build(fanout: &Fanout, accept: Accept, now: Time, answer: &mut Vec<u8>) -> Built {
    answer.clear();
    let heard: Vec<(&Branch, u16, &[u8])> = fanout.branches.iter().filter_map(heard).collect();
    let mut parsers: Vec<Parser> = heard.iter().map(|_| Parser::new()).collect();
    let mut said: Vec<Said<'_>> = Vec::with_capacity(heard.len());
    for (parser, &(branch, status, response)) in parsers.iter_mut().zip(&heard) {
        if let Ok(message) = parser.parse(response) {
            said.push(Said {
                server: branch.server,
                status,
                given: branch.given,
                tried: branch.tried,
                message,
            });
        }
    }
    let refused = said.iter().filter(|one| !one.accepts()).count();
    if fanout.order == Order::InTurn || said.len() < 2 && fanout.branches.len() == 1 {
        let best = said.iter().min_by_key(|one| one.status);
        let accepted = best.is_some_and(Said::accepts);
        if let Some(best) = best {
            merge::write_alone(&best.message, fanout.flow, answer);
        }
        return Built { accepted, refused: 0, round: None };
    }
    let mut parser = Parser::new();
    let Ok(request) = parser.parse(&fanout.message) else {
        return Built { accepted: false, refused, round: None };
    };
    let verdict = judge(&said, accept, asked_seconds(&request));
    merge::write(&request, fanout.flow, &said, &verdict, answer);
    let challenged = match &verdict {
        Verdict::Accepted => false,
        Verdict::Challenged(_) => true,
        Verdict::Refused(at) => said[*at].challenges(),
    };
    let known = |one: &Said<'_>| Known {
        server: one.server,
        status: one.status,
        response: one.message.bytes().into(),
        tried: one.tried || one.given == Given::Foreign,
    };
    let kept = said.iter().filter(|one| one.accepts() || one.challenges()).map(known).collect();
    let round = challenged.then(|| (fanout.round, Round { until: now + ROUND_TIME, known: kept }));
    Built { accepted: verdict == Verdict::Accepted, refused, round }
}

fn heard(branch: &Branch) -> Option<(&Branch, u16, &[u8])> {
    match &branch.state {
        State::Heard { status, response } => Some((branch, *status, response)),
        State::Queued | State::Asked(_) | State::Silent => None,
    }
}
