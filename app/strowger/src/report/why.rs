//! Why a call went to its server, as a document. The control socket serves it, `strowger why` prints it, and the log of
//! choices has one such document per line.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::SystemTime;

use config::word;
use lb::settings::Selection;
use lb::shared::Shared;
use lb::why::explain::{By, Candidate, Excluded, Explanation, explain};
use lb::why::{Choice, Kind};
use net::Clock;
use serde::{Deserialize, Serialize};

use crate::report::table::{aligned, or_dash};

/// The answer to one question. Fields are added at the end and never renamed, because scripts read this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WhyReport {
    /// The oldest first. Empty: nothing is kept of that call.
    pub(crate) choices: Vec<ChoiceReport>,
    /// Whether choices are kept at all (`log.why_calls` is not 0).
    pub(crate) kept: bool,
}

/// One choice of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ChoiceReport {
    /// UTC (RFC 3339).
    pub(crate) time: String,
    /// The kept part of the Call-ID; the whole is `call_id_bytes` long.
    pub(crate) call_id: String,
    pub(crate) call_id_bytes: u32,
    pub(crate) worker: u32,
    /// The number of the table that the choice was made with.
    pub(crate) epoch: u64,
    /// `new call`, `taken over`, `no server`, and others.
    pub(crate) kind: String,
    pub(crate) affinity: String,
    pub(crate) selection: String,
    /// `None`: 503.
    pub(crate) server: Option<SocketAddr>,
    /// The server that had the call before.
    pub(crate) from: Option<SocketAddr>,
    /// One sentence.
    pub(crate) reason: String,
    /// The farm at that moment, by index. Empty: that table is no longer kept.
    pub(crate) candidates: Vec<CandidateReport>,
}

/// One server, as the choice saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CandidateReport {
    pub(crate) index: u32,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) transport: String,
    pub(crate) state: String,
    pub(crate) weight: u32,
    pub(crate) score: Option<u32>,
    pub(crate) load_permille: Option<u32>,
    /// Calls that the server had room for at its last heartbeat.
    pub(crate) residual_calls: Option<u32>,
    /// What was in progress before this call, if the selection counts it: calls, transactions, or transactions by weight.
    pub(crate) in_progress: Option<f64>,
    /// Calls given to the server before this one, since its last heartbeat or since the start; for selections that do not
    /// count what is in progress.
    pub(crate) given: Option<u32>,
    /// The server's share of new calls at that moment, if the policy uses shares.
    pub(crate) share_permille: Option<u32>,
    pub(crate) won: bool,
    /// Why the server could not be chosen.
    pub(crate) excluded: Option<String>,
    /// 0 is the best.
    pub(crate) priority: u32,
}

/// Explains the choices of a running load manager.
#[derive(Clone, Copy)]
pub(crate) struct Explainer<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) clock: Clock,
}

