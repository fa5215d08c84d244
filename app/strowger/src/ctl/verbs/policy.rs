//! `policy`: how servers for new calls are chosen. The affinity of known calls cannot change while the load manager runs:
//! the tag or the list of sessions gets what affinity needs when a call begins.

use config::Choice as _;
use lb::settings::{Affinity, Selection};

use super::reload::answer;
use crate::ctl::change::{apply, set};
use crate::ctl::{Method, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused, Route, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "policy",
    about: "Change how the servers for new calls are chosen",
    parameters: &[Parameter {
        name: "selection",
        kind: ParameterKind::Text,
        place: ParameterPlace::Body,
        required: true,
        help: "round-robin, least-loaded, score, cjsq, tjsq or tlwl",
    }],
    route: Route { method: Method::Put, path: "/v1/policy" },
    read: |_, arguments| {
        let word = arguments.text("selection").unwrap_or_default().to_owned();
        let known = Selection::WORDS.iter().find(|(known, _, _)| *known == word);
        let Some((_, selection, _)) = known else {
            let words: Vec<&str> = Selection::WORDS.iter().map(|(word, _, _)| *word).collect();
            let what = format!("`{word}` is not a selection");
            return Err(Refused::bad(what, format!("write one of {}", words.join(", "))));
        };
        Ok(Box::new(move |context| {
            let mut next = context.as_it_runs()?;
            if *selection == Selection::Hash || next.settings.affinity == Affinity::Hash {
                let what = "affinity `hash` needs selection `hash`, and neither can change while the load manager runs";
                let remedy = "change both in the configuration, and start the load manager anew";
                return Err(Refused::new(RefusalKind::Impossible, what, remedy));
            }
            set(&mut next, "selection.kind", &word)?;
            Ok(answer(&apply(context, next, false)?))
        }))
    },
    part: None,
    follow: None,
};