impl Explainer<'_> {
    /// Everything that is kept of one call.
    pub(crate) fn of_call(self, call_id: &str) -> WhyReport {
        let call = self.shared.keys.call(call_id.as_bytes());
        self.report(self.shared.why.of_call(call))
    }

    /// The newest choices.
    pub(crate) fn newest(self, count: usize) -> WhyReport {
        self.report(self.shared.why.newest(count))
    }

    fn report(self, choices: Vec<Choice>) -> WhyReport {
        let choices = choices.into_iter().map(|choice| self.choice(choice)).collect();
        WhyReport { choices, kept: self.shared.why.is_kept() }
    }

    pub(crate) fn choice(self, choice: Choice) -> ChoiceReport {
        let explained = explain(&self.shared.why, &self.shared.settings, choice);
        let choice = &explained.choice;
        let snapshot = self.shared.snapshot();
        let now_and_then = |id| {
            let then = explained.candidates.iter().find(|candidate| candidate.server.id == id);
            then.map(|candidate| candidate.server.address)
                .or_else(|| snapshot.by_id(id).map(|server| server.address))
        };
        let time = SystemTime::now() - self.clock.now().since(choice.at);
        ChoiceReport {
            time: fcaps::rfc3339(time),
            call_id: String::from_utf8_lossy(&choice.call_id).into_owned(),
            call_id_bytes: u32::from(choice.call_id_bytes),
            worker: u32::from(choice.worker),
            epoch: choice.epoch,
            kind: choice.kind.name().into(),
            affinity: word(self.shared.settings.affinity).into(),
            selection: word(explained.selection).into(),
            server: choice.winner.and_then(now_and_then),
            from: choice.from.and_then(now_and_then),
            reason: reason(&explained),
            candidates: explained
                .candidates
                .iter()
                .map(|candidate| self.candidate(&explained, candidate))
                .collect(),
        }
    }

    fn candidate(self, explained: &Explanation, candidate: &Candidate) -> CandidateReport {
        let server = &candidate.server;
        let in_progress = counts_progress(explained.selection);
        CandidateReport {
            index: u32::from(server.index),
            address: Some(server.address),
            transport: server.transport.uri_token().into(),
            state: server.condition.name().into(),
            weight: server.weight,
            priority: u32::from(server.priority),
            score: server.score.map(|score| score.points()),
            load_permille: server.load_permille,
            residual_calls: server.residual_calls,
            in_progress: candidate
                .counted
                .filter(|_| in_progress)
                .map(|hundredths| f64::from(hundredths) / 100.0),
            given: candidate.counted.filter(|_| !in_progress),
            share_permille: candidate.share_permille,
            won: candidate.won,
            excluded: candidate.excluded.map(|excluded| excluded.to_string()),
        }
    }
}

fn counts_progress(selection: Selection) -> bool {
    match selection {
        Selection::Cjsq | Selection::Tjsq | Selection::Tlwl => true,
        Selection::Hash | Selection::RoundRobin | Selection::LeastLoaded | Selection::Score => false,
    }
}

fn reason(explained: &Explanation) -> String {
    let open = explained.candidates.iter().filter(|candidate| candidate.excluded.is_none()).count();
    let winner = explained.candidates.iter().find(|candidate| candidate.won);
    let counted = winner.and_then(|winner| winner.counted);
    let mut text = match explained.choice.kind {
        Kind::Selected => String::new(),
        Kind::Hashed => "the memory of calls was full: ".into(),
        Kind::Refused => {
            let at_limit =
                |candidate: &Candidate| matches!(candidate.excluded, Some(Excluded::AtLimit { .. }));
            return match explained.candidates.iter().any(at_limit) {
                true => {
                    "every server that takes new calls is full or at its limit: the call was answered 503"
                        .into()
                }
                false => "no server could take the call: it was answered 503".into(),
            };
        }
        Kind::TakenOver => {
            let gone = explained
                .candidates
                .iter()
                .find(|candidate| Some(candidate.server.id) == explained.choice.from);
            match gone.and_then(|gone| gone.excluded) {
                Some(excluded) => format!("the call's server {excluded}; "),
                None => "the call's server is no longer in the table; ".into(),
            }
        }
        Kind::MovedFailed => "the call's server failed during the set-up; ".into(),
        Kind::MovedSilent => "the call's server was silent during the set-up; ".into(),
        Kind::MovedFull => "the call's server was full; ".into(),
        Kind::MovedRefused => "the call's server refused the call; ".into(),
        Kind::FromServer => return "the server itself began the call".into(),
        Kind::Named => {
            return "the request itself named the server, by its Request-URI or the next Route, or belongs to a call \
                    (Replaces, Join) or presentity there"
                .into();
        }
    };
    let hundredths = |counted: Option<u32>| {
        counted.map_or_else(String::new, |counted| format!(" ({}.{:02})", counted / 100, counted % 100))
    };
    let share = || {
        let permille = winner.and_then(|winner| winner.share_permille);
        permille.map_or_else(String::new, |permille| {
            format!(", a share of {}.{} %", permille / 10, permille % 10)
        })
    };
    let _ = match explained.by {
        By::Selection(Selection::RoundRobin) => write!(text, "the turn of this server{}", share()),
        By::Selection(Selection::Score) => write!(text, "drawn by score{}", share()),
        By::Selection(Selection::LeastLoaded) => write!(text, "one of the least loaded, within 2 %"),
        By::Selection(Selection::Cjsq) => {
            write!(text, "fewest calls in progress per weight{}", hundredths(counted))
        }
        By::Selection(Selection::Tjsq) => {
            write!(text, "fewest transactions in progress per weight{}", hundredths(counted))
        }
        By::Selection(Selection::Tlwl) => write!(text, "least work left per weight{}", hundredths(counted)),
        By::Selection(Selection::Hash) => write!(text, "the hash of the Call-ID"),
        By::Hash(kind) => write!(text, "the hash of the Call-ID gives this server ({})", word(kind)),
        By::Itself | By::Request => Ok(()),
    };
    if open > 0 && explained.choice.kind == Kind::Selected {
        let _ = write!(text, ", of {open} that could take the call");
    }
    text
}

impl WhyReport {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.choices.is_empty() {
            text.push_str(match self.kept {
                true => "Nothing is kept of that call: it is older than the choices that the workers keep (`log.why_calls`), or it never came.\n",
                false => "Choices are not kept: `log.why_calls` is 0.\n",
            });
        }
        for choice in &self.choices {
            choice.write(&mut text);
        }
        text
    }
}

impl ChoiceReport {
    fn write(&self, text: &mut String) {
        let to = self.server.map_or_else(|| "nobody".into(), |server| server.to_string());
        let from = self.from.map_or_else(String::new, |from| format!(" (from {from})"));
        let _ = writeln!(
            text,
            "{} {}\n{}: {to}{from}\n  because: {}\n  affinity {}, selection {}; worker {}, table {}",
            self.time,
            self.call_id,
            self.kind,
            self.reason,
            self.affinity,
            self.selection,
            self.worker,
            self.epoch
        );
        if self.candidates.is_empty() {
            text.push_str("  the table of that moment is no longer kept\n\n");
            return;
        }
        let head = [
            "", "server", "state", "priority", "weight", "score", "load", "room", "counted", "share",
            "excluded",
        ];
        let rows: Vec<Vec<String>> = self.candidates.iter().map(CandidateReport::row).collect();
        let _ = writeln!(text, "{}", aligned(&head, &rows));
    }
}

impl CandidateReport {
    fn row(&self) -> Vec<String> {
        let permille =
            |value: Option<u32>| or_dash(value.map(|value| format!("{}.{} %", value / 10, value % 10)));
        let counted = self.in_progress.map(|count| format!("{count:.2}"));
        vec![
            if self.won { ">" } else { "" }.into(),
            self.address.map_or_else(|| "-".into(), |address| format!("{}:{address}", self.transport)),
            self.state.clone(),
            self.priority.to_string(),
            self.weight.to_string(),
            or_dash(self.score),
            permille(self.load_permille),
            or_dash(self.residual_calls),
            or_dash(counted.or_else(|| self.given.map(|given| given.to_string()))),
            permille(self.share_permille),
            self.excluded.clone().unwrap_or_default(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_reads_like_this() {
        let candidate = |port: u16, won| CandidateReport {
            index: u32::from(port) - 7000,
            address: Some(([127, 0, 0, 1], port).into()),
            transport: "udp".into(),
            state: if won { "active" } else { "failed" }.into(),
            weight: 1,
            in_progress: Some(2.0),
            won,
            excluded: (!won).then(|| "failed: no heartbeat within the decay".into()),
            ..CandidateReport::default()
        };
        let choice = ChoiceReport {
            call_id: "a@b".into(),
            kind: "new call".into(),
            server: Some(([127, 0, 0, 1], 7000).into()),
            reason: "fewest calls in progress per weight (2.00), of 1 that could take it".into(),
            candidates: vec![candidate(7000, true), candidate(7001, false)],
            ..ChoiceReport::default()
        };
        let text = WhyReport { choices: vec![choice], kept: true }.text();
        assert!(text.contains("new call: 127.0.0.1:7000\n  because: fewest calls"), "{text}");
        assert!(text.contains("  >  udp:127.0.0.1:7000  active"), "{text}");
        assert!(text.contains("failed: no heartbeat within the decay\n"), "{text}");
        assert!(WhyReport::default().text().contains("`log.why_calls` is 0"));
        assert!(WhyReport { kept: true, ..WhyReport::default() }.text().contains("Nothing is kept"));
    }
}
